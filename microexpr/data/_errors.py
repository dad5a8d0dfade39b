"""The error that says what is wrong with a clip."""


class ClipError(ValueError):
    """A clip that cannot be read or has nothing to describe in it; the message says which and why."""
