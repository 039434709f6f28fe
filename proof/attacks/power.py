"""Power cuts: the disk as it was at each sync of a transaction and in between, mounted again, recovered and judged.

The prefix lies on a file system in a loop file.  What that file holds is what the file system has written so far; all else is
lost with the power.  Between the syncs some of it is written back at random, as a kernel may at any time.

On paper, which runs everywhere: the changes that a transaction made are done again on the disk before it, those since its last
sync kept, cut off, dropped or in disorder.

A twin leaves out one of the two syncs of a commit, and must be found broken.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from proof.disk import KINDS, DiskError, Kind, WriteBack, attached, copy_quiet, copy_sparse, formatted, memory, mounted
from proof.disk import why_not as why_no_disk
from proof.gate import Stop, build, run_gated, why_no_gate
from proof.replay import DISORDERS, carried_out, moments
from proof.replay import recorded as recorded_changes
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import DEEDS, Deed, World, snapshot

PROMISES = "I1 I3 I10"

PAPER = Kind("on paper", (), 0)
QUICK_NAMES = {"ext4": ("install, --move", "upgrade with swap"), "on paper": ("upgrade with swap",)}
DEED_NAMES = (
    "install", "install, --move", "upgrade with swap", "upgrade per file", "several packages", "remove", "undo",
)  # fmt: skip

FULL_NAMES = {"XFS without reflinks": ("install",)}

FIRST = "without the sync before the commit row"
SECOND = "without the sync before `done`"

QUICK_TWINS = (
    ("ext4", "install", FIRST), ("ext2", "upgrade with swap", SECOND),
    ("on paper", "install", FIRST), ("on paper", "upgrade with swap", SECOND),
)  # fmt: skip
TWINS = (
    ("ext4", "install", FIRST), ("XFS without reflinks", "install", FIRST), ("btrfs", "install", FIRST),
    ("btrfs", "upgrade with swap", SECOND), ("ext4 without journal", "upgrade with swap", SECOND),
    ("ext2", "upgrade with swap", SECOND), ("on paper", "install", FIRST), ("on paper", "upgrade with swap", SECOND),
)  # fmt: skip
"""Where a sync is missed.  The second one, where the sync of the record alone does not take the renames along: with the journals of
ext4 and XFS it does, by the way they are made.  The first one not on XFS with reflinks: making one writes the content to the
disk, and the journal brings the names."""

BETWEEN = 0.25
"""How likely something is written back before a change of a name."""


@dataclass
class Copy:
    """A disk as a power cut leaves it: `acknowledged` after the command had ended with success, `fresh` as in Cut."""

    image: Path
    moment: str
    acknowledged: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Cut:
    """How one run is disturbed: whether something is written back in between, and which sync is left out.

    A `fresh` stage is as a build has just left it, not on disk yet: it may be lost with the power, but not what was made of it.
    """

    chance: random.Random
    write_back: bool = False
    left_out: str = ""
    fresh: bool = False


@dataclass
class Ground:
    """A deed arranged on a file system: `base` is its disk before the deed."""

    kind: Kind
    world: World
    room: Path
    point: Path
    base: Path
    library: Path
    staged: dict[str, tuple[str, int, str]]
    copies: dict[str, Copy] = field(default_factory=dict)


def attack(scene: Scene) -> Iterable[Count]:
    """Every file system that can be had, every deed, and the twins."""
    for kind in KINDS:
        chosen = cases(scene, kind)
        missing = (why_no_gate() or why_no_disk(scene, kind)) if chosen else ""
        if missing:
            yield Count("power", kind.name, 0, promises=PROMISES, skipped=missing)
            continue
        for deed, left_out in chosen:
            yield tried(scene, kind, deed, left_out)
    for deed, left_out in cases(scene, PAPER):
        yield on_paper(scene, deed, left_out)


def cases(scene: Scene, kind: Kind) -> list[tuple[Deed, str]]:
    """The deeds to try on a file system, and what is left out: the quick form tries ours on the first alone, and on paper."""
    deeds = {deed.name: deed for deed in DEEDS}
    names = FULL_NAMES.get(kind.name, DEED_NAMES) if scene.full else QUICK_NAMES.get(kind.name, ())
    twins = TWINS if scene.full else QUICK_TWINS
    return [(deeds[n], "") for n in names] + [(deeds[n], left_out) for on, n, left_out in twins if on == kind.name]


def named(kind: Kind, deed: Deed, left_out: str) -> str:
    """The name of a case."""
    return ", ".join(filter(None, (kind.name, deed.name, left_out)))


def tried(scene: Scene, kind: Kind, deed: Deed, left_out: str = "") -> Count:
    """One deed on one file system, cut at each sync and, in more runs, at random moments."""
    case = named(kind, deed, left_out)
    chance = scene.chance(case)
    room = scene.room("power")
    try:
        with memory(room / "disks") as disks:
            ground = arrange(scene, kind, deed, disks)
            for number in range(scene.times(3, 2)):
                recorded(ground, Cut(chance, number > 0, left_out, number % 2 == 1))
            return judged(ground, case, Cut(chance, left_out=left_out), scene.times(12, 6) * (2 if left_out else 1))
    finally:
        leave(room)


def arrange(scene: Scene, kind: Kind, deed: Deed, disks: Path) -> Ground:
    """Make the prefix, on a file system that never held anything else: no remains of removed files to confuse a repair."""
    used, base, point = formatted(kind, disks / "used"), formatted(kind, disks / "base"), disks / "mnt"
    with mounted(used, kind, point):
        world = World(scene, deed, point)
        with mounted(base, kind, disks / "fresh"):
            run(["cp", "-a", f"{point}/.", str(disks / "fresh")])
    used.unlink()
    return Ground(kind, world, disks, point, base, build(disks), world.staged)


def recorded(ground: Ground, cut: Cut) -> None:
    """Carry the deed out once and keep a copy of the disk at each stop."""
    image = ground.room / "live"
    copy_sparse(ground.base, image)
    with mounted(image, ground.kind, ground.point) as device:
        if cut.fresh:
            written_again(ground.world.stages)
        camera = Camera(ground, image, device, cut)
        code = run_gated(ground.world.command(), ground.library, camera)
        if code:
            raise RuntimeError(f"{ground.world.deed.name} ended with {code}")
        camera.acknowledged()
    image.unlink()


def written_again(tree: Path) -> None:
    """Make every file of a tree anew, with the same content and time."""
    for path in [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]:
        status, content = path.stat(), path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        path.chmod(status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


class Camera:
    """Takes a copy at each stop that says something new, and answers whether the call is left out."""

    def __init__(self, ground: Ground, image: Path, device: str, cut: Cut) -> None:
        self.ground = ground
        self.image = image
        self.device = device
        self.cut = cut
        self.back = WriteBack(ground.point, device, cut.chance)
        self.syncs = 0
        self.stops = 0

    def __call__(self, stop: Stop) -> bool:
        """What the gate asks."""
        self.stops += 1
        written = ""
        if self.cut.write_back and not stop.is_sync and self.cut.chance.random() < BETWEEN:
            written = f", {self.back.some()} written back"
        self.take(f"stop {self.stops}, {stop.when} {stop.call}{written}")
        return self._is_left_out(stop)

    def _is_left_out(self, stop: Stop) -> bool:
        """The first sync is what comes before the main process has made one, its helper's included."""
        if stop.call != "syncfs" or stop.when != "before":
            return False
        first = self.syncs == 0
        self.syncs += stop.main
        return self.cut.left_out == (FIRST if first else SECOND)

    def acknowledged(self) -> None:
        """The command is done: from now on the new state must be there, whatever else comes to the disk or not."""
        self.take("at the end", acknowledged=True)
        if self.cut.write_back:
            for number in range(3):
                self.take(f"{number + 1} after the end, {self.back.some()} written back", acknowledged=True)

    def take(self, moment: str, *, acknowledged: bool = False) -> None:
        """Keep the disk as it is, unless there is such a copy."""
        copies = self.ground.copies
        target = self.ground.room / f"copy-{len(copies)}"
        digest = copy_quiet(self.image, self.device, target)
        if digest in copies:
            target.unlink()
            copies[digest].acknowledged |= acknowledged
        elif digest:
            copies[digest] = Copy(target, moment, acknowledged, self.cut.fresh)


