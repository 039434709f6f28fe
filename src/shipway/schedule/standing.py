"""How a prefix stands before an installation: what is in it, what that was built from, and what holds for every build."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection as Names
from collections.abc import Iterator
from typing import NamedTuple

from shipway.build.host import Answer, run
from shipway.build.recipe_file import Found
from shipway.prefix.site import Site
from shipway.schedule import notes
from shipway.schedule.graph import Graph
from shipway.schedule.steps import Standing

COMPILERS = (("CC", "cc"), ("CXX", "c++"), ("FC", "gfortran"))
"""The variables that choose the compilers, and what is taken without them."""


class Tooling(NamedTuple):
    """What the configuration gives to compilers, "" for nothing out of the ordinary, and the interpreter that packages are for."""

    flags: str
    python: str


def standing_of(site: Site, graph: Graph, tooling: Tooling, again: Names[str] = ()) -> Standing:
    """The standing of a prefix as far as a graph asks for it."""
    installed = site.database.installed()
    wanted = {node.recipe.purl for node in graph.nodes.values()}
    there = {identity: package for identity, package in installed.items() if identity in wanted}
    files = {name: files_digest(node.found) for name, node in graph.nodes.items()}
    return Standing(
        there, notes.read(site, there.values()), files, tooling.flags, compiler(), again, python(tooling.python)
    )


def compiler() -> str:
    """The first line of what each compiler says of itself; nothing for one that is not there."""
    answers = (run([*os.environ.get(variable, default).split(), "--version"]) for variable, default in COMPILERS)
    return "\n".join(_first_line(answer) for answer in answers)


def python(executable: str) -> str:
    """What packages have in common that one interpreter can use: "cpython-311"; "" for one that does not answer."""
    question = "import sys; print(sys.implementation.cache_tag or '')"
    return _first_line(run([executable, "-I", "-c", question]))


def files_digest(found: Found) -> str:
    """SHA-256 over the patches and scripts of a recipe; "" for one without."""
    total = hashlib.sha256()
    names = sorted(set(_files_of(found)))
    for name in names:
        with open(os.path.join(found.directory, name), "rb") as file:
            total.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if names else ""


def _files_of(found: Found) -> Iterator[str]:
    recipe = found.recipe
    yield from (patch.file for patch in recipe.patches)
    yield from (patch.file for source in recipe.source for place in source.places for patch in place.patches)
    yield from (script.script for _, script in recipe.phases if script is not None and script.script)


def _first_line(answer: Answer) -> str:
    return answer.text.partition("\n")[0] if answer.code == 0 else ""
