"""What requests have in common: bodies, parameters, rates, preconditions, idempotency, the commit."""
