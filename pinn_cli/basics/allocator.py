"""The memory that a process has freed: kept for the next tensors, and not given back to the system."""

import ctypes
import os

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # read by torch when it allocates for the first time
# Of `mallopt` (malloc.h of the GNU C library).
TRIM_THRESHOLD, MMAP_MAX = -1, -4
MOST = 2**31 - 1  # the largest number it takes


def keep_freed_memory() -> bool:
    """Ask torch for huge pages, and the C library to keep what is freed, from now on; whether the library does.

    By default the GNU C library maps every array above 32 MB anew and gives it back when it is freed. The system clears
    each page of 4 kB when it is first used, which takes up to half of the time of a run with large matrices. Huge pages
    (2 MB, where the system has them) also make the places of freed tensors fit others: without them the process holds
    up to two thirds more memory than its tensors need, with them a fifth.

    Settings of the user (MALLOC_..., GLIBC_TUNABLES) and other C libraries are left as they are.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, MOST))
