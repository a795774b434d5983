"""How callers share a process: fair turns, pauses of the event loop, rate limits and throttles."""
