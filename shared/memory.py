"""How a process that lives on many records, requests or arrays keeps its memory."""

import ctypes
import gc
from typing import Final

# Records come by the thousand, live for one batch and are no part of cycles. Looking for cycles after every 700 new
# objects, as is Python's default, took a quarter of the fold's time, a tenth of the door's, and found nothing.
_COLLECT_AFTER: Final = (50_000, 20, 100)

# glibc gives every array of more than 128 KiB pages of its own and returns them when it is freed. Where such arrays
# come and go by the thousand, an eighth of a projection's time went into pages that the kernel cleared again and again.
_KEPT: Final = 1 << 28
"""Bytes that may lie free, and the size from which an array gets pages of its own."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of mallopt(3)."""


def collect_seldom() -> None:
    """Look for cycles seldom."""
    gc.set_threshold(*_COLLECT_AFTER)


def suit_books() -> None:
    """Look for cycles seldom, and keep freed memory for the arrays that come next (glibc; others are left alone)."""
    collect_seldom()
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)
