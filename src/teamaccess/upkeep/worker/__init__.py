"""What goes on without anybody asking: bringing in what is pending, ending what has ended, looking."""

from teamaccess.upkeep.worker.run import work

__all__ = ["work"]
