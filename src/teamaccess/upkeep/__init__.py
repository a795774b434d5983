"""Background work and repair: the sweeper, the watcher, reconciling and rebuilding."""

from teamaccess.upkeep.rebuild.rebuild import Rebuilder, RebuildResult

__all__ = ["RebuildResult", "Rebuilder"]
