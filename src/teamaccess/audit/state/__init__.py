"""The state that questions are answered from: the present in SpiceDB, the past in a sandbox."""
