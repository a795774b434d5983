"""Distinguishes writes that our database explains from foreign writes."""
