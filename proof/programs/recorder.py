"""Run a command of Shipway, or a script, and write down every change to the disk and every state of the record.

python recorder.py LOG DATABASE shipway ARGUMENTS…
python recorder.py LOG DATABASE -c SCRIPT ARGUMENTS…

A line of the log is a JSON list: the change and its paths, content in base64.  Children write to the same log.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from shipway.fs import system

LOG, DATABASE = sys.argv[1:3]


class Recorder(system.FileSystem):
    """Does what it is told, and writes it down once it is done."""

    def step(self, operation: str, path: str) -> None:
        """Single removals, also those within a tree, are known by their step."""
        if operation in ("unlink", "rmdir"):
            note(operation, path)

    def place(self, source: str, target: str) -> None:
        """A rename."""
        super().place(source, target)
        note("rename", source, target)

    def take(self, source: str, target: str) -> None:
        """A rename."""
        super().take(source, target)
        note("rename", source, target)

    def replace(self, source: str, target: str) -> None:
        """A rename over what is there."""
        super().replace(source, target)
        note("rename", source, target)

    def exchange(self, a: str, b: str) -> None:
        """Two renames in one."""
        super().exchange(a, b)
        note("exchange", a, b)

    def link(self, source: str, target: str) -> None:
        """Another name."""
        super().link(source, target)
        note("link", source, target)

    def symlink(self, text: str, target: str) -> None:
        """A symlink."""
        super().symlink(text, target)
        note("symlink", text, target)

    def mkdir(self, path: str, mode: int) -> None:
        """A directory."""
        super().mkdir(path, mode)
        note("mkdir", path, mode)

    def chmod(self, path: str, mode: int) -> None:
        """A mode."""
        super().chmod(path, mode)
        note("chmod", path, mode)

    def utime(self, path: str, mtime_ns: int) -> None:
        """A time."""
        super().utime(path, mtime_ns)
        note("utime", path, mtime_ns)

    def write_file(self, path: str, data: bytes | Iterable[bytes], mode: int, mtime_ns: int | None = None) -> None:
        """A file."""
        super().write_file(path, data, mode, mtime_ns)
        note_file(path)

    def copy_file(self, source: str, target: str, mode: int, mtime_ns: int) -> None:
        """A file."""
        super().copy_file(source, target, mode, mtime_ns)
        note_file(target)

    def clone_file(self, source: str, target: str, mode: int, mtime_ns: int) -> bool:
        """A file, where data can be shared."""
        done = super().clone_file(source, target, mode, mtime_ns)
        if done:
            note_file(target)
        return done

    def sync(self, descriptor: int) -> None:
        """All that was written before is on disk."""
        super().sync(descriptor)
        note("sync")

    def flush(self, path: str) -> None:
        """One file, or the names in one directory, are on disk."""
        super().flush(path)
        note("flush", path)


def note(operation: str, *details: str | int) -> None:
    """A line, after one with the record if that has changed since the last."""
    if not os.path.exists(f"{DATABASE}-journal"):
        content = Path(DATABASE).read_bytes()
        if content != note.known:  # type: ignore[attr-defined]
            note.known = content  # type: ignore[attr-defined]
            write("database", encoded(content))
    write(operation, *details)


note.known = b""  # type: ignore[attr-defined]


def note_file(path: str) -> None:
    """A new file, with what it holds."""
    status = os.lstat(path)
    note("file", path, encoded(Path(path).read_bytes()), status.st_mode & 0o7777, status.st_mtime_ns)


def encoded(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode()


def write(*line: str | int) -> None:
    """One line, in one call, so that those of several processes do not mix."""
    descriptor = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


def main() -> int:
    """Put the recorder in the place of the one door to the disk, and run."""
    system.FileSystem = Recorder  # type: ignore[misc]
    if sys.argv[3] == "-c":
        script = sys.argv[4]
        sys.argv[:] = ["-c", *sys.argv[5:]]
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
        return 0
    from shipway.cli.main import main as command

    return command(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
