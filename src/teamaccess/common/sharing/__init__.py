"""How callers share a process: fair turns, pauses of the event loop, and what is done rarely."""
