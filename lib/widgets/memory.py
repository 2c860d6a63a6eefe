"""Memory that is kept: a painting asks for some tens of megabytes in pieces and frees them again.

By default the C library of Linux gives large pieces back to the system at once, which clears each page anew when the
next painting asks for it: measured here, a quarter of the processor time of a painting.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h
_KEPT, _PIECE = 256 << 20, 32 << 20  # bytes that may stay unused, and the largest piece that is kept


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, up to 256 MB, for its next request.

    Returns:
        Whether the C library could be asked: only that of most Linux systems (glibc) can. Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _PIECE))
