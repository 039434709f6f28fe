"""Large is only slower: many files, many packages, large transactions, a long history; time, memory, lock and record as figures.

Broken is what exceeds a limit: memory of a large merge, the time of a question, a lock that is held longer the more there is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench.command import FailedError, Ran, run
from bench.trees import Shape, new_prefix, write_tree
from proof.mounts import CannotMountError, tmpfs
from proof.report import Count
from proof.scene import Scene, leave
from proof.world import STATE

NAME = "scale"
MEMORY = 400e6
"""Bytes that a merge of 200,000 files may take, all its processes together."""

QUESTION = 1.0
"""Seconds that any question may take."""

GROWTH = 3.0
"""How many times as long as at first the lock may be held at last."""

NOISE = 5.0
"""Milliseconds of holding the lock that no growth is read from."""

ROW = 4096
"""Bytes that the record may grow by a small transaction beyond the undo horizon."""

Figures = dict[str, float | str]

FILL = """
import json, os, sys
from shipway import Prefix
from shipway.api import staged
root, stages, packages, each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def stage(n):
    tree = f"{stages}/p{n}"
    for path in (f"bin/p{n}", f"lib/p{n}/a.py", f"lib/p{n}/b/c", f"share/doc/p{n}"):
        os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
        with open(f"{tree}/{path}", "w") as file:
            file.write(path)
    return tree
times = []
with Prefix(root) as prefix:
    for first in range(0, packages, each):
        some = range(first, min(first + each, packages))
        images = [prefix.seal_staged(staged(stage(n), f"p{n}", "1", move=True, python="")) for n in some]
        with prefix.transaction(reason=f"from {first}") as tx:
            for image in images:
                tx.install(image)
        times.append([tx.outcome.lock_ms, tx.outcome.database_ms])
print(json.dumps(times))
"""

ALTERNATE = """
import json, os, sys
from shipway import Prefix
from shipway.api import staged
root, stages, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
def stage(version):
    os.makedirs(f"{stages}/{version}/lib/often")
    for name in ("a", "b"):
        with open(f"{stages}/{version}/lib/often/{name}", "w") as file:
            file.write(version)
    return f"{stages}/{version}"
times = []
with Prefix(root) as prefix:
    images = [prefix.seal_staged(staged(stage(v), "often", v, python="")) for v in ("1", "2")]
    for n in range(commits):
        with prefix.transaction(reason=f"number {n}") as tx:
            tx.install(images[n % 2])
        size = os.path.getsize(f"{root}/var/lib/shipway/state.sqlite")
        times.append([tx.outcome.lock_ms, tx.outcome.database_ms, size])
print(json.dumps(times))
"""


def attack(scene: Scene) -> Iterable[Count]:
    """Each kind of large thing; a tenth of it in the quick form."""
    for case in (_files, _packages, _transaction, _history):
        room = scene.room("large")
        try:
            yield case(scene, room)
        except FailedError as error:
            yield Count(NAME, case.__name__.strip("_"), 1, [str(error)[-500:]], "I9")
        finally:
            leave(room)


def _files(scene: Scene, room: Path) -> Count:
    """One package of very many files: installed, asked about, upgraded, removed."""
    number = scene.times(200_000, 20_000)
    prefix = new_prefix(room / "prefix")
    figures: Figures = {}
    broken = []
    for version, size in (("1", 64), ("2", 65)):
        tree = write_tree(room / version, Shape(files=number, directories=500, size=size))
        ran = _shipway(scene, prefix, ["--json", "merge", str(tree), *_named("many", version)], watch=True)
        figures |= {f"merge {version} s": round(ran.seconds, 1), f"merge {version} MB": round(ran.peak / 1e6)}
        figures |= _timings(ran, f"merge {version} ")
        if ran.peak > MEMORY:
            broken.append(f"merge of {number} files took {ran.peak / 1e6:.0f} MB")
    figures |= {"record MB": _record(prefix) / 1e6}
    first = next(iter(Shape(files=number, directories=500, size=64).paths()))[0]
    questions = {"list": ["list"], "owner": ["owner", first], "history": ["history"]}
    broken += _ask(scene, prefix, questions, figures)
    for verb, words in {"verify --quick": ["verify", "--quick"], "remove": ["remove", "many"]}.items():
        ran = _shipway(scene, prefix, words, watch=True)
        figures |= {f"{verb} s": round(ran.seconds, 1), f"{verb} MB": round(ran.peak / 1e6)}
    return Count(NAME, f"{number:,} files in one package", 7, broken, "I9", figures=figures)


def _packages(scene: Scene, room: Path) -> Count:
    """Many packages; the first transactions and the last, and one small merge before and after."""
    number = scene.times(2_000, 200)
    prefix = new_prefix(room / "prefix")
    before = _one_more(scene, prefix, room, "first")
    ran = run([scene.python, "-c", FILL, str(prefix), str(room / "stages"), str(number), str(number // 40)], watch=True)
    figures: Figures = {"install s": round(ran.seconds, 1), "install MB": round(ran.peak / 1e6)}
    broken = _grown([row[0] for row in json.loads(ran.output)], figures)
    broken += _ask(scene, prefix, _questions("lib/p7/a.py", "p7"), figures)
    broken += _compared(before, _one_more(scene, prefix, room, "last"), figures)
    figures |= {"record MB": _record(prefix) / 1e6}
    return Count(NAME, f"{number:,} packages", number, broken, "I8 I9", figures=figures)


def _transaction(scene: Scene, room: Path) -> Count:
    """Many packages in one transaction."""
    number = scene.times(300, 30)
    prefix = new_prefix(room / "prefix")
    ran = run([scene.python, "-c", FILL, str(prefix), str(room / "stages"), str(number), str(number)], watch=True)
    [[lock, database]] = json.loads(ran.output)
    figures: Figures = {"s": round(ran.seconds, 1), "MB": round(ran.peak / 1e6)}
    figures |= {"lock ms": round(lock, 1), "of it database ms": round(database, 1), "record MB": _record(prefix) / 1e6}
    broken = _ask(scene, prefix, _questions("lib/p7/a.py", "p7"), figures)
    undone = _shipway(scene, prefix, ["--json", "undo"])
    figures |= {"undo s": round(undone.seconds, 1)}
    return Count(NAME, f"one transaction of {number} packages", 2, broken, "I8 I9", figures=figures)


def _history(scene: Scene, room: Path) -> Count:
    """Very many transactions, in memory where that can be had, so that it is not the disk's syncs that are measured."""
    number = scene.times(10_000, 1_000)
    with ExitStack() as held:
        try:
            place = held.enter_context(tmpfs(room / "memory"))
        except CannotMountError:
            place = room / "disk"
        prefix = new_prefix(place / "prefix")
        before = _one_more(scene, prefix, place, "first")
        command = [scene.python, "-c", ALTERNATE, str(prefix), str(place / "stages"), str(number)]
        ran = run(command, watch=True)
        rows = json.loads(ran.output)
        figures: Figures = {"all s": round(ran.seconds, 1), "MB": round(ran.peak / 1e6)}
        broken = _grown([row[0] for row in rows], figures)
        broken += _ask(scene, prefix, _questions("lib/often/a", "often"), figures)
        broken += _compared(before, _one_more(scene, prefix, place, "last"), figures)
        broken += _record_grown([row[2] for row in rows], figures)
    return Count(NAME, f"{number:,} transactions of history", number, broken, "I8 I9", figures=figures)


