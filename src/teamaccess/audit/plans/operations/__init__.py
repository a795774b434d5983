"""The operations that a plan may propose. Each calls the use case that its route calls."""
