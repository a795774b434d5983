"""Machines that are members of one organization, and the tokens that they sign in with."""
