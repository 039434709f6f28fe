"""Many commits, importers, readers and writers at once: no hole, no lost claim, no lost file, nobody kept out."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from proof.company import Company, at_once, program
from proof.imports import importers
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.upgrades import arranged, must, reader, unverified, writer
from proof.world import make_tree, snapshot

EIGHT = 8
WITHIN = 30.0
"""Seconds in which a commit must get through a stream of short leases."""


def attack(scene: Scene) -> Iterable[Count]:
    """All races."""
    yield from commits(scene)
    yield from importers(scene)
    yield from reader(scene)
    yield from writer(scene)
    yield from leases(scene)
    yield from inside(scene)


# -- commits at once ---------------------------------------------------------------------------------------------


def commits(scene: Scene) -> Iterator[Count]:
    """Eight at once, and the twin."""
    for kind in scene.choose(_kinds(), 2):
        yield _eight(scene, kind)
    yield _eight_copies(scene, _kinds()[0].trees)


class Kind(NamedTuple):
    """What eight processes merge at once: trees and names, and options for all."""

    case: str
    trees: Sequence[Mapping[str, str]]
    names: Sequence[str]
    options: Sequence[str] = ()


def _kinds() -> list[Kind]:
    same = [{f"lib/pkg/f{i}": "same" for i in range(20)} for _ in range(EIGHT)]
    differing = [{f"lib/pkg/f{i}": f"{n}" * 5000 for i in range(60)} for n in range(EIGHT)]
    apart = [{"lib/shared": "same", f"lib/own{n}/a": "1", f"bin/tool{n}": "1"} for n in range(EIGHT)]
    return [
        Kind("eight merges of one package, differing content", differing, ["pkg"] * EIGHT),
        Kind("eight merges of one package, equal content", same, ["pkg"] * EIGHT),
        Kind("eight merges of one package, none waits", differing, ["pkg"] * EIGHT, ("--wait", "0")),
        Kind("eight packages that share directories and a file", apart, [f"pkg{n}" for n in range(EIGHT)]),
    ]


def _eight(scene: Scene, kind: Kind) -> Count:
    times = scene.times(10, 1)
    broken, codes = [], []
    for turn in range(times):
        room = scene.room("eight")
        root = make_tree(room / "prefix", {"lib/mine": "mine"})
        stages = [make_tree(room / f"stage{n}", tree) for n, tree in enumerate(kind.trees)]
        arguments = [
            _arguments(root, stage, name, n) for n, (stage, name) in enumerate(zip(stages, kind.names, strict=True))
        ]
        done = at_once([program(scene, "starter", *kind.options, *words) for words in arguments])
        codes += [each.returncode for each in done]
        broken += [f"round {turn}: {problem}" for problem in _after_eight(scene, root, done)]
        leave(room)
    figures = {"exit 0": codes.count(0), "exit 4": codes.count(4)}
    return Count("races", kind.case, times * EIGHT, broken, "I1, I3, I5, I8", figures=figures)


def _arguments(root: Path, stage: Path, name: str, number: int) -> list[str]:
    about = ["--name", name, "--version", str(number), "--python", "none"]
    return ["-p", str(root), "--json", "merge", str(stage), *about]


def _after_eight(scene: Scene, root: Path, done: Sequence[subprocess.CompletedProcess[str]]) -> Iterator[str]:
    for each in done:
        if each.returncode not in (0, 4):
            yield f"a merge ended with {each.returncode}: {each.stderr.strip()[-300:]}"
    changed = sum(json.loads(each.stdout)["transaction"] is not None for each in done if each.returncode == 0)
    rows = json.loads(must(scene, root, "history", "--json"))[::-1]
    if len(rows) != changed or [row["state"] for row in rows] != ["done"] * len(rows):
        yield f"{changed} changes, {len(rows)} rows of history: {rows}"
    yield from _chain(rows)
    packages = [p["name"] for p in json.loads(must(scene, root, "list", "--json"))]
    yield from _claims(scene, root, packages)
    yield from unverified(scene, root)
    if len(packages) == 1 and len({seen[2] for p, seen in snapshot(root).items() if p.startswith("lib/pkg/")}) != 1:
        yield "files of several versions are mixed"


def _chain(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Each row of history starts from where the one before it left the package."""
    now: dict[str, object] = {}
    for row in rows:
        changes = row["changes"]
        assert isinstance(changes, list)
        for change in changes:
            if now.get(change["name"]) != change["old"] or change["old"] == change["new"]:
                yield f"history is no chain at transaction {row['id']}: {rows}"
            now[change["name"]] = change["new"]


def _claims(scene: Scene, root: Path, packages: Sequence[str]) -> Iterator[str]:
    """Every package claims each of its paths once, and a shared path has a claim of each package."""
    path = "lib/shared" if len(packages) > 1 else "lib/pkg/f0"
    owners = [o["name"] for o in json.loads(must(scene, root, "owner", path, "--json"))["owners"]]
    if sorted(owners) != sorted(packages):
        yield f"{path} is claimed by {owners}, installed are {packages}"


def _eight_copies(scene: Scene, trees: Sequence[Mapping[str, str]]) -> Count:
    times = scene.times(10, 3)
    broken = []
    for turn in range(times):
        room = scene.room("eight-copies")
        root = make_tree(room / "prefix", {"lib/mine": "mine"})
        stages = [make_tree(room / f"stage{n}", tree) for n, tree in enumerate(trees)]
        script = 'echo ready >&2; read go; exec cp -Rp "$1/." "$2"'
        done = at_once([["sh", "-c", script, "sh", str(stage), str(root)] for stage in stages])
        failed = [each.stderr.strip().splitlines()[0] for each in done if each.returncode]
        kinds = {seen[2] for path, seen in snapshot(root).items() if path.startswith("lib/pkg/")}
        if failed or len(kinds) != 1:
            broken.append(f"round {turn}: {len(failed)} failed, files of {len(kinds)} versions are mixed")
        leave(room)
    return Count("races", "eight cp -Rp at once", times * EIGHT, broken, "I1, I5", naive=True)


