"""How many rows a device takes at once: windows of recordings, or texts of one."""

from ttscribe.errors import OptionError

# Beyond this a larger batch brings nothing on a CPU, and a window of distil-large-v3 takes some 100 MB of activations.
MAX_BATCH = 32


def rows_together(count: int) -> int:
    """How many rows a step takes where so many are decoded: a power of two, so that there are few kinds of steps."""
    return 1 << (count - 1).bit_length()


def require_batch(given: int, most: int) -> None:
    """Raise OptionError for more windows or rows than a device takes at once."""
    if given > most:
        raise OptionError(f"this device decodes {most} window{'s' * (most > 1)} at a time, not {given}")
