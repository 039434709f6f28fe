"""One file of a Python package index, exactly: a source distribution or a wheel, without building anything.

Which index, and with which certificates and proxy, pip says: `pip config list` prints its settings of all files and variables, and
`pip download --help` its default.  What is at an index is read as the specification says (Simple Repository API: HTML and JSON), since
pip itself hands out no source distribution before it has run its build for the metadata.
"""

from __future__ import annotations

import ast
import html.parser
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import pathname2url

from shipway.build.download import download
from shipway.build.places import PlaceError, Wanted, Watch, described, shown
from shipway.build.programs import run
from shipway.build.web import Access
from shipway.fs.partial import PartialFile

JSON_PAGE = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{JSON_PAGE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_DEFAULT = re.compile(r"--index-url\s.*?\(default\s+(\S+?)\)", re.DOTALL)
_SECTIONS = ("global", "download", ":env:")
"""Where a setting may stand; the later wins."""
_LARGEST = 1 << 26
_NONE = ("", "0", "false", "no", "off")


class Settings(NamedTuple):
    """What pip says of where packages are: addresses of indexes, directories and pages with files, and how to get there."""

    indexes: tuple[str, ...]
    links: tuple[str, ...]
    proxy: str = ""
    certificates: str = ""

    def access(self, watch: Watch) -> Access:
        """How to ask."""
        return Access(watch.timeout, self.proxy, self.certificates)


class Candidate(NamedTuple):
    """A file that is on offer; `digest` is its SHA-256, or "" if the page does not say."""

    name: str
    url: str
    digest: str = ""


def settings(watch: Watch) -> Settings:
    """What pip says, by asking it.  Raises PlaceError if there is no pip."""
    done = run([sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], watch)
    if done.code:
        raise PlaceError(f"pip does not tell its settings: {done.why}")
    told = _told(done.out.splitlines())
    words = {key: tuple(told.get(key, "").split()) for key in ("index-url", "extra-index-url", "find-links")}
    indexes: tuple[str, ...] = ()
    if told.get("no-index", "").lower() in _NONE:
        indexes = (*(words["index-url"] or (_default(watch),)), *words["extra-index-url"])
    return Settings(indexes, words["find-links"], told.get("proxy", ""), told.get("cert", ""))


def _told(lines: Sequence[str]) -> Mapping[str, str]:
    """The value of each key, from lines like `global.index-url='https://…'`."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in lines:
        name, _, value = line.partition("=")
        section, _, key = name.strip().rpartition(".")
        if section in found:
            found[section][key] = str(ast.literal_eval(value))
    return {key: value for section in _SECTIONS for key, value in found[section].items()}


def _default(watch: Watch) -> str:
    wide = {"COLUMNS": "1000"}
    done = run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--help"], watch, more=wide)
    found = _DEFAULT.search(done.out)
    if found is None:
        raise PlaceError("pip does not say which index it uses; set index-url in its configuration")
    return found[1]


# -- finding -------------------------------------------------------------------------------------------------------------


def candidates(
    told: Settings, wanted: Wanted, file: PartialFile, watch: Watch, problems: list[str]
) -> Iterator[Candidate]:
    """Where the file of a place is to be had, index by index.  `file` is for the pages, `problems` for what is wrong with them."""
    known = len(problems)
    for page in pages(told, str(wanted.place.pypi)):
        try:
            offered = [each for each in offers(page, told.access(watch), file, watch) if each.name == wanted.name]
        except PlaceError as error:
            problems.append(error.message)
            continue
        for each in offered:
            if not wanted.digest or each.digest in ("", wanted.digest):
                yield each
            else:
                problems.append(f"{described(wanted)}: it has another digest there")
    if len(problems) == known:
        problems.append(f"{described(wanted)}: no index has it")


def all_files(told: Settings, project: str, file: PartialFile, watch: Watch) -> list[Candidate]:
    """Whatever is on offer.  Raises PlaceError if no page can be read."""
    found: list[Candidate] = []
    problems: list[str] = []
    for page in pages(told, project):
        try:
            found += offers(page, told.access(watch), file, watch)
        except PlaceError as error:
            problems.append(error.message)
    if problems and not found:
        raise PlaceError(problems[0], details=problems[1:])
    return found


def pages(told: Settings, project: str) -> list[str]:
    """Where to look for a project's files."""
    normal = re.sub(r"[-_.]+", "-", project).lower()
    return [*told.links, *(f"{index.rstrip('/')}/{normal}/" for index in told.indexes)]


def offers(page: str, access: Access, file: PartialFile, watch: Watch) -> list[Candidate]:
    """What a page, or a directory, has.  Raises PlaceError."""
    local = _local(page)
    if os.path.isdir(local) and not os.path.isfile(f"{local}/index.html"):
        return [
            Candidate(name, f"file://{pathname2url(os.path.join(local, name))}") for name in sorted(os.listdir(local))
        ]
    if local:
        path = f"{local}/index.html" if os.path.isdir(local) else local
        page = f"file://{pathname2url(path)}"
        if not os.path.exists(path):
            return []
    return _read(page, access, file, watch)


def _local(page: str) -> str:
    """The path of a page that lies on this machine, "" for others."""
    parts = urlsplit(page)
    if parts.scheme == "file":
        return os.path.normpath(unquote(parts.path))
    return "" if parts.scheme else os.path.abspath(os.path.expanduser(page))


def _read(page: str, access: Access, file: PartialFile, watch: Watch) -> list[Candidate]:
    file.restart()
    kind = download(page, file, access, watch, {"Accept": _ACCEPT})
    if file.size > _LARGEST:
        raise PlaceError(f"{shown(page)}: is no page of an index: it has {file.size} bytes")
    with open(file.path, "rb") as opened:
        text = opened.read().decode(errors="replace")
    if JSON_PAGE in kind:
        try:
            return list(_of_json(page, json.loads(text)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlaceError(f"{shown(page)}: the page cannot be read: {error}") from error
    reader = _Links(page)
    reader.feed(text)
    return reader.found


def _of_json(page: str, document: Mapping[str, Any]) -> Iterator[Candidate]:
    for file in document["files"]:
        yield Candidate(str(file["filename"]), urljoin(page, str(file["url"])), str(file["hashes"].get("sha256", "")))


class _Links(html.parser.HTMLParser):
    """The links of a page; the digest stands behind a #."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.base = page
        self.found: list[Candidate] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") or ""
        if tag == "base" and target:
            self.base = urljoin(self.base, target)
        elif tag == "a" and target:
            url, fragment = urldefrag(urljoin(self.base, target))
            name = unquote(urlsplit(url).path.rpartition("/")[2])
            self.found.append(Candidate(name, url, fragment.removeprefix("sha256=") if "sha256=" in fragment else ""))
