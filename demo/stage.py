"""Staged trees: what a build leaves for the installation, with bytecode, as every packaging tool makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.importers import Interpreter

TRIES = 5


@dataclass(frozen=True)
class Stage:
    """A tree whose files lie as they shall lie under the prefix."""

    name: str
    version: str
    tree: Path
    interpreter: Interpreter

    @property
    def site(self) -> Path:
        """Its site-packages."""
        return self.tree / self.interpreter.site

    def files(self) -> set[str]:
        """Every file in it, bytecode too."""
        return set(files_below(self.tree))


def files_below(root: Path) -> Iterator[str]:
    """Relative paths of everything in a tree that is no directory."""
    for folder, _, names in os.walk(root):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def is_bytecode(path: str) -> bool:
    """Whether a file is one that importers write as well."""
    return path.endswith((".pyc", ".pyo"))


def compile_tree(stage: Stage) -> None:
    """Compile everything in place, as pip does; what does not compile stays source."""
    command = stage.interpreter.command("-m", "compileall", "-q", str(stage.site))
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def put_bytecode_last(tree: Path) -> bool:
    """Let every directory list its bytecode after its sources; False where the file system doesn't play along.

    `cp` reads a directory in the order of inode numbers, which is luck: of six stagings of one wheel three came out
    with every `__pycache__` behind the sources, which is the order that meets the importers' bytecode.  Here the luck
    is made: a directory is written anew until it has that order.
    """
    folders = [Path(folder) for folder, _, _ in os.walk(tree, topdown=False) if not folder.endswith("__pycache__")]
    return all(_ordered(folder) or _write_anew(folder) for folder in folders)


def _late(entry: Path) -> bool:
    return entry.name == "__pycache__" or is_bytecode(entry.name)


def _ordered(folder: Path) -> bool:
    entries = list(folder.iterdir())
    sources = [entry.stat().st_ino for entry in entries if entry.is_file() and not _late(entry)]
    bytecode = [entry.stat().st_ino for entry in entries if _late(entry)]
    return not sources or not bytecode or max(sources) < min(bytecode)


def _write_anew(folder: Path) -> bool:
    """Write sources, then bytecode into directories beside, keeping those that fail until one is right."""
    tries = []
    for number in range(TRIES):
        tries.append(folder.with_name(f"{folder.name}.try{number}"))
        tries[-1].mkdir()
        for entry in sorted(folder.iterdir(), key=_late):
            if entry.is_file():
                shutil.copy2(entry, tries[-1])
            elif _late(entry):
                shutil.copytree(entry, tries[-1] / entry.name)
        if _ordered(tries[-1]):
            _take_over(folder, tries.pop())
            break
    for leftover in tries:
        shutil.rmtree(leftover)
    return _ordered(folder)


def _take_over(old: Path, new: Path) -> None:
    """Make `new` what `old` is, with its subdirectories, times and name."""
    for child in [child for child in old.iterdir() if child.is_dir() and not _late(child)]:
        child.rename(new / child.name)
    shutil.copystat(old, new)
    shutil.rmtree(old)
    new.rename(old)
