"""Archives of the distribution's source packages, by `apt-get source`, with lists of our own.

The host's sources say where binary packages come from; here each is turned into one of sources (`deb-src`), in a private directory,
with private lists and caches, so that nothing of the host's changes and nobody need be root.  apt checks the signatures as ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shipway.build.places import PlaceError, Wanted, Watch, described
from shipway.build.programs import Done, run
from shipway.fs.lock import FileLock, Waiting
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.event import Event

OLD = 24 * 3600.0
"""Seconds after which lists are fetched anew."""
_FRESH = 600.0
"""Seconds within which lists that do not have a file are believed."""

_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{area}/sources";
Dir::State::lists "{area}/lists";
Dir::Cache "{area}/cache";
Acquire::Retries "1";
Acquire::http::Timeout "{timeout}";
Acquire::https::Timeout "{timeout}";
Acquire::Languages "none";
"""
_AS_ROOT = 'APT::Sandbox::User "root";\n'
_LIST = re.compile(r"deb(?:-src)?\s+(\[[^\]]*\]\s+)?(.*)")
_FOREIGN = re.compile(r"\barch[+-]?=[^\s\]]+\s*")
_MISSING = re.compile(r"^[EW]: (Failed to fetch|The repository) .*", re.MULTILINE)
_NO_OPTIONS = re.compile(r"\[\s*\]\s+")


class Archives:
    """The distribution's archives; lists are fetched when first needed, by one process at a time."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self.fs = fs
        self.area = directory
        self._mutex = threading.Lock()
        self._problem = ""

    def fetch(self, wanted: Wanted, scratch: str, watch: Watch) -> str:
        """The path of the archive, below `scratch`.  Raises PlaceError."""
        with self._mutex:
            versions = self._versions(wanted, watch)
        why = ""
        with self._lists(shared=True, watch=watch):
            for version in versions:
                name = f"{wanted.place.debian}={version}"
                words = ("apt-get", "source", "--download-only", "--tar-only", "--only-source", name)
                done = self._apt(words, watch, scratch)
                path = f"{scratch}/{wanted.name}"
                if os.path.isfile(path):
                    return path
                why = done.why
        raise PlaceError(f"{described(wanted)}: {why}")

    def _versions(self, wanted: Wanted, watch: Watch) -> list[str]:
        """Those that have the file, the newest first.  Lists that are old, or do not know it, are fetched first."""
        age = self._age()
        if age > OLD:
            self._update(watch)
        found = self._offered(wanted, watch)
        if not found and _FRESH < age <= OLD:
            self._update(watch)
            found = self._offered(wanted, watch)
        right = [version for version, digest in reversed(found) if wanted.digest in ("", digest)]
        if not right:
            why = "it has another digest there" if found else self._problem or "this distribution does not have it"
            raise PlaceError(f"{described(wanted)}: {why}")
        return right

    def _offered(self, wanted: Wanted, watch: Watch) -> list[tuple[str, str]]:
        with self._lists(shared=True, watch=watch):
            done = self._apt(("apt-cache", "--only-source", "showsrc", str(wanted.place.debian)), watch)
        return [(source.version, digest) for source in _sources(done.out) for digest in source.digests_of(wanted.name)]

    def _age(self) -> float:
        try:
            return time.time() - os.stat(f"{self.area}/updated").st_mtime
        except FileNotFoundError:
            return float("inf")

    def _update(self, watch: Watch) -> None:
        """Fetch the lists, unless somebody else just did.  If some of them cannot be had, the others may do; that is remembered."""
        if self._problem:
            return
        watch.tell(Event("phase", "fetching the lists of the distribution's sources"))
        self._prepare()
        with self._lists(shared=False, watch=watch):
            if self._age() < _FRESH:
                return
            self._configure(watch)
            done = self._apt(("apt-get", "update", "-q"), watch)
            missing = _MISSING.search(done.err)
            if done.code or missing:
                self._problem = f"apt-get update: {missing[0] if missing else done.why}"
            else:
                self._write("updated", "")

    def _prepare(self) -> None:
        for name in ("sources", "lists/partial", "cache/archives/partial"):
            make_directories(f"{self.area}/{name}", 0o700, self.fs.mkdir)

    def _configure(self, watch: Watch) -> None:
        text = _CONFIGURATION.format(area=self.area, timeout=max(1, int(watch.timeout)))
        self._write("apt.conf", text + (_AS_ROOT if os.geteuid() == 0 else ""))
        for name in os.listdir(f"{self.area}/sources"):
            self.fs.unlink(f"{self.area}/sources/{name}")
        found = [(path, source_lines(path)) for path in _host_files(watch)]
        for number, (path, text) in enumerate(found):
            if text.strip():
                self._write(f"sources/{number:03}{os.path.splitext(path)[1]}", text)
        if not os.listdir(f"{self.area}/sources"):
            raise PlaceError("apt knows no sources here")

    def _write(self, name: str, text: str) -> None:
        scratch = f"{self.area}/.new"
        self.fs.remove_tree(scratch)
        self.fs.write_file(scratch, text.encode(), 0o600)
        self.fs.replace(scratch, f"{self.area}/{name}")

    def _apt(self, words: Sequence[str], watch: Watch, directory: str = "/") -> Done:
        return run([words[0], "-c", f"{self.area}/apt.conf", *words[1:]], watch, directory)

    @contextlib.contextmanager
    def _lists(self, *, shared: bool, watch: Watch) -> Iterator[None]:
        def waiting(what: Waiting) -> None:
            watch.tell(Event("waiting", f"waiting for {what.what}, held by {' and '.join(map(str, what.holders))}"))

        lock = FileLock(f"{self.area}/lock", what="the lists of the distribution's sources")
        lock.acquire(shared=shared, on_wait=waiting)
        with lock:
            yield


# -- the host's sources ------------------------------------------------------------------------------------------------


def _host_files(watch: Watch) -> list[str]:
    """The files in which the host says where packages come from."""
    done = run(["apt-config", "shell", "ONE", "Dir::Etc::sourcelist/f", "MANY", "Dir::Etc::sourceparts/d"], watch)
    told = dict(re.findall(r"^(\w+)='(.*)'$", done.out, re.MULTILINE))
    many = told.get("MANY", "")
    names = sorted(os.listdir(many)) if os.path.isdir(many) else []
    files = [told.get("ONE", ""), *(os.path.join(many, name) for name in names)]
    return [path for path in files if path.endswith((".list", ".sources")) and os.path.isfile(path)]


def source_lines(path: str) -> str:
    """A file of apt's (sources.list(5)) with sources in the place of binary packages."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    return _stanzas(text) if path.endswith(".sources") else _lines(text)


