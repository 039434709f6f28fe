"""Python environments, against uv and pip: the same wheels from one directory, every index off.

All versions are pinned, so that nobody has anything to resolve.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.command import FailedError, Ran, run
from bench.report import Measure, ratio
from bench.shop import Shop
from bench.trees import settle

BIG = (
    "ansible==11.0.0 ansible-core==2.18.1 asgiref==3.8.1 babel==2.16.0 boto3==1.35.80 botocore==1.35.80 certifi==2024.8.30 cffi==1.17.1"
    " charset-normalizer==3.4.0 contourpy==1.3.1 cryptography==44.0.0 cycler==0.12.1 django==5.1.4 fonttools==4.55.3 idna==3.10"
    " jinja2==3.1.4 jmespath==1.0.1 joblib==1.4.2 kiwisolver==1.4.7 markupsafe==3.0.2 matplotlib==3.10.0 mpmath==1.3.0 networkx==3.4.2"
    " numpy==2.2.0 packaging==24.2 pandas==2.2.3 pillow==11.0.0 plotly==5.24.1 pycparser==2.22 pygments==2.18.0 pyparsing==3.2.0"
    " python-dateutil==2.9.0.post0 pyyaml==6.0.2 requests==2.32.3 resolvelib==1.0.1 s3transfer==0.10.4 scikit-learn==1.6.0 scipy==1.14.1"
    " six==1.17.0 sqlalchemy==2.0.36 sqlparse==0.5.3 sympy==1.13.3 tenacity==9.0.0 threadpoolctl==3.5.0 typing-extensions==4.12.2"
    " tzdata==2024.2 urllib3==2.2.3"
).split()
"""47 wheels with 39,000 files."""
BEFORE, AFTER = "django==5.1.4", "django==5.2"
UV = "uv"


@dataclass(frozen=True)
class Bench:
    """Where wheels, tools and caches are, and environments to be made."""

    shop: Shop
    room: Path
    wheels: Path
    tools: Path

    def environment(self, name: str) -> str:
        """A fresh environment without pip; its interpreter."""
        root = self.room / name
        run([sys.executable, "-m", "venv", "--without-pip", str(root)])
        return str(root / "bin/python")

    def shipway(self, python: str, *words: str, cache: str = "full") -> Ran:
        """`shipway pip install`."""
        root = str(Path(python).parents[1])
        settle()
        command = [self.shop.shipway, "--json", "-p", root, "pip", "install", *self.offline, *words]
        return run(command, SHIPWAY_CACHE=str(self.room / f"shipway-{cache}"))

    def uv(self, python: str, *words: str, cache: str = "full") -> Ran:
        """`uv pip install`, linking."""
        settle()
        where = ["--python", python, "--link-mode", "hardlink", "--cache-dir", str(self.room / f"uv-{cache}")]
        return run([str(self.tools / "bin/uv"), "pip", "install", "--quiet", *where, *self.offline, *words])

    def by_pip(self, python: str, *words: str) -> Ran:
        """Pip itself."""
        settle()
        return run([self.pip, "--python", python, "install", "--quiet", *self.offline, *words])

    def report(self, python: str, *words: str) -> Ran:
        """What pip resolves, without installing it."""
        settle()
        where = ["--dry-run", "--report", str(self.room / "report.json"), "--ignore-installed"]
        return run([self.pip, "--python", python, "install", "--quiet", *where, *self.offline, *words])

    @staticmethod
    def latest() -> list[str]:
        """The wheels by name alone, but for Django, of which there are two."""
        return [each if each == BEFORE else each.partition("==")[0] for each in BIG]

    @property
    def pip(self) -> str:
        """The pip that is measured."""
        return str(self.tools / "bin/pip")

    @property
    def offline(self) -> list[str]:
        """Options with which nothing but the wheels is found."""
        return ["--no-index", "--find-links", str(self.wheels), "--no-deps"]


def environments(shop: Shop) -> Iterable[Measure]:
    """One environment of 47 wheels, and an upgrade of Django, against uv and pip (which are fetched once, with the wheels)."""
    bench = prepared(shop)
    yield from big(bench)
    yield from resolved(bench)
    yield from settled(bench)
    yield from upgrade(bench)
    yield from cold(bench)


def big(bench: Bench) -> Iterable[Measure]:
    """Everything is in the caches."""
    bench.shipway(bench.environment("warm-shipway"), *BIG)
    bench.uv(bench.environment("warm-uv"), *BIG)
    sides: dict[str, Callable[[str], Ran]] = {
        "shipway": lambda python: bench.shipway(python, *BIG),
        "uv": lambda python: bench.uv(python, *BIG),
        "uv-compiling": lambda python: bench.uv(python, "--compile-bytecode", *BIG),
        "pip": lambda python: bench.by_pip(python, *BIG),
    }
    ran = rounds(bench, "big", sides)
    work = "47 wheels, caches full"
    yield from compared(f"{work} / uv, compiling", ran["shipway"], ran["uv-compiling"], 1.0)
    yield from compared(f"{work} / uv, not compiling", ran["shipway"], ran["uv"], 1.5)
    yield from compared("47 wheels, caches full / pip", ran["shipway"], ran["pip"], 0.15)
    held = [float(json.loads(each.output)["timings"]["lock_ms"]) for each in ran["shipway"]]
    yield Measure("47 wheels, lock held", "ms", held, 100)


def resolved(bench: Bench) -> Iterable[Measure]:
    """Names without versions, so that pip resolves: its report, and on top of it what versions that are known take."""
    latest = bench.latest()
    sides: dict[str, Callable[[str], Ran]] = {
        "shipway": lambda python: bench.shipway(python, *latest),
        "pinned": lambda python: bench.shipway(python, *BIG),
        "report": lambda python: bench.report(python, *latest),
    }
    ran = rounds(bench, "resolved", sides)
    both = [one.seconds + other.seconds for one, other in zip(ran["pinned"], ran["report"], strict=True)]
    work = "47 wheels by name, pip resolves / its report, and the same pinned"
    yield ratio(work, [each.seconds for each in ran["shipway"]], both, 1.0)


def settled(bench: Bench) -> Iterable[Measure]:
    """All that is asked for is there."""
    python = bench.environment("settled")
    bench.shipway(python, *BIG)
    latest = bench.latest()
    repeats = range(bench.shop.rounds)
    pinned = [1000 * bench.shipway(python, *BIG).seconds for _ in repeats]
    yield Measure("nothing to do, 47 exact pins", "ms", pinned, 300)
    pairs = [(bench.shipway(python, *latest).seconds, bench.by_pip(python, *latest).seconds) for _ in repeats]
    raw = {"shipway_s": [ours for ours, _ in pairs], "other_s": [theirs for _, theirs in pairs]}
    over = [1000 * (ours - theirs) for ours, theirs in pairs]
    yield Measure("nothing to do, 47 names: more than pip takes", "ms", over, 100, raw)


def upgrade(bench: Bench) -> Iterable[Measure]:
    """One wheel of 4,000 files to its next version, everything in the caches."""
    for version in (BEFORE, AFTER):
        bench.shipway(bench.environment(f"next-shipway-{version}"), version)
        bench.uv(bench.environment(f"next-uv-{version}"), version)

    def upgraded(install: Callable[[str, str], Ran]) -> Callable[[str], Ran]:
        def act(python: str) -> Ran:
            install(python, BEFORE)
            return install(python, AFTER)

        return act

    sides = {
        "shipway": upgraded(bench.shipway),
        "uv": upgraded(bench.uv),
        "uv-compiling": upgraded(lambda python, version: bench.uv(python, "--compile-bytecode", version)),
    }
    ran = rounds(bench, "upgrade", sides)
    yield from compared("upgrade of Django / uv, compiling", ran["shipway"], ran["uv-compiling"], 1.0)
    yield from compared("upgrade of Django / uv, not compiling", ran["shipway"], ran["uv"], None)


def cold(bench: Bench) -> Iterable[Measure]:
    """Nothing is in the caches."""
    sides: dict[str, Callable[[str], Ran]] = {
        "shipway": lambda python: bench.shipway(python, *BIG, cache=Path(python).parents[1].name),
        "uv": lambda python: bench.uv(python, "--compile-bytecode", *BIG, cache=Path(python).parents[1].name),
    }
    ran = rounds(bench, "cold", sides)
    yield from compared("47 wheels, caches empty / uv, compiling", ran["shipway"], ran["uv"], 1.2)


def rounds(bench: Bench, part: str, sides: Mapping[str, Callable[[str], Ran]]) -> dict[str, list[Ran]]:
    """Each side once a round, in an order that changes, each in an environment of its own."""
    names = list(sides)
    ran: dict[str, list[Ran]] = {name: [] for name in names}
    for number in range(bench.shop.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            ran[name].append(sides[name](bench.environment(f"{part}-{number}-{name}")))
    return ran


def compared(work: str, ours: Sequence[Ran], theirs: Sequence[Ran], target: float | None) -> Iterable[Measure]:
    """The times, and what of it was work: on a busy machine that says more."""
    yield ratio(work, [r.seconds for r in ours], [r.seconds for r in theirs], target)
    yield ratio(f"{work}, processors' time", [r.cpu for r in ours], [r.cpu for r in theirs], None)


def prepared(shop: Shop) -> Bench:
    """Wheels and tools, fetched if they are not there from an earlier run."""
    room, kept = shop.room("environments"), shop.place.parent
    bench = Bench(shop, room, kept / "wheels", kept / "tools")
    if not (bench.tools / "bin/uv").exists():
        run([sys.executable, "-m", "venv", str(bench.tools)])
        fetch([bench.pip, "install", "--quiet", UV])
    if not (bench.wheels / "complete").exists():
        words = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(bench.wheels)]
        for wanted in (BIG, [AFTER]):
            fetch([bench.pip, "download", *words, *wanted])
        (bench.wheels / "complete").touch()
    return bench


def fetch(command: Sequence[str]) -> None:
    """Run pip where it may reach its index."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr[-500:]}")
