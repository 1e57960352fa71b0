"""The one kind of error that is meant for a person rather than for a programmer."""


class InputError(ValueError):
    """Something that was given cannot be used.

    The message is one sentence or two: what came, what was expected, what to do. Arguments stand in
    backticks, as Python has them: `` `pixel_size_nm=100` ``. The command line prints the message
    without a traceback, and with its own options in place of these.
    """


class CutOffError(InputError):
    """A movie ends within a frame, or before frames that it announces.

    Parameters
    ----------
    message : str
    whole_frames : int
        How many frames at its beginning are whole, where that is known; else 0.
    """

    def __init__(self, message: str, whole_frames: int = 0) -> None:
        super().__init__(message)
        self.whole_frames = whole_frames


class PixelSizeNeededError(InputError):
    """A table counts in camera pixels, and nothing tells how large they are."""


class MissingExtraError(InputError):
    """An optional dependency is not installed.

    Parameters
    ----------
    purpose : str
        What needs it, for instance ``"Picasso HDF5 files"``.
    extra : str
        The extra of this package that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} need an optional dependency that is not installed; "
            f"install it with: pip install 'deepstorm[{extra}]'"
        )


class ResumableInterrupt(KeyboardInterrupt):
    """A run was interrupted, and what it has done is kept: it can be resumed."""
