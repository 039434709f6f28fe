"""Commands killed at a chosen moment: SIGKILL on entering the k-th call of one system call, which then never happens.

strace counts the calls of each kind, so a moment is a kind and a number.  They are read off the log of an undisturbed run:
those that succeeded, and that touch a path or a descriptor below the places of interest.  Two runs of one command make the same
calls, but for numbers of processes and tokens.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from proof.scene import Scene, run
from proof.world import STATE

RENAMES = ("rename", "renameat", "renameat2")
CALLS = (
    *RENAMES, "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
    "open", "openat", "write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile", "truncate", "ftruncate", "fallocate",
    "fsync", "fdatasync", "syncfs", "sync_file_range", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat",
    "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
)  # fmt: skip
"""Every call that may change a file system, as far as the kernel knows it by this name."""

TRACED = ",".join(f"?{name}" for name in CALLS)
LINE = re.compile(r"^(?:\d+ +)?(?P<call>\w+)\((?P<rest>.*)$")
QUOTED = re.compile(r'"([^"]*)"|<(/[^>]*)>')
OPENS = ("open", "openat")


class Moment(NamedTuple):
    """The `number`-th call of this kind; `paths` are what it names, `position` its place among all moments of the run."""

    call: str
    number: int
    paths: tuple[str, ...]
    position: int

    def __str__(self) -> str:
        return f"{self.call} {self.number} ({' '.join(self.paths)[-120:]})"

    def renames_in(self, root: Path) -> bool:
        """Whether it renames something in the live tree."""
        state, tree = f"{root / STATE}/", f"{root}/"
        return self.call in RENAMES and any(p.startswith(tree) and not p.startswith(state) for p in self.paths)


@functools.cache
def impossible() -> str:
    """Why commands cannot be killed here; empty if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with TemporaryDirectory() as room:
        killed = kill(["mkdir", f"{room}/a"], Moment("mkdir", 1, (), 0))
        return "" if killed and not Path(room, "a").exists() else "strace cannot kill here"


def moments(command: Sequence[str], places: Sequence[Path]) -> list[Moment]:
    """Run a command undisturbed; every moment it can be killed at, first to last.  Raises RuntimeError if it fails."""
    with TemporaryDirectory() as room:
        log = Path(room, "log")
        done = run(
            ["strace", "-f", "-e", f"trace={TRACED}", "-y", "-s", "4096", "-e", "signal=none", "-o", str(log), *command]
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return list(_read(log, tuple(f"{place}/" for place in places)))


def _read(log: Path, places: tuple[str, ...]) -> Iterator[Moment]:
    numbers: Counter[str] = Counter()
    position = 0
    for line in log.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if not found:
            continue
        call, rest = found["call"], found["rest"]
        numbers[call] += 1
        paths = tuple(one or other for one, other in QUOTED.findall(_without_data(call, rest)))
        if _changes(call, rest) and any(f"{path}/".startswith(places) for path in paths):
            yield Moment(call, numbers[call], paths, position)
            position += 1


def _without_data(call: str, rest: str) -> str:
    """What is written is no path; and the result of opening is named twice."""
    return rest.partition(", ")[0] if "write" in call else rest.rpartition(" = ")[0]


def _changes(call: str, rest: str) -> bool:
    if rest.rpartition(" = ")[2].startswith("-1"):
        return False
    return call not in OPENS or "O_CREAT" in rest or "O_TRUNC" in rest


def kill(command: Sequence[str], moment: Moment) -> bool:
    """Run a command, and kill it at a moment; False if the run did not come so far."""
    inject = ["-e", f"trace={moment.call}", "-e", f"inject={moment.call}:signal=KILL:when={moment.number}"]
    with TemporaryDirectory() as room:
        log = Path(room, "log")
        run(["strace", "-f", "-o", str(log), *inject, *command])
        return log.is_file() and "+++ killed by SIGKILL" in log.read_text(errors="replace")


def spread(scene: Scene, name: str, found: Sequence[Moment], most: int) -> list[Moment]:
    """At most so many moments, evenly from first to last; another seed shifts them."""
    if len(found) <= most:
        return list(found)
    width = len(found) / most
    shift = scene.chance(name).random()
    return [found[int((k + shift) * width)] for k in range(most)]
