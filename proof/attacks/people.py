"""Root and users, groups, umasks, readers without rights, lock hogs, what is immutable or another's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path

from proof.company import program
from proof.hogs import hogs
from proof.obstacles import obstacles
from proof.persons import (
    ANNA,
    BERT,
    GROUP,
    OWNER,
    ROOT,
    STRANGER,
    Case,
    Guard,
    Person,
    Words,
    everything,
    install,
    tree,
)
from proof.reach import OutOfReachError, within_reach
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import snapshot

CASES = (
    "owner, then root, then owner",
    "root, then owner",
    "A and B in a group",
    "umask 077",
    "a reader without rights",
    "lock hogs",
    "what is immutable, read-only, or another's",
)


def attack(scene: Scene) -> Iterator[Count]:
    """Everything, or nothing where nobody else can be tried."""
    try:
        with within_reach(scene) as scene:
            yield from everybody(scene)
    except OutOfReachError as error:
        yield from (Count("people", case, 0, skipped=str(error)) for case in CASES)


def everybody(scene: Scene) -> Iterator[Count]:
    """All cases, as many at a time as there are processors: each has a place of its own."""
    cases: list[Case] = [
        partial(_mixed, case="owner, then root, then owner", first=OWNER),
        partial(_mixed, case="root, then owner", first=ROOT),
        _group,
        _umask,
        *_readers(),
        *hogs(scene),
        *obstacles(scene),
    ]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda number: cases[number](_apart(scene, number)), range(len(cases)))


def _apart(scene: Scene, number: int) -> Scene:
    place = scene.place / f"case{number}"
    place.mkdir()
    place.chmod(0o755)
    return replace(scene, place=place)


Deed = tuple[Person, Words]


def prefix_of(room: Path, who: Person, gid: int | None = None) -> Path:
    """A new prefix of somebody's own, or of somebody's group."""
    room.chmod(0o755)
    root = room / "prefix"
    root.mkdir()
    who.own(root)
    if gid is not None:
        run(["chgrp", str(gid), str(root)])
        root.chmod(0o2775)
        (root / "shipway.toml").write_text(f'prefix = "."\n[share]\ngroup = "{gid}"\numask = "002"\n')
    return root


def staged(room: Path, name: str, number: int) -> Path:
    """A stage that everybody may read."""
    stage = tree(room / f"{name}{number}", name, number)
    run(["chmod", "-R", "a+rX", str(stage)])
    return stage


# -- root and the owner ------------------------------------------------------------------------------------------


def _mixed(scene: Scene, case: str, first: Person) -> Count:
    """Root and the owner in turn; in the end everything is the owner's again, and all of it must work for him."""
    broken: list[str] = []
    tries = refused = 0
    for turn in range(scene.times(2, 1)):
        room = scene.room("mixed")
        root = prefix_of(room, OWNER)
        guard = Guard(scene, root)
        order = [first, ROOT if first is OWNER else OWNER] * 2
        for who, words in _exchange(room, order[turn % 2 :] + order[: turn % 2]):
            broken += guard.right_or_refused(who, words)
        OWNER.own(root)
        last: list[Words] = [*_life(room, "later"), ["verify"], ["gc", "--keep", "0"], ["list"]]
        for words in last:
            broken += guard.must(OWNER, words)
        tries, refused = tries + guard.tries, refused + guard.refused
        leave(room)
    return Count("people", case, tries, broken, "I3, I8", figures={"refused": refused})


def _exchange(room: Path, order: Sequence[Person]) -> Iterator[Deed]:
    """Installs, upgrades, undoing, collecting and removal of each other's packages."""
    one, two, three, four = order
    yield one, install("one", 1, staged(room, "one", 1))
    yield two, install("two", 1, staged(room, "two", 1))
    yield three, install("two", 2, staged(room, "two", 2))
    yield four, install("one", 2, staged(room, "one", 2))
    yield one, ["undo"]
    yield three, ["redo"]
    yield three, ["gc", "--keep", "0"]
    yield one, ["remove", "two"]
    yield three, ["remove", "one"]


def _life(room: Path, name: str) -> list[Words]:
    """A package comes, is replaced, comes back, and goes."""
    merges = list(starmap(install, ((name, n, staged(room, name, n)) for n in (1, 2))))
    return [*merges, ["undo"], ["redo"], ["remove", name]]


# -- a group -----------------------------------------------------------------------------------------------------


def _group(scene: Scene) -> Count:
    broken: list[str] = []
    tries = 0
    for turn in range(scene.times(3, 1)):
        room = scene.room("group")
        root = prefix_of(room, ANNA, GROUP)
        guard = Guard(scene, root)
        order = [ANNA, BERT] if turn % 2 == 0 else [BERT, ANNA]
        for who, words in _exchange(room, order * 2):
            broken += guard.must(who, words)
        broken += _not_the_groups(root)
        tries += guard.tries
        leave(room)
    return Count("people", "A and B in a group", tries, broken, "I1, I8")