def _lines(text: str) -> str:
    found = [_LIST.fullmatch(line.partition("#")[0].strip()) for line in text.splitlines()]
    lines = [f"deb-src {_NO_OPTIONS.sub('', _FOREIGN.sub('', each[1] or ''))}{each[2]}" for each in found if each]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if "cdrom:" not in line)


def _stanzas(text: str) -> str:
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return "\n".join(_stanza(each) for each in re.split(r"\n\s*\n", plain) if each.strip() and not _is_off(each))


def _is_off(stanza: str) -> bool:
    return bool(re.search(r"^Enabled:\s*(no|false|off|0|without|disable)\s*$", stanza, re.MULTILINE | re.IGNORECASE))


def _stanza(text: str) -> str:
    without = re.sub(r"^Architectures(-\w+)?:.*\n?", "", text.strip() + "\n", flags=re.MULTILINE | re.IGNORECASE)
    return re.sub(r"^Types:.*$", "Types: deb-src", without, flags=re.MULTILINE | re.IGNORECASE)


# -- what the lists say -------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    version: str
    sums: str

    def digests_of(self, name: str) -> list[str]:
        return [words[0] for words in map(str.split, self.sums.splitlines()) if len(words) == 3 and words[2] == name]


def _sources(text: str) -> Iterator[_Source]:
    """The versions in the answer of `apt-cache showsrc`, in its order."""
    for stanza in re.split(r"\n\s*\n", text):
        version = re.search(r"^Version:\s*(\S+)", stanza, re.MULTILINE)
        sums = re.search(r"^Checksums-Sha256:[^\n]*\n((?: [^\n]*\n?)*)", stanza, re.MULTILINE)
        if version and sums:
            yield _Source(version[1], sums[1])
