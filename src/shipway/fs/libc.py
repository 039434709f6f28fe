"""The C library's functions that Python does not offer; None where it lacks them.

`native` loads this when the first of them is called: questions that need none don't wait for ctypes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

Function = Callable[..., int]

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
_MOUNT_SETATTR_NUMBER = 442  # of all kinds of machines that got it in one go, in Linux 5.12

_libc = ctypes.CDLL(None, use_errno=True)


def _function(name: str, *arguments: Any) -> Function | None:
    found = getattr(_libc, name, None)
    if found is not None:
        found.argtypes = arguments
        found.restype = ctypes.c_int
    return found


def _find_renameat2() -> Function | None:
    """The C library's wrapper (glibc 2.28), else the bare system call (musl has it late)."""
    wrapper = _function("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    number = _RENAMEAT2_NUMBERS.get(os.uname().machine)
    if wrapper or number is None:
        return wrapper
    return _bare(number, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def _bare(number: int, *arguments: Any) -> Function | None:
    """A system call by its number."""
    if not hasattr(_libc, "syscall"):
        return None
    types = (ctypes.c_long, *arguments)
    call = ctypes.CFUNCTYPE(ctypes.c_long, *types, use_errno=True)(("syscall", _libc))
    return lambda *given: int(call(number, *given))


renameat2 = _find_renameat2()
syncfs = _function("syncfs", ctypes.c_int)
statx = _function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
prctl = _function("prctl", ctypes.c_int, ctypes.c_ulong)
unshare = _function("unshare", ctypes.c_int)
mount = _function("mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
mount_setattr = _bare(
    _MOUNT_SETATTR_NUMBER, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t
)
last_error = ctypes.get_errno
buffer = ctypes.create_string_buffer
