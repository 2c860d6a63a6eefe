"""What all errors of this package share."""

from __future__ import annotations


class PublicDataError(ValueError):
    """A public data set cannot be fetched or read. The message says why and how to mend it."""
