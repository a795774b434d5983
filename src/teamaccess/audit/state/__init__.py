"""The state that answers a question: the present in SpiceDB, the past in a sandbox."""
