"""The schema of the deployment's catalog: given to SpiceDB, and kept for those who ask about the past."""
