"""How a process that builds images is set up: for one core, and for arrays that come and go."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
from functools import cache

#: New objects between two searches for circles. Python's own 700 (2,000 from 3.13 on) suit programs that make
#: circles; a build makes many small objects and hardly one circle of them.
_OBJECTS_BETWEEN = 100_000
#: What glibc asks the system for by itself, and gives back at once, is larger than this (``malloc.h``), in
#: bytes. The arrays of an image then get the memory that those of the one before had; pages from the system
#: cost about as much as what is done with them.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = (-3, 32 << 20), (-1, 64 << 20)


@cache
def settle() -> None:
    """Set this process up for building; before NumPy is loaded, if it can be. It changes no result."""
    # An image is the work of one core and none of it linear algebra. OpenBLAS (NumPy's and OpenCV's own)
    # would start a thread for each core, and each spins for a while before it sleeps; OpenCV's own threads
    # would fight over the cores with the other images.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    gc.set_threshold(_OBJECTS_BETWEEN)
    # Python ends with a search for circles among all that was ever imported, to free what ends anyway.
    atexit.register(gc.freeze)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            mallopt(option, value)
