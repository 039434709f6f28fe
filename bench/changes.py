"""What changes a prefix, against `cp -Rp` and `rm -rf`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bench.command import Ran, run
from bench.report import Measure
from bench.shop import Act, Runs, Shop, copy
from bench.trees import Shape, new_prefix, settle, write_tree

SIDES = ("shipway", "cp")
COPY_ALL = 'cp -Rp "$0/." "$1" && rm -rf "$0" && sync'


def move(shop: Shop) -> Iterable[Measure]:
    """`merge --move` against `cp -Rp` of an equal tree, into prefixes of their own."""
    room = shop.room("move")

    def prepare(number: int) -> tuple[Act, Act]:
        (mine, prefix), (other, target) = stages_and_prefixes(room / str(number), shop.shape)
        return lambda: shop.merge(mine, prefix, "--move"), lambda: copy(other, target)

    runs = shop.compare(prepare)
    return [runs.ratio("merge --move / cp -Rp", 0.65), *runs.lock("fresh", 10)]


def whole(shop: Shop) -> Iterable[Measure]:
    """`merge --move` against all that it stands for: the copy, the stage's removal, and the way to the disk."""
    room = shop.room("whole")

    def prepare(number: int) -> tuple[Act, Act]:
        (mine, prefix), (other, target) = stages_and_prefixes(room / str(number), shop.shape)
        return lambda: shop.merge(mine, prefix, "--move"), lambda: settled("sh", "-c", COPY_ALL, other, target)

    return [shop.compare(prepare).ratio("merge --move / cp -Rp + rm -rf of the stage + sync", None)]


def merge(shop: Shop) -> Iterable[Measure]:
    """`merge`, which leaves the stage, against `cp -Rp` of the same tree."""
    room = shop.room("merge")

    def prepare(number: int) -> tuple[Act, Act]:
        stage = write_tree(room / f"{number}/stage", shop.shape)
        prefix, target = (new_prefix(room / f"{number}/{side}") for side in SIDES)
        return lambda: shop.merge(stage, prefix), lambda: copy(stage, target)

    return [shop.compare(prepare).ratio("merge / cp -Rp", 1.5)]


def exchange(shop: Shop) -> Iterable[Measure]:
    """An upgrade in which every file changes, so that every directory is exchanged."""
    runs = upgrades(shop, "exchange", replace(shop.shape, edition=2, altered=shop.shape.files))
    return [runs.ratio("upgrade, every file, --move / cp -Rp over the old", None), *runs.lock("upgrade", 20)]


def change(shop: Shop) -> Iterable[Measure]:
    """An upgrade in which one file of them all changes."""
    runs = upgrades(shop, "change", shop.shape, one_file=True)
    return [runs.ratio("upgrade, one file, --move / cp -Rp over the old", 0.6)]


def upgrades(shop: Shop, part: str, after: Shape, *, one_file: bool = False) -> Runs:
    """From the shop's shape to another: by `merge --move`, and by `cp -Rp` over what is there."""
    room = shop.room(part)

    def prepare(number: int) -> tuple[Act, Act]:
        (mine, prefix), (other, target) = stages_and_prefixes(room / f"{number}/before", shop.shape)
        copy(other, target)
        shop.merge(mine, prefix, "--move")
        new, new_too = (write_tree(room / f"{number}/{side}", after) for side in SIDES)
        for tree in (new, new_too) if one_file else ():
            (tree / "lib/package000/file0000").write_bytes(b"changed")
        return lambda: shop.merge(new, prefix, "--move", version="2"), lambda: copy(new_too, target)

    return shop.compare(prepare)


def remove(shop: Shop) -> Iterable[Measure]:
    """`remove` against `rm -rf`, until the command returns."""
    room = shop.room("remove")

    def prepare(number: int) -> tuple[Act, Act]:
        (mine, prefix), (other, target) = stages_and_prefixes(room / str(number), shop.shape)
        shop.merge(mine, prefix, "--move")
        copy(other, target)
        return lambda: shop.call(prefix, "remove", "bench"), lambda: settled("rm", "-rf", target / "lib")

    return [shop.compare(prepare).ratio("remove / rm -rf", 0.2)]


def stages_and_prefixes(room: Path, shape: Shape) -> list[tuple[Path, Path]]:
    """A stage and a prefix to put it into, for either side."""
    return [(write_tree(room / f"{side}-stage", shape), new_prefix(room / side)) for side in SIDES]


def settled(*command: str | Path) -> Ran:
    """Run a command after everything was written back."""
    settle()
    return run([str(word) for word in command])
