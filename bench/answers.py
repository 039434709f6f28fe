"""What only asks, and what the rest costs: questions about many packages, memory, the start."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.command import run
from bench.report import Measure
from bench.shop import Shop
from bench.trees import Shape, new_prefix, settle, write_tree

PACKAGES = 500
FILES_EACH = 1_000
TRANSACTIONS_OF = 25
ASKED = 9
STARTS = 15
MANY = Shape(files=200_000, directories=500, size=64)

FILL = Path(__file__).with_name("fill.py")


def questions(shop: Shop) -> Iterable[Measure]:
    """`list`, `owner` and `files` with 500 packages of 1,000 files each."""
    room = shop.room("questions")
    prefix = new_prefix(room / "prefix")
    sizes = [str(size) for size in (PACKAGES, FILES_EACH, TRANSACTIONS_OF)]
    run([sys.executable, str(FILL), str(prefix), str(room / "stages"), *sizes])
    settle()
    middle = f"package{PACKAGES // 2:03}"
    asked = {"list": [], "owner": [f"lib/{middle}/file0500"], "files": [middle]}
    work = f"{PACKAGES} packages, {PACKAGES * FILES_EACH:,} files"
    command = [shop.shipway, "-p", str(prefix)]
    return [
        Measure(f"{verb}, {work}", "ms", times([*command, verb, *words], ASKED), 150) for verb, words in asked.items()
    ]


def memory(shop: Shop) -> Iterable[Measure]:
    """The most memory that a merge of 200,000 files takes, all its processes together."""
    room = shop.room("memory")
    stage, prefix = write_tree(room / "stage", MANY), new_prefix(room / "prefix")
    settle()
    about = ["--name", "bench", "--version", "1"]
    ran = run([shop.shipway, "-p", str(prefix), "merge", str(stage), *about], watch=True)
    work = f"memory, merge of {MANY.files:,} files"
    return [Measure(work, "MB", [ran.peak / 1e6], 400, {"seconds": [ran.seconds]})]


def start(shop: Shop) -> Iterable[Measure]:
    """`shipway --version`."""
    return [Measure("shipway --version", "ms", times([shop.shipway, "--version"], STARTS), 100)]


def times(command: Sequence[str], number: int) -> list[float]:
    """Milliseconds of each of so many runs, after one that warms up."""
    run(command)
    return [run(command).seconds * 1000 for _ in range(number)]
