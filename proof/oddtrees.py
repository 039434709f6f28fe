"""Staged trees as no build leaves them: strange names, kinds, modes and sizes, and programs that change them meanwhile."""

from __future__ import annotations

import os
import random
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Seen = tuple[str, int, str]

NAMES = (
    b"plain", b"with space", b"line\nbreak", b"\xff\xfe\x80", "höher".encode(), "e\u0301".encode(), b"a" * 255, b"-rf", b"~", b"*",
    b"'\"\\", b"\x01\x1b[31m", b"%s{0}$HOME", b"x.py", b"x.pyc", b"__pycache__", b"lib", b"x.la", b".hidden", "\u202e".encode(),
    b"\xed\xb0\x80", b"...", b"CON", b"x.new", b"u0",
)  # fmt: skip
TARGETS = (
    b"plain", b"loop", b"../../../../../etc/passwd", b"/etc/passwd", b".", b"..", b"\xff\xfe", b"line\nbreak", b"a" * 4000,
    b"missing", b"/", b"x" * 255,
)  # fmt: skip
FORBIDDEN = (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK)


def grown(root: Path, chance: random.Random, *, special: bool) -> Path:
    """A tree of a few dozen names; `special` ones too, that no package may hold."""
    root.mkdir(parents=True)
    directories = [os.fsencode(root)]
    makers = [*_ORDINARY * 3, *(_SPECIAL if special else ())]
    for _ in range(chance.randrange(1, 25)):
        path = os.path.join(chance.choice(directories), chance.choice(NAMES))
        if os.path.lexists(path):
            continue
        with suppress(OSError):
            chance.choice(makers)(path, chance)
            if os.path.isdir(path) and not os.path.islink(path):
                directories.append(path)
    return root


def _file(path: bytes, chance: random.Random) -> None:
    with open(path, "wb") as file:
        file.write(chance.randbytes(chance.choice((0, 1, 10, 5000))))
    os.utime(path, ns=(0, chance.choice((0, 1, 1_600_000_000_123_456_789, 1 << 61, -1))))


def _sparse(path: bytes, chance: random.Random) -> None:
    with open(path, "wb") as file:
        file.seek(chance.choice((4096, 1 << 20)))
        file.write(b"end")


def _moded(path: bytes, chance: random.Random) -> None:
    _file(path, chance)
    os.chmod(path, chance.choice((0, 0o4755, 0o2755, 0o6777, 0o1644, 0o200, 0o777)))


def _directory(path: bytes, chance: random.Random) -> None:
    os.mkdir(path)


def _link(path: bytes, chance: random.Random) -> None:
    os.symlink(chance.choice((*TARGETS, os.path.basename(path))), path)


def _hard(path: bytes, chance: random.Random) -> None:
    beside = [e.path for e in os.scandir(os.path.dirname(path)) if e.is_file(follow_symlinks=False)]
    if beside:
        os.link(chance.choice(beside), path)


def _fifo(path: bytes, chance: random.Random) -> None:
    os.mkfifo(path)


def _socket(path: bytes, chance: random.Random) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def _device(path: bytes, chance: random.Random) -> None:
    os.mknod(path, 0o600 | chance.choice((stat.S_IFCHR, stat.S_IFBLK)), os.makedev(1, 3))


_ORDINARY: tuple[Callable[[bytes, random.Random], None], ...] = (
    _file, _file, _file, _sparse, _moded, _directory, _directory, _link, _hard,
)  # fmt: skip
_SPECIAL: tuple[Callable[[bytes, random.Random], None], ...] = (_fifo, _socket, _device)


def content(root: Path) -> dict[bytes, tuple[int, bytes]]:
    """What lies in a tree, by path: type and mode, and content or target."""
    found = {}
    for parent, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, os.fsencode(root))] = _looked(path)
    return found


def _looked(path: bytes) -> tuple[int, bytes]:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return stat.S_IFLNK, os.readlink(path)
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return status.st_mode, file.read()
    return status.st_mode, b""


def specials(found: dict[bytes, tuple[int, bytes]]) -> list[bytes]:
    """The names that no package may hold."""
    return [path for path, (mode, _) in found.items() if any(test(mode) for test in FORBIDDEN)]


@contextmanager
def restless(root: Path, chance: random.Random) -> Iterator[None]:
    """Somebody who writes into files of a tree, removes and makes them, for the length of a `with` block."""
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.0005):
            path = root / f"file{chance.randrange(20)}"
            with suppress(OSError):
                if chance.random() < 0.3:
                    path.unlink()
                else:
                    path.write_bytes(chance.randbytes(chance.randrange(3000)))

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