# -- limits --------------------------------------------------------------------------------------------------------


def _grown(locks: Sequence[float], figures: Figures) -> list[str]:
    """Whether the lock was held longer by the last transactions than by the first ones."""
    few = max(3, len(locks) // 10)
    first, last = median(locks[:few]), median(locks[-few:])
    figures |= {"lock ms at first": round(first, 1), "lock ms at last": round(last, 1)}
    return [f"the lock: {first:.1f} ms at first, {last:.1f} ms at last"] if _too_much(first, last) else []


def _compared(before: Ran, after: Ran, figures: Figures) -> list[str]:
    first, last = (json.loads(ran.output)["timings"]["lock_ms"] for ran in (before, after))
    figures |= {"one more s": round(after.seconds, 2), "one more lock ms": round(last, 1)}
    return [f"lock of one more: {first:.1f} ms before, {last:.1f} ms after"] if _too_much(first, last) else []


def _too_much(first: float, last: float) -> bool:
    return last > GROWTH * max(first, NOISE)


def _record_grown(sizes: Sequence[int], figures: Figures) -> list[str]:
    """How much the record grows by each transaction once the undo horizon has passed."""
    middle = len(sizes) // 2
    each = (sizes[-1] - sizes[middle]) / (len(sizes) - middle)
    figures |= {"record MB": sizes[-1] / 1e6, "record bytes a transaction": round(each)}
    return [f"the record grows by {each:.0f} bytes a transaction"] if each > ROW else []


def _questions(path: str, name: str) -> Mapping[str, Sequence[str]]:
    return {
        "list": ["list"], "owner": ["owner", path], "files": ["files", name], "history": ["history"],
        "verify --quick": ["verify", "--quick", name],
    }  # fmt: skip


def _ask(scene: Scene, prefix: Path, questions: Mapping[str, Sequence[str]], figures: Figures) -> list[str]:
    """Ask each question three times and take the quickest; the limit is for processor time, as others may use the machine."""
    broken = []
    for name, words in questions.items():
        asked = [(_shipway(scene, prefix, words).seconds, _spent()) for _ in range(3)]
        figures |= {f"{name} ms": round(min(seconds for seconds, _ in asked) * 1000)}
        spent = min(after - before for (_, before), (_, after) in pairwise(asked))
        if spent > QUESTION:
            broken.append(f"{name} took {spent:.2f} s of the processor")
    return broken


def _spent() -> float:
    """Seconds of the processor that all commands took so far."""
    times = os.times()
    return times.children_user + times.children_system


# -- commands ------------------------------------------------------------------------------------------------------


def _shipway(scene: Scene, prefix: Path, words: Sequence[str], *, watch: bool = False) -> Ran:
    return run([scene.shipway, "-p", str(prefix), *words], watch=watch)


def _one_more(scene: Scene, prefix: Path, room: Path, name: str) -> Ran:
    tree = write_tree(room / name, Shape(files=20, directories=2, size=64))
    os.rename(tree, room / "parent")
    (room / name / "lib").mkdir(parents=True)
    os.rename(room / "parent", room / name / "lib" / name)
    return _shipway(scene, prefix, ["--json", "merge", str(room / name), *_named(name, "1")])


def _named(name: str, version: str) -> Iterator[str]:
    yield from ("--name", name, "--version", version, "--python", "none")


def _timings(ran: Ran, label: str) -> Figures:
    timings = json.loads(ran.output)["timings"]
    return {f"{label}lock ms": round(timings["lock_ms"], 1), f"{label}database ms": round(timings["database_ms"], 1)}


def _record(prefix: Path) -> float:
    return round((prefix / STATE / "state.sqlite").stat().st_size / 1e5) * 1e5
