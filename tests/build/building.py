"""Builds of small packages, written down as a recipe and some files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shipway.build.directory import Directory
from shipway.build.environment import Compilers, Interpreter, Tools
from shipway.build.failure import Failure
from shipway.build.one import Built, Request, run_build
from shipway.build.recipe_file import Found, parse
from shipway.fs.apart import NONE, Isolation, probe
from shipway.fs.stop import Stop
from shipway.fs.system import FileSystem
from shipway.model.event import Event

OTHERS_PYTHON = "/usr/bin/python3"
"""One that every user may run."""
PYTHON = OTHERS_PYTHON if os.path.exists(OTHERS_PYTHON) else sys.executable


@dataclass
class Workshop:
    """A prefix, a place to build in, and how builds are kept apart."""

    prefix: Path
    place: Path
    isolation: Isolation = NONE
    events: list[Event] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    def request(self, recipe: str, files: Mapping[str, str] | None = None, **more: object) -> Request:
        """`files` are the source; those that begin with #! can be executed."""
        home = Path(tempfile.mkdtemp(dir=self.place))
        directory = Directory(str(home))
        directory.make(FileSystem())
        beside = self.place / "recipes" / home.name
        parsed = parse(f'name = "thing"\nversion = "1.2"\n{recipe}', "recipe.toml")
        for name, text in (files or {}).items():
            write(beside / name[1:] if name.startswith("@") else Path(directory.source) / name, text)
        request = Request(Found(parsed, str(beside)), str(self.prefix), directory, directory.source, str(self.logs))
        tools = Tools(Compilers("gcc", "g++"), python=Interpreter(PYTHON))
        return request._replace(tools=tools, isolation=self.isolation, jobs=2, **more)  # type: ignore[arg-type]

    @property
    def logs(self) -> Path:
        return self.prefix / "var/lib/shipway/logs"

    @property
    def log(self) -> str:
        return (self.logs / "thing-1.2.log").read_text()

    def build(self, recipe: str, files: Mapping[str, str] | None = None, **more: object) -> Built | Failure:
        return self.run(self.request(recipe, files, **more))

    def run(self, request: Request) -> Built | Failure:
        self.events.clear()
        return run_build(request, self.events.append, self.stop)

    def script(self, text: str, *, phase: str = "install", more: str = "") -> Built | Failure:
        """A build that is one shell text."""
        phases = f"[phases]\n{phase} = '''\n{text}\n'''\n" + ("" if phase == "install" else "install = ''\n")
        return self.build(more + phases)

    @property
    def said(self) -> list[str]:
        """What the tools said, line by line."""
        return [line for event in self.events if event.kind == "output" for line in event.text.split("\n")]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if text.startswith("#!"):
        path.chmod(0o755)


def workshop(place: Path, *, apart: bool = True) -> Workshop:
    """`apart`: with whatever isolation there is."""
    prefix, build = place / "prefix", place / "build"
    for directory in (prefix / "lib", prefix / "include", build):
        directory.mkdir(parents=True)
    isolation = probe(str(prefix), str(build), FileSystem()) if apart else NONE
    return Workshop(Path(os.path.realpath(prefix)), Path(os.path.realpath(build)), isolation)


def built(result: Built | Failure) -> Built:
    assert isinstance(result, Built), result
    return result


def failed(result: Built | Failure) -> Failure:
    assert isinstance(result, Failure), result
    return result


def tree(top: str | Path) -> dict[str, str]:
    """Every file and symlink below a directory, by its path, with its text or target."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text(errors="replace")
    return found


def live_files(shop: Workshop) -> dict[str, str]:
    """The prefix without Shipway's own directory."""
    return {name: text for name, text in tree(shop.prefix).items() if not name.startswith("var/")}
