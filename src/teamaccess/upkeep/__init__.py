"""Work that nobody asks for: sweeping expired access, watching SpiceDB, reconciling and rebuilding."""

from teamaccess.upkeep.rebuild.rebuild import Rebuilder, Rebuilt

__all__ = ["Rebuilder", "Rebuilt"]