def judged(ground: Ground, case: str, cut: Cut, most: int) -> Count:
    """Mount all copies from after the end and so many of the others, for a twin the later ones; recover and judge them.

    Without a journal the file system itself loses names when it is cut in the middle of a change, ours or another's: there
    only what was acknowledged is promised, and the rest is told as figures.
    """
    copies = list(ground.copies.values())
    others = [c for c in copies if not c.acknowledged]
    chosen = [c for c in copies if c.acknowledged]
    others = others[len(others) // 2 :] if cut.left_out else others
    chosen += sorted(cut.chance.sample(others, min(len(others), most)), key=copies.index)
    promised: list[str] = []
    unpromised: list[str] = []
    for number, copy in enumerate(chosen):
        problems = problems_of(ground, copy, other_device=bool(number % 2))
        found = promised if ground.kind.journal or copy.acknowledged else unpromised
        found += [f"{copy.moment}: {'; '.join(problems)}"] if problems else []
    figures: dict[str, float | str] = {
        "distinct disks": len(copies),
        "after the end": sum(c.acknowledged for c in copies),
    }
    if not ground.kind.journal:
        figures["lost in the middle"] = len(unpromised)
    return Count("power", case, len(chosen), promised, PROMISES, figures=figures, naive=bool(cut.left_out))


def problems_of(ground: Ground, copy: Copy, *, other_device: bool) -> list[str]:
    """What is wrong with one copy once it is mounted, maybe on another device than before, and recovered."""
    try:
        if other_device:
            with attached(ground.base):
                return _found(ground, copy)
        return _found(ground, copy)
    except DiskError as error:
        return [f"the file system is lost: {error}"]


def _found(ground: Ground, copy: Copy) -> list[str]:
    with mounted(copy.image, ground.kind, ground.point):
        ground.world.staged = healed_stage(ground.world) if copy.fresh else ground.staged
        return problems_in(ground.world, acknowledged=copy.acknowledged)


def healed_stage(world: World) -> dict[str, tuple[str, int, str]]:
    """What a power cut left of a stage that nobody had synced, once it is back where it was."""
    world.scene.run("-p", world.root, "recover")
    return snapshot(world.stages)


def on_paper(scene: Scene, deed: Deed, left_out: str = "") -> Count:
    """One deed, its changes done again in each kind of disorder, cut at some moments and at the end."""
    case = named(PAPER, deed, left_out)
    chance = scene.chance(case)
    room = scene.room("paper")
    try:
        world = World(scene, deed, room)
        found = [m for m in moments(recorded_changes(world), ("", FIRST, SECOND).index(left_out)) if m.record]
        found = found[len(found) // 2 :] if left_out else found
        tries, broken = 0, []
        for disorder in DISORDERS:
            for moment in (*chance.sample(found[:-1], min(len(found) - 1, scene.times(12, 2))), found[-1]):
                tries += 1
                carried_out(world, moment, disorder, chance)
                problems = problems_in(world, acknowledged=moment.over)
                what = f"after {len(moment.synced) + len(moment.unsynced)} changes, {disorder.__name__}"
                broken += [f"{what}: {'; '.join(problems)}"] if problems else []
        return Count("power", case, tries, broken, PROMISES, naive=bool(left_out))
    finally:
        leave(room)


def problems_in(world: World, *, acknowledged: bool) -> list[str]:
    """What is wrong: the judge's complaints, or that what had ended with success is gone."""
    problems = world.judge()
    if acknowledged and not problems and snapshot(world.root) != world.after:
        problems = ["the command had ended with success, and the prefix is as it was before"]
    return problems
