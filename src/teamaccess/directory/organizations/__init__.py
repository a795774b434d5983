"""Organizations: create, rename and end them, and deal with stopped ones and with findings."""
