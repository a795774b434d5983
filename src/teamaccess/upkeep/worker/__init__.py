"""The worker: delivers pending entries, ends expired access, watches SpiceDB and compares."""

from teamaccess.upkeep.worker.run import run_worker

__all__ = ["run_worker"]
