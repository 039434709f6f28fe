"""Programs that read, write and work in a package's directory while it is upgraded to and fro."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proof.company import Company, program
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.world import STATE, make_tree

ATTACK = "races"
LONG = 600.0


def version(number: int) -> dict[str, str]:
    """A package with a directory of its own, files in shared ones, symlinks, and some that only one version has."""
    files = {f"lib/pkg/sub{n % 3}/file{n}": f"{number}" * (50 + 900 * n) for n in range(15)}
    files |= {f"lib/pkg/link{n}": f"-> sub0/file{3 * n + (number - 1) * 6}" for n in range(2)}
    files |= {f"bin/tool{n}": f"#!/bin/sh\necho {number}\n" * 200 for n in range(2)}
    files |= {"share/doc/notes": f"notes of {number}\n" * 500}
    return files | {f"lib/pkg/sub1/only-{number}": f"{number}" * 100}


def arranged(scene: Scene, room: Path) -> tuple[Path, list[Path]]:
    """A prefix with the first version, a neighbour in its shared directories, and both stages."""
    root = make_tree(room / "prefix", {"bin/other": "mine\n", "share/doc/other": "mine\n", "lib/other": "mine\n"})
    stages = [make_tree(room / f"stage{number}", version(number)) for number in (1, 2)]
    must(scene, root, "merge", stages[0], "--name", "pkg", "--version", "1", "--python", "none")
    return root, stages


def must(scene: Scene, root: Path, *arguments: str | Path) -> str:
    """Run a command that has to succeed; its stdout."""
    done = scene.run("-p", root, *arguments)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def unverified(scene: Scene, root: Path) -> list[str]:
    """What `verify` complains about, in one line."""
    done = scene.run("-p", root, "verify")
    return [f"verify: {done.stdout.strip() or done.stderr.strip()}"] if done.returncode else []


# -- a reader ----------------------------------------------------------------------------------------------------


def reader(scene: Scene) -> Iterator[Count]:
    """Every file opened in a loop, while the package is exchanged as one, file by file, by commands, and naively."""
    times = scene.times(1000, 40)
    yield _read(scene, "reader, 1,000 upgrades", times, "auto")
    yield _read(scene, "reader, upgrades in fallback mode", scene.times(100, 6), "fallback")
    yield _read_commands(scene, scene.times(20, 3))
    yield _read_naively(scene, "reader, cp -Rp over it", scene.times(40, 15), first="")
    yield _read_naively(scene, "reader, rm -rf, then cp -Rp", scene.times(40, 15), first="rm")


def _reader(scene: Scene, room: Path, root: Path) -> Company:
    old, new = version(1), version(2)
    files = {path: [old.get(path), new.get(path)] for path in sorted(old.keys() | new.keys())}
    task = room / "task.json"
    task.write_text(json.dumps({"root": str(root), "files": files}))
    return Company(program(scene, "reader", task))


def _read(scene: Scene, case: str, times: int, mode: str) -> Count:
    room = scene.room("reader")
    root, stages = arranged(scene, room)
    with _reader(scene, room, root) as company:
        told, wrong = upgrade(scene, root, stages, times, keep=3, mode=mode)
    wrong += company.reports[0]["wrong"] + unverified(scene, root)
    figures = (
        {"upgrade ms": _ms(told["seconds"]), "lock ms": round(statistics.median(told["locks"]), 1)} if told else {}
    )
    leave(room)
    return Count(ATTACK, case, times, wrong, "I1, I2", figures=_seen(company) | figures)


def upgrade(
    scene: Scene, root: Path, stages: list[Path], times: int, *, keep: int, mode: str = "auto"
) -> tuple[dict[str, Any], list[str]]:
    """Upgrade there and back through the API, in one process; what it tells, and what went wrong."""
    command = program(scene, "upgrader", root, *stages, str(times), str(keep), mode)
    try:
        done = run(command, timeout=LONG)
    except subprocess.TimeoutExpired:
        return {}, [f"{times} upgrades were not over after {LONG:.0f} s"]
    if done.returncode:
        return {}, [f"the upgrades ended with {done.returncode}: {done.stderr.strip()[-1000:]}"]
    return json.loads(done.stdout), []


def _ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 1)


def _seen(company: Company) -> dict[str, float | str]:
    report = company.reports[0]
    return {"reads": report["reads"], "of the old": report["old"], "of the new": report["new"]}


def _read_commands(scene: Scene, times: int) -> Count:
    room = scene.room("reader-commands")
    root, stages = arranged(scene, room)
    wrong = []
    with _reader(scene, room, root) as company:
        for number in range(times):
            about = ["--name", "pkg", "--version", str(2 - number % 2), "--python", "none"]
            done = scene.run("-p", root, "merge", stages[1 - number % 2], *about)
            wrong += [f"merge {number}: {done.stderr.strip()}"] if done.returncode else []
    wrong += company.reports[0]["wrong"] + unverified(scene, root)
    leave(room)
    return Count(ATTACK, "reader, upgrades by the command", times, wrong, "I1, I2", figures=_seen(company))


def _read_naively(scene: Scene, case: str, times: int, *, first: str) -> Count:
    room = scene.room("reader-naive")
    stages = [make_tree(room / f"stage{number}", version(number)) for number in (1, 2)]
    root = make_tree(room / "prefix", version(1))
    with _reader(scene, room, root) as company:
        for number in range(times):
            if first:
                run(["rm", "-rf", *(str(root / name) for name in ("lib/pkg", "bin", "share/doc"))])
            run(["cp", "-Rp", f"{stages[1 - number % 2]}/.", str(root)])
    leave(room)
    return Count(ATTACK, case, times, company.reports[0]["wrong"], "I1, I2", figures=_seen(company), naive=True)


# -- a writer ----------------------------------------------------------------------------------------------------


def writer(scene: Scene) -> Iterator[Count]:
    """A program with files of its own in the package's directory, and one that works in there."""
    yield _write(scene, "writer in the directory, 100 upgrades", "lib/pkg/sub0", "")
    yield _write(scene, "writer whose working directory it is, 100 upgrades", "lib/pkg/sub0", "cwd")
    yield _write_naively(scene)


