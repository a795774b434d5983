"""How sentences for people are put together from facts."""
