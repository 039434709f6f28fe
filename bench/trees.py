"""Staged trees to measure with."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEIGHBOUR = "lib/neighbour"
SAMPLE = 1000
CALM = 60.0


@dataclass(frozen=True)
class Shape:
    """A tree of files of `size` bytes, spread evenly over package directories below lib/.

    `edition` alters the content of the first `altered` files in each directory.
    """

    files: int = 20_000
    directories: int = 200
    size: int = 4096
    edition: int = 1
    altered: int = 0

    def paths(self) -> Iterable[tuple[str, int]]:
        """Every directory, with how many files it has."""
        for number in range(self.directories):
            yield f"lib/package{number:03}", self.files // self.directories


def write_tree(root: Path, shape: Shape) -> Path:
    """Write a tree; each file's content is its own, and the same each time."""
    generator = random.Random(shape.files)
    for folder, count in shape.paths():
        os.makedirs(root / folder)
        for number in range(count):
            content = generator.randbytes(shape.size)
            if number < shape.altered:
                content = b"%d" % shape.edition + content[1:]
            write_file(f"{root}/{folder}/file{number:04}", content)
    return root


def write_file(path: str, content: bytes) -> None:
    """Write a small file."""
    with open(path, "wb", buffering=0) as file:
        file.write(content)


def new_prefix(root: Path) -> Path:
    """A prefix in use: lib/ is there, and somebody else's."""
    (root / "lib").mkdir(parents=True)
    (root / NEIGHBOUR).write_text("here before\n")
    return root


def settle() -> None:
    """Write everything back, so that no run pays for what was done before it."""
    os.sync()


def wait_for_calm(place: Path, patience: float = 180) -> float:
    """Wait until files are created at full speed, at most so many seconds; returns microseconds a file.

    Whoever deletes many files slows down the creation of others on the same ext4 for a minute or more, `cp` thus more
    than `merge --move`: measured now, the comparison would flatter us.
    """
    end = time.monotonic() + patience
    number = 0
    while (took := _creation(place / f"calm{number}")) > CALM and time.monotonic() < end:
        number += 1
        time.sleep(10)
    return took


def _creation(folder: Path) -> float:
    folder.mkdir()
    started = time.perf_counter()
    for number in range(SAMPLE):
        write_file(f"{folder}/{number}", b"")
    return (time.perf_counter() - started) / SAMPLE * 1e6