def _write(scene: Scene, case: str, inside: str, how: str) -> Count:
    times = scene.times(100, 25)
    room = scene.room("writer")
    root, stages = arranged(scene, room)
    commands = [program(scene, "writer", root / inside, str(n), *how.split()) for n in range(1 if how else 2)]
    wrong, notes = list[str](), list[list[str]]()
    with Company(*commands) as company:
        for _ in range(scene.times(5, 1)):
            told, failed = upgrade(scene, root, stages, times // scene.times(5, 1), keep=1)
            wrong, notes = wrong + failed, notes + told.get("notes", [])
    left = [tuple(pair) for report in company.reports for pair in report["left"]]
    where = sought(scene, root, inside, left)
    wrong += where.pop("lost") + unverified(scene, root)
    figures = {"acts": sum(r["done"] for r in company.reports), "strays told": sum(n[0] == "stray" for n in notes)}
    counts = {name: len(found) for name, found in where.items()}
    leave(room)
    return Count(ATTACK, case, times, wrong, "I9", figures=figures | {"left at the end": len(left)} | counts)


def sought(scene: Scene, root: Path, inside: str, left: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Where acknowledged files are once every undo area has been given up: at their paths, in lost+found, or lost."""
    must(scene, root, "gc", "--keep", "0")
    saved = _contents(root / STATE / "lost+found")
    where: dict[str, list[str]] = {"at their paths": [], "in lost+found": [], "lost": []}
    for name, content in left:
        if _content(root / inside / name) == content:
            where["at their paths"].append(name)
        elif content in saved.get(name, []):
            where["in lost+found"].append(name)
        else:
            where["lost"].append(f"{inside}/{name} is lost")
    return where


def _contents(top: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for parent, _, names in os.walk(top):
        for name in names:
            found.setdefault(name, []).append(_content(Path(parent, name)) or "")
    return found


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _write_naively(scene: Scene) -> Count:
    """What swaps a directory by hand: the new one beside, the old one renamed away and removed."""
    times = scene.times(100, 25)
    room = scene.room("writer-naive")
    root = make_tree(room / "prefix", version(1))
    live, beside, away = (root / "lib" / name for name in ("pkg", "pkg.new", "pkg.old"))
    stages = [make_tree(room / f"stage{number}", version(number)) for number in (1, 2)]
    with Company(program(scene, "writer", live / "sub0", "1")) as company:
        for number in range(times):
            run(["cp", "-Rp", str(stages[1 - number % 2] / "lib/pkg"), str(beside)])
            live.rename(away)
            beside.rename(live)
            run(["rm", "-rf", str(away)])
    left = company.reports[0]["left"]
    lost = [f"{name} is lost" for name, content in left if _content(live / "sub0" / name) != content]
    leave(room)
    figures: Mapping[str, float | str] = {"acts": company.reports[0]["done"], "left at the end": len(left)}
    return Count(ATTACK, "writer, directory swapped by hand", times, lost, "I9", figures=figures, naive=True)
