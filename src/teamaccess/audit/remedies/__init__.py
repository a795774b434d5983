"""What would allow what somebody cannot do, and who may make it."""
