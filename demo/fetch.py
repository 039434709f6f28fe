"""Real packages from the index, staged as a build would stage them; made-up ones where the index can't be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from demo.generated import modules_of, write_package
from demo.importers import Interpreter, clean_environment, learn
from demo.rounds import Race
from demo.stage import Stage, compile_tree, put_bytecode_last

FUTURE = "0.17.1"
DOCUTILS = ("0.20.1", "0.21.2")

FUTURE_MODULES = ["future", *(f"future.{name}" for name in ("utils", "types", "builtins", "backports.misc"))]
FUTURE_MODULES += ["future.backports", "future.standard_library", "future.moves", "future.moves.itertools"]
DOCUTILS_MODULES = [
    "docutils",
    *(f"docutils.{name}" for name in ("core", "nodes", "frontend", "utils", "statemachine")),
]
DOCUTILS_MODULES += [f"docutils.parsers.rst.{name}" for name in ("states", "roles", "directives.images", "tableparser")]
DOCUTILS_MODULES += [f"docutils.writers.{name}" for name in ("html5_polyglot", "latex2e", "manpage")]

STAGINGS = 5


class UnreachableError(Exception):
    """The index can't be reached, or does not have what is wanted; holds pip's last words."""


class Kitchen:
    """Where packages are fetched, built and staged: a directory that later runs find again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.packages = place / "packages"
        self.packages.mkdir(parents=True, exist_ok=True)

    def future(self, interpreter: Interpreter) -> Race:
        """`future` into a prefix that lacks it, built from its source."""
        source = self._source("future", FUTURE)
        build = self._build_for_2 if interpreter.version == "2.7" else self._build_for_3
        stage = self._stage("future", FUTURE, interpreter, lambda stage: build(source, stage))
        return self._race(f"future {FUTURE}", None, stage, FUTURE_MODULES)

    def docutils(self, interpreter: Interpreter) -> Race:
        """`docutils`, some 170 modules, from one version to the next."""
        before, after = (
            self._stage(
                "docutils", v, interpreter, lambda stage: self._unpack(self._wheel("docutils", stage.version), stage)
            )
            for v in DOCUTILS
        )
        return self._race("docutils " + " to ".join(DOCUTILS), before, after, DOCUTILS_MODULES)

    def generated(self, interpreter: Interpreter, versions: Sequence[str]) -> Race:
        """A made-up package, fresh (one version) or from one version to the next (two)."""
        stages = [self._stage("seedling", v, interpreter, _write_generated) for v in versions]
        title = "generated " + " to ".join(versions)
        return Race(_under(title, interpreter), stages[0] if stages[1:] else None, stages[-1], modules_of("seedling"))

    def _race(self, title: str, before: Stage | None, after: Stage, modules: Sequence[str]) -> Race:
        return Race(_under(title, after.interpreter), before, after, self._importable(after, modules))

    def _importable(self, stage: Stage, modules: Sequence[str]) -> list[str]:
        """Those of the modules that this interpreter can import at all: `future` is older than 3.12."""
        package, task = modules[0], self.place / "task.json"
        return [m for m in modules if not isinstance(learn(stage.interpreter, stage.site, [package, m], task), str)]

    def _source(self, name: str, version: str) -> Path:
        return self._fetched(f"{name}-{version}.tar.gz", ["--no-binary", name, f"{name}=={version}"])

    def _wheel(self, name: str, version: str) -> Path:
        return self._fetched(f"{name}-{version}-*.whl", ["--only-binary", name, f"{name}=={version}"])

    def _fetched(self, pattern: str, wanted: Sequence[str]) -> Path:
        if not list(self.packages.glob(pattern)):
            pip("download", "--retries", "1", "--timeout", "20", "--no-deps", "--dest", str(self.packages), *wanted)
        return next(self.packages.glob(pattern))

    def _build_for_3(self, source: Path, stage: Stage) -> None:
        wheels = self.place / "wheels"
        pattern = f"{stage.name}-{stage.version}-*.whl"
        if not list(wheels.glob(pattern)):
            pip("wheel", "--retries", "1", "--timeout", "20", "--no-deps", "--wheel-dir", str(wheels), str(source))
        self._unpack(next(wheels.glob(pattern)), stage)

    def _unpack(self, wheel: Path, stage: Stage) -> None:
        root = stage.tree.parent
        pip(
            "install",
            "--no-index",
            "--no-deps",
            "--ignore-installed",
            "--root",
            str(root),
            "--prefix",
            "/tree",
            str(wheel),
        )

    def _build_for_2(self, source: Path, stage: Stage) -> None:
        """As its recipe did: no pip, which a 2.7 need not have."""
        with tarfile.open(source) as archive:
            archive.extractall(stage.tree.parent, filter="data")
        folder = stage.tree.parent / f"{stage.name}-{stage.version}"
        where = ["--root", str(stage.tree.parent), "--prefix", "/tree"]
        quietly(stage.interpreter.command("setup.py", "-q", "install", *where), folder)

    def _stage(self, name: str, version: str, interpreter: Interpreter, build: Callable[[Stage], None]) -> Stage:
        """Stage, if need be several times, until bytecode lies behind its sources."""
        stage = Stage(name, version, self.place, interpreter)
        for attempt in range(STAGINGS):
            folder = self.place / "stages" / f"{name}-{version}-{interpreter.version}-{attempt}"
            shutil.rmtree(folder, ignore_errors=True)
            stage = replace(stage, tree=folder / "tree")
            build(stage)
            if put_bytecode_last(stage.tree):
                break
        return stage


def _under(title: str, interpreter: Interpreter) -> str:
    return f"{title}, Python {interpreter.version}"


def _write_generated(stage: Stage) -> None:
    write_package(stage.site, stage.name, stage.version)
    compile_tree(stage)


def pip(*arguments: str) -> None:
    """Run pip; raises UnreachableError with its last line."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    quietly(command, Path.cwd())


def quietly(command: Sequence[str], folder: Path) -> None:
    """Run a command with the environment free of what changes how Python installs."""
    done = subprocess.run(command, check=False, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise UnreachableError(
            errors[-1].removeprefix("ERROR: ") if errors else f"{command[0]} ended with {done.returncode}"
        )


def find_python2() -> Interpreter | None:
    """A Python 2.7, if there is one: on the PATH, or among pyenv's versions."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = ["python2.7", "python2", *map(str, sorted(pyenv.glob("versions/2.7*/bin/python2.7")))]
    for candidate in filter(None, map(shutil.which, candidates)):
        ask = [candidate, "-c", "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(ask, check=False, capture_output=True, text=True).stdout == "2.7":
            return Interpreter(candidate, "2.7")
    return None
