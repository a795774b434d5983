"""What every request goes through: limits, parameters, preconditions, idempotency."""
