"""Staged trees to measure with."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEIGHBOUR = "lib/neighbour"


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
