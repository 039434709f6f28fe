"""Virtual environments under importers, many installers and kills; pip and uv by the same code."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from proof.company import Company, program
from proof.report import Count
from proof.scene import Scene, leave, run
from proof.wheelwright import (
    SITE,
    SLOW,
    Project,
    Tool,
    done,
    kept,
    large,
    others,
    ours,
    projects,
    quiet,
    unsound,
    venv,
    versions,
)

OLD, NEW = "1.0", "2.0"


def attack(scene: Scene) -> Iterable[Count]:
    """All of it, by ours and by others."""
    tools = [ours(scene), *others(scene)]
    for case in (importers, at_once, killed):
        for tool in tools:
            yield from [_skipped(case, tool)] if tool.missing else case(scene, tool)


def _skipped(case: Callable[[Scene, Tool], Iterator[Count]], tool: Tool) -> Count:
    return Count("environments", f"{tool.name}: {case.__name__.replace('_', ' ')}", 0, skipped=tool.missing)


def _count(tool: Tool, case: str, tries: int, broken: Sequence[str], promises: str, **figures: float) -> Count:
    """A line about one tool."""
    if not tool.ours and not tool.naive:
        figures, broken = {"broke": len(broken), **figures}, []
    told = {name.replace("_", " "): figure for name, figure in figures.items()}
    return Count("environments", f"{tool.name}: {case}", tries, broken, promises, figures=told, naive=tool.naive)


# -- importers ---------------------------------------------------------------------------------------------------

DJANGO = ("5.1", "5.2")
MODULES = (
    "django", "django.utils.functional", "django.utils.html", "django.http", "django.template", "django.forms",
    "django.core.management", "django.core.validators", "django.db.models", "django.views.generic", "django.urls",
    "django.middleware.common", "django.core.serializers.json", "django.test.utils",
)  # fmt: skip
READ = 300
"""Files that are opened again and again beside the imports."""


def importers(scene: Scene, tool: Tool) -> Iterator[Count]:
    """Fresh interpreters import Django, without a lease, while it is upgraded and downgraded; a reader opens its files."""
    wheels = kept(scene) / "django"
    why = _django(scene, wheels)
    if why:
        yield _skipped(importers, tool._replace(missing=why))
        return
    room, times = scene.room(f"importers-{tool.name}"), scene.times(100, 2)
    root = venv(scene, room / "venv")
    done(scene, tool, root, wheels, f"django=={DJANGO[0]}.*")
    failed = []
    with Company(*_watchers(scene, root, wheels, room)) as company:
        for number in range(times):
            wanted = DJANGO[1 - number % 2]
            said = run(tool.install(root, wheels, ["--no-deps", f"django=={wanted}.*"]), env=quiet(scene), timeout=SLOW)
            failed += [f"{number}: {said.stderr.strip()[-200:]}"] if said.returncode else []
    yield _seen(tool, times, company, failed)
    leave(room)


def _django(scene: Scene, wheels: Path) -> str:
    """Have the wheels; why they cannot be had, or ""."""
    missing = [version for version in DJANGO if not list(wheels.glob(f"[dD]jango-{version}*.whl"))]
    for version in missing:
        pip = [scene.python, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--only-binary", ":all:"]
        said = run([*pip, "-d", str(wheels), f"django=={version}.*"], timeout=300)
        if said.returncode:
            return f"no index to have Django {version} from"
    return ""


def _watchers(scene: Scene, root: Path, wheels: Path, room: Path) -> list[list[str]]:
    """Two importers and a reader, which know what is there in both versions."""
    old, new = (_held(next(wheels.glob(f"[dD]jango-{version}*.whl"))) for version in DJANGO)
    both = sorted(path for path in old.keys() & new.keys() if path.startswith("django/"))
    site = str(root / SITE)
    task = {"python": str(root / "bin/python"), "modules": MODULES, "site": site, "both": both}
    (room / "importer.json").write_text(json.dumps(task))
    texts = {path: [old[path], new[path]] for path in both if path.endswith(".py") and old[path] != new[path]}
    chosen = random.Random(scene.seed).sample(sorted(texts), min(READ, len(texts)))
    (room / "reader.json").write_text(json.dumps({"root": site, "files": {path: texts[path] for path in chosen}}))
    importer = program(scene, "importer", room / "importer.json")
    return [importer, importer, program(scene, "reader", room / "reader.json")]


def _held(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}


def _seen(tool: Tool, times: int, company: Company, failed: Sequence[str]) -> Count:
    *imports, reader = company.reports
    broken = [line for report in company.reports for line in report["wrong"]]
    sums = {name: sum(report[name] for report in imports) for name in ("imports", "missing", "torn", "mixed")}
    case = f"importers, Django {' to '.join(DJANGO)} and back"
    reads = {"reads": reader["reads"], "missing_or_torn_reads": len(reader["wrong"])}
    return _count(tool, case, times, [*failed, *broken], "I1, I2", **sums, **reads)


# -- many at once ------------------------------------------------------------------------------------------------

SETS = (
    (f"app=={OLD}",), (f"app=={NEW}",), (f"lib=={OLD}", "other"), (f"lib=={NEW}",), ("other", "shared-a"),
    ("shared-a", "shared-b"), (f"lib=={NEW}", "shared-b"), (f"app=={OLD}", "other"), (f"app=={NEW}", "shared-a"), ("other",),
)  # fmt: skip
PACKAGES = ("app", "lib")


def at_once(scene: Scene, tool: Tool) -> Iterator[Count]:
    """Overlapping sets of requirements, differing versions among them, into one environment, all at the same moment."""
    room, times, sets = scene.room(f"at-once-{tool.name}"), scene.times(20, 1), scene.choose(SETS, 4)
    wheels = _offered(room / "wheels", 60)
    root, broken, failed = venv(scene, room / "venv"), [], 0
    for turn in range(times):
        running = [_started(scene, tool.install(root, wheels, words)) for words in sets]
        said = [process.communicate(timeout=SLOW)[0] for process in running]
        bad = [text for process, text in zip(running, said, strict=True) if process.returncode or "Traceback" in text]
        failed += len(bad)
        wrong = _wrong(scene, tool, root, PACKAGES)
        if bad or wrong:
            broken.append(
                f"round {turn}: {len(bad)} processes failed; {'; '.join(wrong[:3])} {bad[0][-200:] if bad else ''}"
            )
        if wrong and not tool.ours:
            venv(scene, root)
    figures = {"processes": times * len(sets), "of_them_failed": failed}
    yield _count(tool, f"{len(sets)} installations at once", times, broken, "I1, I5, I8", **figures)
    leave(room)


def _offered(wheels: Path, files: int) -> Path:
    for version in (OLD, NEW):
        large("lib", version, files).write(wheels)
        large("app", version, files, ("lib",)).write(wheels)
    stray = {"tests/__init__.py": "", "tests/same.py": "x = 1\n"}
    for project in (
        Project("other", OLD, {"other.py": "x = 1\n"}, ("lib>=1",)),
        Project("shared-a", OLD, {"shared_a.py": "x = 1\n", **stray}),
        Project("shared-b", OLD, {"shared_b.py": "x = 1\n", **stray}),
    ):
        project.write(wheels)
    return wheels


def _started(scene: Scene, command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet(scene)
    )


def _wrong(scene: Scene, tool: Tool, root: Path, packages: Sequence[str]) -> list[str]:
    """What is wrong with an environment; ours is asked as well, which is when it heals."""
    problems = []
    if tool.ours:
        said = scene.run("-p", root, "verify", env=quiet(scene))
        problems = [f"verify: {said.stdout.strip()[:200]}{said.stderr.strip()[-200:]}"] if said.returncode else []
    return problems + unsound(scene, root, packages)


# -- kills -------------------------------------------------------------------------------------------------------


def killed(scene: Scene, tool: Tool) -> Iterator[Count]:
    """Kill -9 at moments spread over the installation and the upgrade of a wheel of many files."""
    room, files = scene.room(f"killed-{tool.name}"), scene.times(4000, 400)
    wheels, root = room / "wheels", venv(scene, room / "venv")
    for version in (OLD, NEW):
        large("big", version, files).write(wheels)
    for deed, before in scene.choose((("an upgrade", OLD), ("an installation", "")), 1):
        moments, broken, after = scene.times(20, 2), [], {"old": 0, "new": 0}
        length = _length(scene, tool, root, wheels, before)
        for moment in range(moments):
            _bring(scene, tool, root, wheels, before)
            process = _started(scene, tool.install(root, wheels, [f"big=={NEW}"]))
            time.sleep(length * (0.2 + 0.8 * moment / moments))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            wrong, now = _after_kill(scene, tool, root, before)
            after[now] = after.get(now, 0) + 1
            broken += [f"moment {moment} of {moments}: {wrong[0]} ({len(wrong)} problems)"] if wrong else []
        yield _count(tool, f"kill -9 in {deed}", moments, broken, "I3, I10", **after, files=files)
    leave(room)


def _length(scene: Scene, tool: Tool, root: Path, wheels: Path, before: str) -> float:
    """Seconds that the deed takes undisturbed; in the full form with caches filled."""
    lengths = []
    for _ in range(scene.times(2, 1)):
        _bring(scene, tool, root, wheels, before)
        started = time.monotonic()
        done(scene, tool, root, wheels, f"big=={NEW}")
        lengths.append(time.monotonic() - started)
    return lengths[-1]


def _bring(scene: Scene, tool: Tool, root: Path, wheels: Path, version: str) -> None:
    """Have this version there, or none; ours by its own means, that of others anew."""
    if not tool.ours:
        venv(scene, root)
    elif not version and projects(root):
        scene.run("-p", root, "pip", "uninstall", "-y", "big", env=quiet(scene))
    if version:
        done(scene, tool, root, wheels, f"big=={version}")


def _after_kill(scene: Scene, tool: Tool, root: Path, before: str) -> tuple[list[str], str]:
    """What is wrong, and whether it is old or new."""
    wrong = _wrong(scene, tool, root, ["big"])
    found = versions(root, "big")
    if found not in ([before] if before else [], [NEW]):
        wrong.append(f"is neither old nor new: {found}")
    return wrong, "new" if found == [NEW] else "old"
