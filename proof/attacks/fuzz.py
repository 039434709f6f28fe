"""Damaged and hostile input: cut and flipped records, forged journals, odd trees, garbage where settings and notes belong."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from proof.calls import called
from proof.damage import (
    COMMANDS,
    MERGE,
    Arrangement,
    Damage,
    arranged,
    attacked,
    cuts,
    expect,
    flips,
    interrupted,
    telling,
    with_journal,
)
from proof.forgery import altered, littered, surroundings, wrong_now
from proof.oddtrees import content, grown, restless, specials
from proof.report import Count
from proof.scene import Scene, leave
from proof.world import make_tree, snapshot

NAME = "fuzz"
NOBODY = 65534
SHARE = 30.0
"""Seconds for each of the long cases in the full form: as many offsets as fit in, taken at random."""

Case = Callable[[Scene], Count]


def attack(scene: Scene) -> Iterable[Count]:
    """Every kind of input, one after the other."""
    for case in CASES:
        yield case(scene)


# -- the record --------------------------------------------------------------------------------------------------


def record_cut(scene: Scene) -> Count:
    """The record cut, also to nothing."""
    place = expect(arranged(scene, "cut"), COMMANDS)
    chance = scene.chance("cut")
    ends = [0, 1, 15, 16, 99, 100, 101, *range(512, len(place.record), 4096 if scene.full else 32768)]
    lengths = ends + _some(scene, range(len(place.record)), chance, 30)
    return _counted(scene, "the record, cut", place, cuts(place, lengths), COMMANDS)


def record_flipped(scene: Scene) -> Count:
    """A byte of the record changed."""
    place = expect(arranged(scene, "flipped"), COMMANDS)
    chance = scene.chance("flipped")
    header = list(range(100))
    offsets = _some(scene, header, chance, 25) + _some(scene, telling(place.record), chance, 110)
    return _counted(scene, "the record, a byte changed", place, flips(place, offsets, chance), COMMANDS, 3 * SHARE)


def unfinished_flipped(scene: Scene) -> Count:
    """A byte of the record changed while a transaction is unfinished."""
    place = expect(interrupted(scene, "unfinished"), [("recover",)])
    chance = scene.chance("unfinished")
    offsets = _some(scene, telling(place.record), chance, 50)
    name = "the record of an interrupted commit, a byte changed"
    return _counted(scene, name, place, flips(place, offsets, chance), [("recover",)])


def journal_damaged(scene: Scene) -> Count:
    """A journal that SQLite would roll back, cut or with a byte changed."""
    place = expect(with_journal(scene, "journal"), COMMANDS)
    chance = scene.chance("journal")
    lengths = _some(scene, range(len(place.journal)), chance, 30)
    offsets = list(range(28)) + _some(scene, telling(place.journal), chance, 50)
    both = chain.from_iterable(
        zip(cuts(place, lengths, journal=True), flips(place, offsets, chance, journal=True), strict=False)
    )
    return _counted(scene, "a journal left by a killed writer, cut or changed", place, both, COMMANDS)


def by_command_line(scene: Scene) -> Count:
    """A sample of all these by the command itself, as a process of its own."""
    place = expect(arranged(scene, "command"), COMMANDS)
    chance = scene.chance("command")
    broken = []
    offsets = chance.sample(telling(place.record), scene.times(40, 6))
    before = snapshot(place.root)
    for number, (what, record, journal) in enumerate(flips(place, offsets, chance)):
        command = COMMANDS[number % len(COMMANDS)]
        place.restore(record, journal)
        done = scene.run(*place.words(command))
        now, after = snapshot(place.root), place.expected[command][1]
        mixed = [p for p in now.keys() | after.keys() if now.get(p) not in (before.get(p), after.get(p))]
        if "Traceback" in done.stderr or mixed or done.returncode not in (0, 1, 2, 3, 4):
            broken.append(f"{what}, {command[0]}: exit code {done.returncode}, {mixed[:4]}, {done.stderr[-200:]}")
    leave(place.room)
    return Count(NAME, "the same by the command line", len(offsets), broken, "I3, I9")


def journal_altered(scene: Scene) -> Count:
    """Rows of an unfinished transaction altered by SQL, every second time with the sums that belong to them."""
    place = interrupted(scene, "altered")
    tries = scene.times(250, 50)
    broken, refused = altered(place, scene.chance("altered"), tries)
    leave(place.room)
    name = "rows of the journal altered by SQL, then recover"
    return Count(NAME, name, tries, broken, "I3, I9, I10", figures={"refused": refused})


def _some(scene: Scene, items: Sequence[int], chance: random.Random, quick: int) -> list[int]:
    """All in an order of their own, or a sample."""
    return chance.sample(items, len(items) if scene.full else min(quick, len(items)))


def _counted(
    scene: Scene, name: str, place: Arrangement, damages: Iterator[Damage], commands: Sequence[tuple[str, ...]],
    seconds: float = SHARE,
) -> Count:  # fmt: skip
    until = time.monotonic() + seconds
    tries, broken, refused = attacked(place, _until(damages, until), commands)
    leave(place.room)
    return Count(NAME, name, tries, broken, "I3, I9", figures={"refused": refused})


def _until(damages: Iterator[Damage], until: float) -> Iterator[Damage]:
    for damage in damages:
        yield damage
        if time.monotonic() > until:
            return


# -- trees -------------------------------------------------------------------------------------------------------


def odd_trees(scene: Scene) -> Count:
    """Strange names, kinds, modes, times: sealed right or refused, with all that is wrong."""
    broken: list[str] = []
    sealed = 0
    tries = scene.times(250, 25)
    for number in range(tries):
        chance = scene.chance(f"tree {number}")
        room = scene.room("trees")
        grown(room / "tree", chance, special=number % 2 == 1)
        (room / "prefix").mkdir()
        wrong, fine = _merged(scene, room, number)
        broken += [f"tree {number}: {problem}" for problem in wrong]
        sealed += fine
    leave(scene.place / "trees")
    return Count(
        NAME, "staged trees of strange names and kinds", tries, broken, "I1, I5", figures={"installed": sealed}
    )


def _merged(scene: Scene, room: Path, number: int) -> tuple[list[str], bool]:
    tree, root = room / "tree", room / "prefix"
    before = content(tree)
    ended = called("-p", root, "merge", tree, "--name", "odd", "--version", "1", "--python", "none")
    problems = [ended.trouble] if ended.trouble else []
    if content(tree) != before:
        problems.append("the tree was changed")
    found = {path: seen for path, seen in content(root).items() if not (path + b"/").startswith(b"var/")}
    if ended.code:
        told = sum(line.startswith("  ") for line in ended.err.splitlines())
        problems += [f"{len(specials(before))} names that cannot be, {told} told"] * (told < len(specials(before)))
        return problems + ["refused, and something was installed"] * bool(found), False
    problems += ["a special file was let through"] * bool(specials(before)) + _unlike(before, found)
    checked = called("-p", root, "verify")
    if number % 5 == 0:
        gone = called("-p", root, "remove", "odd")
        left = [path for path in content(root) if not (path + b"/").startswith(b"var/")]
        problems += ["removal left or refused something"] * bool(gone.code or left)
    return problems + [f"verify: {checked.out[:200]}{checked.err[:200]}"] * bool(checked.code), True


def _unlike(tree: dict[bytes, tuple[int, bytes]], live: dict[bytes, tuple[int, bytes]]) -> list[str]:
    """How a prefix differs from the one tree in it; what builds leave behind (bytecode, libtool archives) is not installed."""
    lost = [path for path in tree if path not in live and not _is_dropped(path)]
    other = [path for path, seen in live.items() if tree.get(path) != seen]
    return [f"not installed: {path!r}" for path in lost[:3]] + [f"installed otherwise: {path!r}" for path in other[:3]]


def _is_dropped(path: bytes) -> bool:
    return path.endswith((b".pyc", b".la")) or b"__pycache__" in path.split(b"/")


def unreadable_trees(scene: Scene) -> Count:
    """Trees that an ordinary user may read in part: refused, and all that he may not read is told."""
    name = "staged trees that their user may not read, in part"
    if os.getuid() != 0:
        return Count(NAME, name, 0, skipped="needs root, to become an ordinary user")
    user: dict[str, object] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if not _may_run(scene, user):
        return Count(NAME, name, 0, skipped="an ordinary user may not run this Shipway, where it is installed")
    broken = []
    tries = scene.times(10, 2)
    for number in range(tries):
        room = _of_nobody(scene, 2 + number)
        before = content(room / "tree")
        words = ("-p", room / "prefix", "merge", room / "tree", "--name", "x", "--version", "1", "--python", "none")
        done = scene.run(*words, **user)
        told = done.stderr.count("secret")
        if done.returncode != 1 or told != 2 + number or "Traceback" in done.stderr or content(room / "tree") != before:
            broken.append(f"exit code {done.returncode}, {told} of {2 + number} told: {done.stderr[:300]}")
    leave(scene.place / "unreadable")
    return Count(NAME, name, tries, broken, "I5")


def _may_run(scene: Scene, user: dict[str, object]) -> bool:
    try:
        return scene.run("--version", **user).returncode == 0
    except PermissionError:
        return False


def _of_nobody(scene: Scene, secrets: int) -> Path:
    room = scene.room("unreadable")
    tree = make_tree(
        room / "tree", {f"lib/file{n}": "open\n" for n in range(5)} | {f"lib/{n}/secret": "x" for n in range(secrets)}
    )
    (room / "prefix").mkdir()
    for parent, _, files in os.walk(room):
        for name in ("", *files):
            os.chown(os.path.join(parent, name), NOBODY, NOBODY)
    for path in tree.glob("lib/*/secret"):
        path.chmod(0)
        os.chown(path, 0, 0)
    for above in (room, *room.parents):
        if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o001)
        if above == scene.place.parent:
            break
    return room


def restless_trees(scene: Scene) -> Count:
    """Files that change and vanish while they are read: refused, or installed as they were at some moment."""
    broken = []
    installed = 0
    tries = scene.times(40, 4)
    for number in range(tries):
        room = scene.room("restless")
        tree = make_tree(room / "tree", {f"file{n}": f"{n}\n" for n in range(20)} | {"still": "still\n"})
        (room / "prefix").mkdir()
        with restless(tree, scene.chance(f"restless {number}")):
            merge = ("merge", tree, "--name", "x", "--version", "1", "--python", "none")
            done = scene.run("-p", room / "prefix", *merge)
        checked = scene.run("-p", room / "prefix", "verify")
        live = snapshot(room / "prefix")
        if "Traceback" in done.stderr or done.returncode not in (0, 1) or (done.returncode and live):
            broken.append(f"exit code {done.returncode}: {done.stderr[:300]}")
        if checked.returncode:
            broken.append(f"verify: {checked.stdout[:200]}{checked.stderr[:200]}")
        installed += done.returncode == 0
    leave(scene.place / "restless")
    return Count(
        NAME, "staged trees that change while they are read", tries, broken, "I1", figures={"installed": installed}
    )


# -- settings, notes, leftovers ----------------------------------------------------------------------------------

SETTINGS = (
    "[undo]\nkeep = {}\n", "[undo]\nbytes = {}\n", "jobs = {}\n", "prefix = {}\n", "[merge]\non_conflict = {}\n",
    "[merge]\nlink = {}\n", "[merge]\ncopy = {}\n", "[merge]\npython = {}\n", "[share]\ngroup = {}\n", "[share]\numask = {}\n",
    "undo = {}\n", "[{}]\n", "{} = 1\n", "x.y.z = {}\n",
)  # fmt: skip
VALUES = (
    "-1", "0", "1e400", "nan", "inf", "9" * 30, "9" * 5000, '""', '"\\u0000"', '"' + "x" * 70_000 + '"', "[]", "[1, [2]]", "{a = 1}",
    "true", "1979-05-27T07:32:00Z", '"1e999 TiB"', '"٣ GB"', "0o777777", '"9' + "9" * 400 + ' TiB"', "[" * 3000, "'''", "\\", "",
    '"no such group"', '"/"', '["[", "*", ""]',
)  # fmt: skip


def settings(scene: Scene) -> Count:
    """shipway.toml of random bytes, wrong types, huge values."""
    place = arranged(scene, "settings")
    chance = scene.chance("settings")
    broken = []
    refused = 0
    before = snapshot(place.root)
    texts = _settings(chance, scene.times(800, 60))
    for number, text in enumerate(texts):
        (place.root / "shipway.toml").write_bytes(text)
        words = place.words((("list",), ("verify",), ("recover",))[number % 3])
        ended = called(*words)
        refused += bool(ended.code)
        problems = [ended.trouble] if ended.trouble else []
        now = {path: seen for path, seen in snapshot(place.root).items() if path != "shipway.toml"}
        problems += ["the prefix changed"] * (now != before)
        broken += [f"{text[:60]!r}: {problem}" for problem in problems]
    leave(place.room)
    return Count(NAME, "shipway.toml of garbage", len(texts), broken, "I9", figures={"refused": refused})


def _settings(chance: random.Random, count: int) -> list[bytes]:
    texts = [chance.choice(SETTINGS).format(chance.choice(VALUES)).encode() for _ in range(count * 3 // 4)]
    return texts + [chance.randbytes(chance.randrange(80)) for _ in range(count - len(texts))]


def leftovers(scene: Scene) -> Count:
    """Strange names in the state directory, notes and leases of garbage: commands go on, or say one sentence."""
    commands = (MERGE, ("remove", "second"), ("undo",), ("gc", "--keep", "0"), ("recover",), ("verify",), ("list",))
    place = expect(arranged(scene, "leftovers"), commands)
    outside = surroundings(place)
    chance = scene.chance("leftovers")
    broken = []
    refused = 0
    tries = scene.times(350, 35)
    for number in range(tries):
        place.restore(place.record, place.journal)
        before = snapshot(place.root)
        command = commands[number % len(commands)]
        what = littered(place, chance)
        ended = called(*place.words(command))
        refused += bool(ended.code)
        problems = ([ended.trouble] if ended.trouble else []) + wrong_now(
            place, outside, (before, place.expected[command][1])
        )
        listed = called(*place.words(("list",)))
        problems += ["the record is gone"] * bool(listed.code and "origin cannot be read" not in listed.err)
        broken += [f"{what}, {command[0]}: {problem}" for problem in problems]
    leave(place.room)
    return Count(
        NAME, "leftovers of strange names, notes of garbage", tries, broken, "I9", figures={"refused": refused}
    )


def listings(scene: Scene) -> Count:
    """Listings of manifests as any JSON: refused with ValueError or TypeError, else a value that is written as it was read."""
    name = "listings of manifests from any JSON"
    try:
        from proof.listings import fuzzed
    except ImportError:
        return Count(NAME, name, 0, skipped="hypothesis is not installed")
    tries = scene.times(10_000, 600)
    return Count(NAME, name, tries, fuzzed(tries, scene.seed), "I3")


CASES: tuple[Case, ...] = (
    record_cut, record_flipped, unfinished_flipped, journal_damaged, by_command_line, journal_altered, listings, odd_trees,
    unreadable_trees, restless_trees, settings, leftovers,
)  # fmt: skip
