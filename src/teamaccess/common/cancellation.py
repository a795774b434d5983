"""Work that goes on until it is cancelled."""

import asyncio


def should_continue() -> bool:
    """Return whether nobody has cancelled the running task.

    A cancellation that meets a query may come out of the database's driver as an error, which whoever
    lives through outages takes for one: so every endless loop asks.
    """
    task = asyncio.current_task()
    return task is None or not task.cancelling()
