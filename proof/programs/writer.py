"""Create, rename, edit and remove files of its own in a directory until stdin is closed, then report which must be there.

    python writer.py DIRECTORY NAME [cwd]

By absolute paths; with `cwd`, by relative ones, the directory being the working directory: when that was taken away, the
program goes on in the old one for a while, as one would that knows nothing of it, and then enters the new one.

A file counts as acknowledged when the call that completed it has returned.  What failed because a name was not there for
a moment is counted as refused, and nothing is expected of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

STAY = 0.2
"""Seconds that a program goes on in a directory that is no longer there by its name."""


class Writer:
    """Knows what it was acknowledged: names and contents."""

    def __init__(self, directory: Path, who: str) -> None:
        self.directory = directory
        self.who = who
        self.chance = random.Random(who)
        self.files: dict[str, str] = {}
        self.old: list[tuple[str, str]] = []
        self.number = self.done = self.refused = 0

    def new_name(self, kind: str) -> str:
        """A name that never was there before."""
        self.number += 1
        return f"{kind}-{self.who}-{self.number}"

    def create(self) -> str:
        """Write a new file and close it."""
        name = self.new_name("temporary")
        with open(self.directory / name, "x", encoding="ascii") as file:
            file.write(name)
        self.files[name] = name
        return name

    def rename(self, source: str, target: str) -> None:
        """Rename a file of ours, perhaps over another one."""
        (self.directory / source).rename(self.directory / target)
        self.files[target] = self.files.pop(source)

    def new(self) -> None:
        """As careful programs write: beside, then renamed."""
        self.rename(self.create(), self.new_name("file"))

    def replace(self) -> None:
        """As editors save: beside, then over the old file; one that was lost must not be hidden by a new one."""
        target = self.one()
        (self.directory / target).lstat()
        self.rename(self.create(), target)

    def edit(self) -> None:
        """As logs are written: opened where it is, and something added."""
        name = self.one()
        text = f" {self.number}"
        with open(self.directory / name, "r+", encoding="ascii") as file:
            file.seek(0, os.SEEK_END)
            file.write(text)
        self.files[name] += text

    def remove(self) -> None:
        """Remove a file."""
        name = self.one()
        (self.directory / name).unlink()
        del self.files[name]

    def one(self) -> str:
        """One of our files; a new one if there is none."""
        return self.chance.choice(sorted(self.files)) if self.files else self.create()

    def attempt(self, act: Callable[[], None]) -> None:
        """Do it; a name that is not there just now is a refusal."""
        try:
            act()
            self.done += 1
        except FileNotFoundError:
            self.refused += 1

    def burst(self) -> None:
        """A few acts, then all files go, so that the directory can be swapped as one again, and a pause."""
        for _ in range(self.chance.randrange(1, 12)):
            self.attempt(self.chance.choice((self.new, self.new, self.replace, self.edit, self.remove)))
        if self.chance.random() < 0.7:
            for name in list(self.files):
                with contextlib.suppress(FileNotFoundError):
                    (self.directory / name).unlink()
                    del self.files[name]
        time.sleep(self.chance.random() * 0.01)

    def inside(self, directory: Path) -> None:
        """Work by relative names; once the directory is the old one, leave files there, then enter the new one."""
        self.directory = Path()
        left = None
        while not stopped() and (left is None or time.monotonic() < left):
            here = os.stat(".")
            if left is None and not (directory.exists() and os.path.samestat(here, directory.stat())):
                left = time.monotonic() + STAY
            if left is None:
                self.attempt(self.passing)
            else:
                self.attempt(self.leave_one)
        self.attempt(lambda: os.chdir(directory))

    def passing(self) -> None:
        """A file that goes again at once."""
        name = self.create()
        (self.directory / name).unlink()
        del self.files[name]

    def leave_one(self) -> None:
        """A file that stays behind."""
        name = self.create()
        self.old.append((name, self.files.pop(name)))


def stopped() -> bool:
    """Whether stdin was closed."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main() -> None:
    """Work until told to stop."""
    directory = Path(sys.argv[1])
    writer = Writer(directory, sys.argv[2])
    os.chdir(directory if sys.argv[3:] else "/")
    print("ready", flush=True)
    while not stopped():
        if sys.argv[3:]:
            writer.inside(directory)
        else:
            writer.burst()
    left = [*writer.files.items(), *writer.old]
    print(json.dumps({"left": left, "done": writer.done, "refused": writer.refused}))


if __name__ == "__main__":
    main()
