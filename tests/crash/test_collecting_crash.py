"""A collection that dies at any change, while programs go on writing into directories that were swapped out: no file is lost."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import DIED, FINISHED, FaultyFileSystem, die, in_child, make_tree, open_prefix, package

STATE = "var/lib/shipway"
OLD = {"lib/pkg/a": "old", "lib/pkg/b": "old", "lib/pkg/sub/c": "old", "lib/one": "old"}
NEW = dict.fromkeys(OLD, "new")

RESIDENT = """
import os, sys, time
live = sys.argv[1]
os.chdir(live)
print("ready", flush=True)
while os.path.samestat(os.stat("."), os.stat(live)):
    pass
for number in range(100_000):
    try:
        with open(f"late{number}", "x") as file:
            file.write(str(number))
    except FileNotFoundError:
        break
    print(f"late{number}", flush=True)
    time.sleep(0.001)
"""


MANY = 12


class Haunted(FaultyFileSystem):
    """Somebody in old directories writes a file before each of the last few changes; what he wrote is on a list."""

    def __init__(self, at: int, directories: list[int], written: Path) -> None:
        super().__init__(at, die)
        self.directories = directories
        self.written = written
        self.left = MANY

    def step(self, operation: str, path: str) -> None:
        for directory in self.directories if self.count > self.at - MANY / 2 and self.left else ():
            self.left -= 1
            write_into(directory, f"{os.getpid()}-{self.count}-{directory}", self.written)
        super().step(operation, path)


def write_into(directory: int, name: str, written: Path) -> None:
    """Write a file where the directory is, if it is anywhere, and then down that it is there."""
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=directory))
    except FileNotFoundError:
        return
    with written.open("a") as names:
        names.write(f"{name}\n")


def arranged(root: Path, trees: Path) -> None:
    """A prefix with the old version; somebody's file keeps `lib` from being swapped as one."""
    make_tree(root, {"lib/other": "somebody's"})
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(trees / "old", OLD), "1"))
    make_tree(trees / "new", NEW)


def upgrade(root: Path, trees: Path) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(trees / "new", "2"))


def collect(root: Path, at: int = 0, directories: list[int] | None = None, written: Path = Path()) -> int:
    """Collect in a process of its own, which dies at a change; its exit code."""

    def run() -> None:
        with open_prefix(root, Haunted(at, directories or [], written)) as prefix:
            prefix.gc(keep=0)

    return in_child(run)


def names_below(root: Path) -> set[str]:
    return {name for _, _, names in os.walk(root) for name in names}


@contextmanager
def opened(*paths: Path) -> Iterator[list[int]]:
    found = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths]
    try:
        yield found
    finally:
        for descriptor in found:
            os.close(descriptor)


def test_nothing_that_was_written_is_lost_wherever_a_collection_dies(tmp_path: Path) -> None:
    start, trees = tmp_path / "start", tmp_path / "trees"
    arranged(start, trees)
    code = DIED
    for step in itertools.count(1):
        root, written = tmp_path / f"p{step}", tmp_path / f"w{step}"
        written.touch()
        shutil.copytree(start, root, symlinks=True)
        with opened(root / "lib/pkg", root / "lib/pkg/sub") as directories:
            upgrade(root, trees)
            code = collect(root, step, directories, written)
            open_prefix(root).close()
            for directory in directories:
                write_into(directory, f"between-{directory}", written)
            with open_prefix(root) as prefix:
                assert prefix.verify().ok
                assert not list((root / STATE / "work").iterdir())
            assert collect(root, 0, directories, written) == FINISHED
        missing = set(written.read_text().split()) - names_below(root / STATE / "lost+found")
        assert not missing, f"dead at step {step}"
        assert not list((root / STATE / "undo").iterdir())
        with open_prefix(root) as prefix:
            assert [name for name in os.listdir(root / STATE / "images") if name != "CACHEDIR.TAG"]
            assert len(list(prefix.site.database.images())) == 1
        shutil.rmtree(root)
        if code == FINISHED:
            break
    assert step > 10


def test_a_program_whose_working_directory_was_swapped_out_loses_nothing(tmp_path: Path) -> None:
    start, trees = tmp_path / "start", tmp_path / "trees"
    arranged(start, trees)
    total = 0
    for step in itertools.count(1, 2):
        root = tmp_path / f"p{step}"
        shutil.copytree(start, root, symlinks=True)
        command = [sys.executable, "-c", RESIDENT, str(root / "lib/pkg")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as resident:
            assert resident.stdout is not None
            assert resident.stdout.readline() == "ready\n"
            upgrade(root, trees)
            assert select.select([resident.stdout], [], [], 30)[0]
            code = collect(root, step)
            open_prefix(root).close()
            assert collect(root) == FINISHED
            acknowledged = resident.communicate(timeout=30)[0].split()
        found = names_below(root / STATE / "lost+found") | names_below(root / "lib")
        assert not set(acknowledged) - found, f"dead at step {step}"
        total += len(acknowledged)
        shutil.rmtree(root)
        if code == FINISHED:
            break
    assert total > step
