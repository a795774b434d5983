"""The errors of relationships and updates."""


class InvalidRelationship(ValueError):
    """SpiceDB would not take it, or it says two things at once."""


class ReplayConflict(InvalidRelationship):
    """An update does not fit the relationships it is applied to."""
