"""Small packages that are built by shell texts, in a collection of their own, and a prefix to put them into."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cli.shop import Ran, command, environment

RECIPE = """name = "{name}"
version = "{version}"
[dependencies]
run = [{needs}]
{more}
[phases]
install = '''
{install}
'''
"""
INSTALL = 'mkdir -p "$DESTDIR$PREFIX/share/$NAME"; echo "$NAME $VERSION" > "$DESTDIR$PREFIX/share/$NAME/version"'


@dataclass(frozen=True)
class Yard:
    """A prefix, a collection, and a place to build in."""

    place: Path

    @property
    def root(self) -> Path:
        return self.place / "prefix"

    @property
    def recipes(self) -> Path:
        return self.place / "recipes"

    @property
    def builds(self) -> Path:
        return self.place / "builds"

    def recipe(self, name: str, *needs: str, install: str = INSTALL, version: str = "1", more: str = "") -> None:
        """Write, or replace, a recipe; `more` are other tables."""
        home = self.recipes / name
        home.mkdir(parents=True, exist_ok=True)
        listed = ", ".join(f'"{need}"' for need in needs)
        text = RECIPE.format(name=name, version=version, needs=listed, more=more, install=install)
        (home / "recipe.toml").write_text(text)

    def words(self, verb: str, *words: str) -> list[str]:
        return command(
            "-p", str(self.root), verb, "--recipes", str(self.recipes), "--build-dir", str(self.builds), *words
        )

    def environment(self, **more: str) -> dict[str, str]:
        return environment(SHIPWAY_CACHE=str(self.place / "cache"), **more)

    def __call__(self, verb: str, *words: str, **more: str) -> Ran:
        """A command that builds, as a process."""
        done = subprocess.run(
            self.words(verb, *words),
            env=self.environment(**more),
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """The same, in the background, in a process group of its own."""
        return subprocess.Popen(
            self.words(verb, *words),
            env=self.environment(),
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, *words: str) -> Ran:
        """Any other command on the prefix."""
        done = subprocess.run(
            command("-p", str(self.root), *words), env=self.environment(), capture_output=True, text=True, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @property
    def installed(self) -> dict[str, str]:
        return {each["name"]: each["version"] for each in self.ask("list", "--json").json}

    def sound(self) -> bool:
        """Whether all is on disk as it is recorded."""
        return self.ask("verify").code == 0


def yard(place: Path) -> Yard:
    made = Yard(Path(os.path.realpath(place)))
    for directory in (made.root, made.recipes, made.builds):
        directory.mkdir()
    return made
