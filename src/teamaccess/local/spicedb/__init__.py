"""SpiceDB on this machine: found or compiled once, then started."""
