"""The error that says what is wrong with a clip, and what is said of one that stops no other."""


class ClipError(ValueError):
    """A clip that cannot be read or has nothing to describe in it; the message says which and why."""


def message_of(error: Exception) -> str:
    """Say why nothing came of a clip; raise what is no clip's fault, a package that is not there."""
    if isinstance(error, ModuleNotFoundError):
        raise error
    if isinstance(error, OSError | ValueError):
        return str(error) or type(error).__name__
    # Out of memory, and whatever else a library makes of one clip.
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
