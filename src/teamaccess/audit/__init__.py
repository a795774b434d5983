"""Answers audit questions: who can do what, why, since when, and at a past time."""
