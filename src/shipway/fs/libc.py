"""The C library's functions that Python does not offer; None where it lacks them.

`native` loads this when the first of them is called: questions that need none don't wait for ctypes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG = 1

_RENAMEAT2_NUMBERS = {
    "x86_64": 316,
    "i686": 353,
    "aarch64": 276,
    "riscv64": 276,
    "loongarch64": 276,
    "armv7l": 382,
    "ppc64le": 357,
    "s390x": 347,
}

_libc = ctypes.CDLL(None, use_errno=True)


def _function(name: str, *arguments: Any) -> Callable[..., int] | None:
    found = getattr(_libc, name, None)
    if found is not None:
        found.argtypes = arguments
        found.restype = ctypes.c_int
    return found


def _find_renameat2() -> Callable[..., int] | None:
    """The C library's wrapper (glibc 2.28), else the bare system call (musl has it late)."""
    wrapper = _function("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    number = _RENAMEAT2_NUMBERS.get(os.uname().machine)
    if wrapper or number is None or not hasattr(_libc, "syscall"):
        return wrapper
    types = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    bare = _function("syscall", *types)
    return None if bare is None else lambda *arguments: bare(number, *arguments)


renameat2 = _find_renameat2()
syncfs = _function("syncfs", ctypes.c_int)
statx = _function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
prctl = _function("prctl", ctypes.c_int, ctypes.c_ulong)
last_error = ctypes.get_errno
buffer = ctypes.create_string_buffer
