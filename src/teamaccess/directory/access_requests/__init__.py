"""Members ask for something for a while, and others decide."""
