"""Everything on one machine, for development and tests: PostgreSQL from a wheel, SpiceDB built."""
