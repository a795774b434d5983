"""PostgreSQL on this machine, from a wheel or an installation."""
