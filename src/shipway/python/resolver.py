"""Which wheels a set of requirements comes to, by pip: what it would install, and the wheels themselves.

pip answers `install --dry-run --report` with a document (its "Installation Report", version 1) and changes nothing; `pip wheel`
fetches and builds.  Both run under the target's interpreter, with pip's own settings, caches and credentials.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.python.distributions import normal
from shipway.python.editable import build
from shipway.python.pip_arguments import Arguments
from shipway.python.requirement_files import building_options, finding_options
from shipway.python.steps import Tell, silent
from shipway.python.target import Target
from shipway.python.tools import run_pip
from shipway.python.wheel import Wheel


class Chosen(NamedTuple):
    """One project as resolved: where its archive is, its digests by algorithm, and what direct_url.json has to say, or ""."""

    name: str
    version: str
    url: str
    hashes: Mapping[str, str]
    requested: bool
    direct_url: str

    @property
    def local_wheel(self) -> str:
        """The path of a wheel that lies on this machine, or ""."""
        parts = urlsplit(self.url)
        return unquote(parts.path) if parts.scheme == "file" and parts.path.endswith(".whl") else ""

    @property
    def directory(self) -> str:
        """The path of a local directory."""
        return unquote(urlsplit(self.url).path)

    @property
    def editable(self) -> bool:
        """Whether the project is to be used where it lies."""
        told = json.loads(self.direct_url) if self.direct_url else {}
        return bool(told.get("dir_info", {}).get("editable"))


def resolve(target: Target, arguments: Arguments, area: str, tell: Tell = silent) -> list[Chosen]:
    """What pip would install, dependencies and all.  Raises ShipwayError with pip's own words."""
    report = f"{area}/report.json"
    isolated = ["--ignore-installed"] if target.isolated else []
    words = ["install", "--dry-run", "--report", report, *isolated, *arguments.resolving, *arguments.finding]
    run_pip(target, [*words, *arguments.requirements], "resolve", tell)
    with open(report, encoding="utf-8") as file:
        document = json.load(file)
    return [_chosen(item) for item in document["install"]]


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
        file.writelines(f"{each.name} @ {_pinned(each)} {building.get(normal(each.name), '')}\n" for each in wanted)
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


def _pinned(chosen: Chosen) -> str:
    """The address with its digest, which pip then insists on."""
    digest = next((f"{name}={value}" for name, value in chosen.hashes.items() if name == "sha256"), "")
    return f"{chosen.url}{'&' if '#' in chosen.url else '#'}{digest}" if digest else chosen.url


def _chosen(item: Mapping[str, Any]) -> Chosen:
    """One entry of the report; a version 1 report has had these fields since pip 22.2."""
    info = item["download_info"]
    archive = info.get("archive_info") or {}
    vcs = info.get("vcs_info")
    url = f"{vcs['vcs']}+{info['url']}@{vcs['commit_id']}" if vcs else info["url"]
    part = f"#subdirectory={info['subdirectory']}" if info.get("subdirectory") else ""
    return Chosen(
        item["metadata"]["name"],
        item["metadata"]["version"],
        url + part,
        archive.get("hashes") or {},
        bool(item.get("requested")),
        json.dumps(info) if item.get("is_direct") else "",
    )
