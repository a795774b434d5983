"""Answers an auditor's questions: who can do what, why, since when, and at a past time."""
