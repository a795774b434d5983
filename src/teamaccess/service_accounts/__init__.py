"""Machines that are members of one organization."""
