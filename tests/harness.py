"""What tests of real prefixes share: trees from dicts, snapshots, and a file system that fails or dies on demand."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from proof import world
from shipway.api import Options, Prefix, Staged, staged
from shipway.fs.system import FileSystem, RenameMode

DIED = 99
FINISHED = 0
RAISED = 7

SECOND = world.SECOND
make_tree = world.make_tree

OPTIONS = Options(jobs=1, wait=30)


def snapshot(root: Path, skip: str = "var") -> dict[str, tuple[str, int, str]]:
    """Everything below a prefix but the state directory and bytecode: kind, mode, content."""
    found = {}
    for parent, directories, files in os.walk(root):
        directories[:] = [d for d in directories if os.path.relpath(f"{parent}/{d}", root) != skip]
        for name in sorted(directories + files):
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                found[str(path.relative_to(root))] = ("l", 0, str(path.readlink()))
            elif path.is_dir():
                found[str(path.relative_to(root))] = ("d", stat.S_IMODE(status.st_mode), "")
            else:
                found[str(path.relative_to(root))] = ("f", stat.S_IMODE(status.st_mode), path.read_text())
    return found


def package(tree: Path, version: str, name: str = "pkg", *, move: bool = False) -> Staged:
    """A staged tree of that name and version, without bytecode."""
    return staged(str(tree), name, version, move=move, python="")


class FaultyFileSystem(FileSystem):
    """Fails, or dies, at the k-th change; `count` says how many there were."""

    def __init__(self, at: int, fault: Callable[[], None], mode: RenameMode = RenameMode.AUTO) -> None:
        super().__init__(mode)
        self.at = at
        self.fault = fault
        self.count = 0
        self.log: list[str] = []

    def step(self, operation: str, path: str) -> None:
        self.count += 1
        self.log.append(f"{operation} {path}")
        if self.count == self.at:
            self.fault()


def die() -> None:
    """The process is gone, with no chance to clean up."""
    os._exit(DIED)


def fail() -> None:
    """The disk refuses."""
    raise OSError(errno.EIO, "injected")


def in_child(action: Callable[[], None]) -> int:
    """Run in a forked process; its exit code: FINISHED, RAISED (an Exception) or DIED."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except Exception:
            os._exit(RAISED)
        os._exit(FINISHED)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def open_prefix(root: Path, fs: FileSystem | None = None) -> Prefix:
    """A prefix as tests use it: one process, no endless waits."""
    return Prefix(str(root), options=OPTIONS, fs=fs)


def versions(root: Path) -> dict[str, str]:
    """What the record says is installed."""
    with open_prefix(root) as prefix:
        return {p.package.name: p.package.version for p in prefix.packages()}
