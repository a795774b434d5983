"""Run everything on one machine, for development and tests.

PostgreSQL comes from a Python wheel. SpiceDB is found on this machine or compiled.
"""
