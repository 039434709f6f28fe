"""Which wheels a set of requirements comes to, by pip: what it would install, and the wheels themselves.

pip answers `install --dry-run --report` with a document (its "Installation Report", version 1) and changes nothing; `pip wheel`
fetches and builds.  Both run under the target's interpreter, with pip's own settings, caches and credentials.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.python.chosen import Chosen, reported
from shipway.python.distributions import normal
from shipway.python.editable import build
from shipway.python.pip_arguments import Arguments
from shipway.python.requirement_files import building_options, finding_options
from shipway.python.steps import Tell, silent
from shipway.python.target import Target
from shipway.python.tools import run_pip
from shipway.python.wheel import Wheel

CLONES = "src"
"""Where in its area a resolver leaves what it checked out for editable projects."""


def resolve(target: Target, arguments: Arguments, area: str, tell: Tell = silent) -> list[Chosen]:
    """What pip would install, dependencies and all; repositories of editable projects are cloned below the area.  Raises ShipwayError with pip's own words."""
    report = f"{area}/report.json"
    isolated = ["--ignore-installed"] if target.isolated else []
    words = ["install", "--dry-run", "--report", report, "--src", f"{area}/{CLONES}", *isolated]
    run_pip(target, [*words, *arguments.resolving, *arguments.finding, *arguments.requirements], "resolve", tell)
    with open(report, encoding="utf-8") as file:
        document = json.load(file)
    return [reported(item) for item in document["install"]]


def fetch(
    target: Target, arguments: Arguments, chosen: Sequence[Chosen], area: str, tell: Tell = silent
) -> list[Wheel]:
    """A wheel for each project, downloaded or built, in the order given.  Raises ShipwayError with pip's own words."""
    paths = {normal(each.name): each.local_wheel for each in chosen if each.local_wheel}
    for each in chosen:
        if each.editable:
            paths[normal(each.name)] = _built_editable(target, arguments, each, f"{area}/{normal(each.name)}", tell)
    wanted = [each for each in chosen if normal(each.name) not in paths]
    if wanted:
        paths |= _fetched(target, arguments, wanted, area, tell)
    missing = [each.name for each in chosen if normal(each.name) not in paths]
    if missing:
        raise ShipwayError(f"pip made no wheel of {', '.join(missing)}", hint="try `pip wheel` by itself")
    return [Wheel(paths[normal(c.name)], c.name, c.version, c.requested, c.direct_url) for c in chosen]


def _fetched(target: Target, arguments: Arguments, wanted: Sequence[Chosen], area: str, tell: Tell) -> dict[str, str]:
    wheels, lists = f"{area}/wheels", f"{area}/chosen.txt"
    with open(lists, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in finding_options(arguments.requirements))
        building = building_options(arguments.requirements)
        file.writelines(f"{_line(each)} {building.get(normal(each.name), '')}\n" for each in wanted)
    words = ["wheel", "--no-deps", "--wheel-dir", wheels, *_finding(arguments), "--requirement", lists]
    run_pip(target, words, "fetch or build", tell)
    return {normal(name.partition("-")[0]): f"{wheels}/{name}" for name in os.listdir(wheels)}


def _built_editable(target: Target, arguments: Arguments, chosen: Chosen, area: str, tell: Tell) -> str:
    def install(requirements: Sequence[str], place: str) -> None:
        words = ["install", "--ignore-installed", "--upgrade", "--target", place, *_finding(arguments), *requirements]
        run_pip(target, words, "install the build requirements of", silent)

    tell("step", f"building {chosen.name}")
    make_directories(area, 0o755, FileSystem().mkdir)
    isolated = "--no-build-isolation" not in arguments.finding
    return build(target, chosen.directory, area, install if isolated else None)


def _finding(arguments: Arguments) -> list[str]:
    return [word for word in arguments.finding if word != "--require-hashes"]


def _line(chosen: Chosen) -> str:
    """As a requirement; addresses without a host are none to older ones of pip, unless the name comes last."""
    address = _pinned(chosen)
    if "+file:" in address:
        return f"{address}{'&' if '#' in address else '#'}egg={chosen.name}"
    return f"{chosen.name} @ {address}"


def _pinned(chosen: Chosen) -> str:
    """The address with its digest, which pip then insists on."""
    digest = next((f"{name}={value}" for name, value in chosen.hashes.items() if name == "sha256"), "")
    return f"{chosen.url}{'&' if '#' in chosen.url else '#'}{digest}" if digest else chosen.url
