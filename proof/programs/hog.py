"""Take every lock that can be had on the files below a directory, say which, and stop (SIGSTOP).

    python hog.py DIRECTORY [LEAVE]

Files called LEAVE are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator


def opened(path: str) -> int:
    """A descriptor as strong as can be had; -1 if none can."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(path, flags | os.O_NOFOLLOW)
    return -1


def taken(descriptor: int) -> Iterator[str]:
    """Both kinds of locks, exclusive if that is allowed, else shared."""
    for kind, take in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
        for strength, operation in (("exclusive", fcntl.LOCK_EX), ("shared", fcntl.LOCK_SH)):
            try:
                take(descriptor, operation | fcntl.LOCK_NB)
            except OSError:
                continue
            yield f"{kind} {strength}"
            break


def main() -> None:
    """Take them all, and stop."""
    held = {}
    for parent, directories, files in os.walk(sys.argv[1]):
        for name in [*directories, *files]:
            descriptor = opened(os.path.join(parent, name)) if name not in sys.argv[2:] else -1
            if descriptor >= 0 and (kinds := list(taken(descriptor))):
                held[os.path.relpath(os.path.join(parent, name), sys.argv[1])] = kinds
    print(json.dumps(held), flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