# -- leases ------------------------------------------------------------------------------------------------------


def leases(scene: Scene) -> Iterator[Count]:
    """A commit against a stream of short leases, and the same with a plain lock."""
    room = scene.room("leases")
    root, stages = arranged(scene, room)
    under = [scene.shipway, "-q", "-p", str(root), "exec", "--"]
    broken, waits = [], []
    with Company(*(program(scene, "leaser", *under, *words) for words in _SHORT)) as company:
        for number in range(scene.times(10, 2)):
            seconds, problem = _timed(scene, root, stages[1 - number % 2], 2 - number % 2)
            waits.append(seconds)
            broken += [f"commit {number}: {problem}"] if problem else []
    broken += [f"exec: {line}" for report in company.reports for line in report["failed"]] + unverified(scene, root)
    leave(room)
    figures = {
        "leases": sum(report["count"] for report in company.reports),
        "longest exec s": round(max(report["longest"] for report in company.reports), 2),
        "commit s, median": round(statistics.median(waits), 2),
        "longest s": round(max(waits), 2),
    }
    yield Count("races", "a commit against a stream of leases", len(waits), broken, "I8", figures=figures)
    yield _plain_lock(scene)


_SHORT = (["true"], ["true"], ["sleep", "0.3"], ["sleep", "0.5"])


def _timed(scene: Scene, root: Path, stage: Path, version: int) -> tuple[float, str]:
    started = time.monotonic()
    about = ["--name", "pkg", "--version", str(version), "--python", "none"]
    try:
        done = scene.run("-p", root, "-q", "merge", stage, *about, timeout=4 * WITHIN)
    except subprocess.TimeoutExpired:
        return 4 * WITHIN, "starved"
    seconds = time.monotonic() - started
    if done.returncode:
        return seconds, done.stderr.strip()
    return seconds, f"took {seconds:.1f} s" if seconds > WITHIN else ""


def _plain_lock(scene: Scene) -> Count:
    """Readers share a plain flock, one after another but overlapping; whoever wants it alone never gets it."""
    room = scene.room("plain-lock")
    file = room / "lock"
    file.touch()
    times = scene.times(3, 1)
    if run(["flock", "--version"]).returncode:
        return Count("races", "the same with a plain flock", 0, skipped="no flock(1) here", naive=True)
    with Company(*(program(scene, "leaser", "flock", "-s", str(file), "sleep", "0.3") for _ in range(6))):
        codes = [run(["flock", "-x", "-w", "3", str(file), "true"]).returncode for _ in range(times)]
    broken = ["not obtained within 3 s" for code in codes if code]
    leave(room)
    return Count("races", "the same with a plain flock", times, broken, "I8", naive=True)


# -- commits under leases ----------------------------------------------------------------------------------------


def inside(scene: Scene) -> Iterator[Count]:
    """Commits from inside `shipway exec`."""
    for case, script in (("a commit from inside exec", "{merge}"), ("from inside two nested execs", "{exec} {merge}")):
        yield _inside(scene, case, script)
    yield _two_inside(scene)


def _inside(scene: Scene, case: str, script: str) -> Count:
    room = scene.room("inside")
    root, stages = arranged(scene, room)
    times, broken = scene.times(10, 1), []
    for number in range(times):
        command = _filled(scene, root, stages[1 - number % 2], 2 - number % 2, script)
        done = _bounded(scene, root, command)
        broken += [f"{number}: {done}"] if done else []
    leave(room)
    return Count("races", case, times, broken, "I8")


def _filled(scene: Scene, root: Path, stage: Path, version: int, script: str) -> str:
    command = f"'{scene.shipway}' -q -p '{root}'"
    merge = f"{command} merge '{stage}' --name pkg --version {version} --python none"
    return script.format(merge=merge, exec=f"{command} exec --")


def _bounded(scene: Scene, root: Path, command: str) -> str:
    try:
        done = scene.run("-q", "-p", root, "exec", "--", "sh", "-c", command, timeout=WITHIN)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode:
        return f"ended with {done.returncode}: {done.stderr.strip()}"
    return "".join(unverified(scene, root))


def _two_inside(scene: Scene) -> Count:
    """Two commands under leases that each want to commit: one is refused at once, with the circle; the other goes on."""
    times, broken, refused = scene.times(10, 1), [], 0
    for number in range(times):
        room = scene.room("two-inside")
        root, stages = arranged(scene, room)
        script = "{merge}"
        ready = f"touch '{room}/ready'$$; n=0; while [ $(ls '{room}' | grep -c ready) -lt 2 ]; do sleep 0.05; done; "
        scripts = [ready + _filled(scene, root, stage, version, script) for version, stage in enumerate(stages, 3)]
        commands = [[scene.shipway, "-q", "-p", str(root), "exec", "--", "sh", "-c", text] for text in scripts]
        prompt = 'echo ready >&2; read go; exec "$@"'
        done = at_once([["sh", "-c", prompt, "sh", *command] for command in commands])
        codes = sorted(each.returncode for each in done)
        refused += codes == [0, 4]
        if codes not in ([0, 0], [0, 4]):
            broken.append(f"{number}: ended with {codes}: {[each.stderr.strip()[-300:] for each in done]}")
        broken += [f"{number}: {problem}" for problem in unverified(scene, root)]
        leave(room)
    return Count("races", "two commits, each inside an exec", times, broken, "I8", figures={"one refused": refused})
