"""One commit of a git repository as an archive, as `git archive` makes it: the tree, without the history.

The commit's name is a digest of all that is in it, and git checks it.  Repositories are kept bare in the cache, each under a digest of its
address, so that the next commit of the same one is a small fetch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from shipway.build.places import PlaceError, Wanted, Watch, described
from shipway.build.programs import Done, run
from shipway.build.recipe import Place
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories

_SETTINGS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}
_SUBMODULE = "160000"


def archive_of(directory: str, place: Place) -> str:
    """Where the tar of a commit lies, once it was fetched."""
    return f"{_repository(directory, place)}-{place.ref}.tar"


def export(fs: FileSystem, directory: str, wanted: Wanted, watch: Watch) -> str:
    """The path of a tar with the commit's tree, below `directory`.  Raises PlaceError."""
    place, ref = wanted.place, str(wanted.place.ref)
    make_directories(directory, 0o700, fs.mkdir)
    archive = archive_of(directory, place)
    with _Repository(_repository(directory, place), str(place.git), watch) as held:
        if not os.path.exists(archive):
            held.have(ref, described(wanted))
            held.refuse_submodules(ref, described(wanted))
            part = f"{archive}.part"
            held.git("archive", "--format=tar", f"--prefix={wanted.name}-{ref[:12]}/", f"--output={part}", ref)
            fs.replace(part, archive)
    return archive


def _repository(directory: str, place: Place) -> str:
    return f"{directory}/{hashlib.sha256(str(place.git).encode()).hexdigest()[:32]}"


class _Repository:
    """A bare repository, locked for the length of a `with` block."""

    def __init__(self, path: str, address: str, watch: Watch) -> None:
        self.path = path
        self.address = address
        self.watch = watch
        self._lock = FileLock(f"{path}.lock", what=address)

    def __enter__(self) -> _Repository:
        self._lock.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def have(self, ref: str, what: str) -> None:
        """Fetch the commit if it is not there: alone where the server gives single commits, else with all that leads to one."""
        if not os.path.isdir(f"{self.path}/objects"):
            self.git("init", "--quiet", "--bare", self.path, at="/")
        why = ""
        for words in ((), ("--depth=1", "--", self.address, ref), ("--", self.address, "+refs/*:refs/fetched/*")):
            if words:
                done = self._try("fetch", "--quiet", "--no-tags", *words)
                why = done.why if done.code else f"it has no commit {ref}"
            if not self._try("cat-file", "-e", f"{ref}^{{commit}}").code:
                return
        raise PlaceError(f"{what}: {why}")

    def refuse_submodules(self, ref: str, what: str) -> None:
        """Raises PlaceError if parts of the tree lie in other repositories."""
        listed = self.git("ls-tree", "-r", ref).splitlines()
        modules = [line.partition("\t")[2] for line in listed if line.startswith(_SUBMODULE)]
        if modules:
            raise PlaceError(
                f"{what}: has submodules ({', '.join(modules)}), which are not fetched",
                hint="give each as a source of its own, with its directory",
            )

    def git(self, *words: str, at: str = "") -> str:
        """What git says.  Raises PlaceError with its words if it fails."""
        done = self._try(*words, at=at)
        if done.code:
            raise PlaceError(f"git {words[0]} of {self.address}: {done.why}")
        return done.out

    def _try(self, *words: str, at: str = "") -> Done:
        silence = ("-c", "http.lowSpeedLimit=512", "-c", f"http.lowSpeedTime={max(1, int(self.watch.timeout))}")
        return run(_words(silence, words), self.watch, at or self.path, _SETTINGS)


def _words(settings: Sequence[str], words: Sequence[str]) -> list[str]:
    return ["git", *settings, "-c", "safe.bareRepository=all", *words]