def _not_the_groups(root: Path) -> list[str]:
    """What the other one could not change: all must be the group's, directories setgid and open to it."""
    wrong = []
    for path in root.rglob("*"):
        status = path.lstat()
        if path.is_symlink() or path.name == "shipway.toml":
            continue
        open_to_group = status.st_mode & 0o060 == 0o060 or "images" in path.parts
        if status.st_gid != GROUP or not open_to_group:
            wrong.append(f"{path.relative_to(root)} is not the group's: {status.st_mode:o}, group {status.st_gid}")
    return wrong[:5]


# -- umask -------------------------------------------------------------------------------------------------------


def _umask(scene: Scene) -> Count:
    """What a careful person installs is as open as the tree, the way to it too, and strangers can ask."""
    broken: list[str] = []
    people = [ROOT, OWNER][: scene.times(2, 1)]
    for who in people:
        room = scene.room("umask")
        root = prefix_of(room, who)
        for number in (1, 2):
            stage = staged(room, "pkg", number)
            done = who.with_umask(0o077).run(scene, root, *install("pkg", number, stage))
            broken += [f"{who.name}: {done.stderr.strip()}"] if done.returncode else []
            broken += _other_modes(stage, root)
        read = run(
            ["cat", *(str(root / name) for name in ("lib/pkg/a", "lib/pkg/sub/b", "bin/pkg"))], **STRANGER.options
        )
        broken += [f"a stranger cannot read: {read.stderr.strip()}"] if read.returncode else []
        asked = STRANGER.run(scene, root, "verify")
        broken += [f"a stranger cannot verify: {asked.stderr.strip()}"] if asked.returncode else []
        leave(room)
    return Count("people", "umask 077", 2 * len(people), broken, "I1")


def _other_modes(stage: Path, root: Path) -> list[str]:
    there, here = snapshot(stage), snapshot(root)
    return [f"{path} is {here.get(path)}, staged {seen}" for path, seen in there.items() if here.get(path) != seen]


# -- readers -----------------------------------------------------------------------------------------------------

QUESTIONS: Sequence[tuple[Sequence[str], Sequence[int]]] = (
    (["list"], [0]),
    (["show", "pkg"], [0]),
    (["files", "pkg"], [0]),
    (["owner", "bin/pkg"], [0]),
    (["owner", "bin/nobodys"], [1]),
    (["history"], [0]),
    (["verify"], [0, 1]),
    (["verify", "--quick"], [0, 1]),
    (["du"], [0]),
    (["env"], [0]),
    (["doctor"], [0, 1]),
)
ORDERS = (["remove", "pkg"], ["undo"], ["gc"], ["recover"], ["repair"], ["detach", "pkg"])


def _readers() -> Iterator[Case]:
    for case, how in (("in peace", ""), ("over a dead commit", "after"), ("over a dead database write", "in")):
        yield partial(_reader, case=f"a reader without rights, {case}", how=how)


def _reader(scene: Scene, case: str, how: str) -> Count:
    room = scene.room("reader")
    root = prefix_of(room, OWNER)
    stages = [staged(room, "pkg", number) for number in (1, 2)]
    broken = []
    made = OWNER.run(scene, root, *install("pkg", 1, stages[0]))
    if how:
        command = program(scene, "dying", root, stages[1], "pkg", "2", how)
        died = run(command, **OWNER.options)
        broken += [f"the commit did not die: {died.stderr.strip()}"] if died.returncode != -9 else []
    before = everything(root)
    for question, codes in QUESTIONS:
        broken += _asked(scene, root, question, codes if how else codes[:1])
    for order in (*ORDERS, install("pkg", 2, stages[1])):
        done = STRANGER.run(scene, root, *order)
        if done.returncode != 1 or done.stderr.count("error:") != 1:
            broken.append(f"{order[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    if everything(root) != before:
        broken.append("a reader has changed something")
    healed = OWNER.run(scene, root, "verify")
    broken += [f"afterwards: {healed.stdout} {healed.stderr}"] if healed.returncode or made.returncode else []
    leave(room)
    return Count("people", case, scene.times(2, 1) * len(QUESTIONS) + len(ORDERS) + 1, broken, "I8")


def _asked(scene: Scene, root: Path, question: Sequence[str], codes: Sequence[int]) -> Iterator[str]:
    for more in ([], ["--json"]) if scene.full else (["--json"],):
        done = STRANGER.run(scene, root, *question, *more)
        if done.returncode not in codes or "Traceback" in done.stderr:
            yield f"{' '.join(question)} ended with {done.returncode}: {done.stderr.strip()[-300:]}"
        elif more and not _is_json(done.stdout):
            yield f"{' '.join(question)} --json: {done.stdout[:100]}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
