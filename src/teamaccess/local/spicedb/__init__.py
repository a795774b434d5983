"""SpiceDB on this machine: find it or compile it once, and start it."""
