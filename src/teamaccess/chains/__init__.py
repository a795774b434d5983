"""The proof that ledgers and events are as they were written: every hash computed again from nothing."""
