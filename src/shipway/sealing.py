"""Sealing for a prefix: from a staged tree to an image in its store, bytecode included.

    where its directories lie in truth → scan (or copy) → `check` → take the tree → bytecode → the store

Up to `check` a tree that is to be taken (`--move`) is only read, so that a conflict costs nothing; if something fails after, it is
given back.  The image is complete before it gets its name, and nothing refers to it before a commit does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from shipway.errors import ConflictError, ShipwayError, UsageError
from shipway.fs.found import look
from shipway.fs.mount import folds_case
from shipway.fs.tree import make_directories
from shipway.model.entry import DEEPEST, DIRECTORY, LINK, Manifest, join, manifest_of
from shipway.model.facts import Installed
from shipway.model.planning import Note
from shipway.model.projects import identity_in, names_of
from shipway.prefix.gc import set_aside
from shipway.prefix.layout import STATE
from shipway.prefix.library import Library
from shipway.prefix.session import Session, is_dead
from shipway.prefix.site import Site
from shipway.store.compare import compare
from shipway.store.request import PATH_MAX, Scanned, SealRequest
from shipway.store.scan import scan
from shipway.store.seal import adopt, copy, give_back

_WORTH_SYNCING_AHEAD = 8 << 20
_STORE_PATH = 128
"""Bytes that lie, at most, between the state directory and a path of an image, or of what was taken out."""


class Staged(NamedTuple):
    """A staged tree and what is known of it.

    `name` is an identity.  `move`: the tree is taken and gone afterwards.  `destdir`: it is a DESTDIR, what lies in it under the prefix's
    path is meant; beside that there may be nothing, unless `ignore_outside`.  `python` is the interpreter to compile for
    ("" for none, None for the prefix's own).  `link_stage_paths`: text files may name the stage.
    """

    tree: str
    identity: str
    name: str
    version: str
    move: bool = False
    destdir: bool = False
    ignore_outside: bool = False
    python: str | None = None
    allow_stage_paths: bool = False
    keep_libtool: bool = False
    exclusive: bool = False


class Image(NamedTuple):
    """A sealed image in a prefix's store, ready to be installed.

    `alias` is the identity it was staged under, where it was found to be a Python project that has one of its own; else "".
    """

    package: Installed
    manifest: Manifest
    notes: tuple[Note, ...]
    alias: str = ""


class Sealer:
    """Seals trees for one prefix, in the area of one session."""

    def __init__(self, site: Site, session: Session, library: Library) -> None:
        self.site = site
        self.session = session
        self.library = library
        self.count: int = 0
        self.last: Image | None = None

    def seal(self, staged: Staged, check: Callable[[Image], None]) -> Image:
        """Seal one tree; `check` may refuse it (by raising) before a tree that is to be taken is touched."""
        request, notes = self._request(staged, self.room())
        self.site.tell("phase", "reading the tree")
        scanned = scan(self.site.fs, request) if staged.move else self._copied(request)
        self.refuse_folded(scanned.manifest)
        notes += _remarks(staged, scanned)
        if not staged.move:
            return self._named(staged, request, scanned, notes)
        check(self._image(staged, scanned.manifest, notes))
        self.session.remember_origin(request.source, request.destination)
        scanned = adopt(self.site.fs, request, scanned)
        try:
            return self._named(staged, request, scanned, notes)
        except BaseException:
            give_back(self.site.fs, request)
            self.session.forget_origin()
            raise

    def room(self) -> str:
        """A fresh name in the session's area, for an image to be made in."""
        self.count += 1
        return f"{self.session.area}/image-{self.count}"

    def _copied(self, request: SealRequest) -> Scanned:
        """Copy the tree, and have what was copied written back while the rest is prepared."""
        descriptor = self.site.fs.open_for_sync(self.session.area)
        try:
            scanned = copy(self.site.fs, request)
            if scanned.bytes > _WORTH_SYNCING_AHEAD:
                self.site.fs.ahead.start(descriptor)
            return scanned
        finally:
            os.close(descriptor)

    def preview(self, staged: Staged) -> Image:
        """The image a tree would become, without bytecode; the tree is only read."""
        request, notes = self._request(staged, self.room())
        scanned = scan(self.site.fs, request)
        self.refuse_folded(scanned.manifest)
        return self._image(staged, scanned.manifest, notes + _remarks(staged, scanned))

    def give_back(self, staged: Staged, image: Image) -> None:
        """Undo the taking of a tree whose commit failed, unless its image is in use by now."""
        place = self.site.layout.image(image.package.image)
        used = image.package.image in self.site.database.used_images()
        if staged.move and not used and os.path.isdir(place):
            request, _ = self._request(staged, self.room(), tree_is_gone=True)
            give_back(self.site.fs, request._replace(destination=place))
            self.site.fs.remove_tree(os.path.dirname(place))
        self.session.forget_origin()

    # -- the request -----------------------------------------------------------------------------------------

    def _request(self, staged: Staged, room: str, *, tree_is_gone: bool = False) -> tuple[SealRequest, list[Note]]:
        tree = os.path.realpath(staged.tree)
        source, outside = tree, []
        if staged.destdir:
            source = f"{tree}{self.site.layout.root}"
            outside = [] if tree_is_gone else _outside(tree, source)
        notes = self._judge_outside(staged, outside)
        installed = self._replaced(staged)
        if not tree_is_gone:
            self._refuse_place(tree, source)
        request = SealRequest(
            source=source,
            destination=f"{room}/tree",
            stage_paths=tuple(dict.fromkeys((os.path.abspath(staged.tree), tree))),
            redirects={} if tree_is_gone else self._redirects(source),
            reference=self.library(installed.image) if installed else None,
            keep_libtool=staged.keep_libtool,
            jobs=self.site.options.jobs,
            constant_times=_constant_times(),
            longest=PATH_MAX - len(os.fsencode(self.site.layout.state)) - _STORE_PATH,
            deepest=DEEPEST,
        )
        make_directories(os.path.dirname(request.destination), self.site.shared_mode(0o755), self.site.fs.mkdir)
        return request, notes

    def _replaced(self, staged: Staged) -> Installed | None:
        """The package that the tree is, most likely, another version of."""
        installed = self.site.database.installed()
        name = staged.identity.rpartition("/")[2]
        return next((installed[i] for i in (staged.identity, *sorted(names_of(name))) if i in installed), None)

    def _refuse_place(self, tree: str, source: str) -> None:
        if not os.path.isdir(source):
            hint = f"with --destdir its files lie in TREE{self.site.layout.root}" if source != tree else ""
            raise UsageError(f"{source} is not a directory", hint=hint)
        root = self.site.layout.root
        foreign = not tree.startswith(f"{self.session.area}/")
        if tree == root or root.startswith(tree + "/") or (foreign and tree.startswith(f"{root}/{STATE}/")):
            raise UsageError(
                f"{tree} is the prefix itself, or holds it", hint="stage the package into a directory of its own"
            )

    def _judge_outside(self, staged: Staged, outside: list[str]) -> list[Note]:
        if outside and not staged.ignore_outside:
            raise ShipwayError(
                f"{staged.tree} has files that would not lie under {self.site.layout.root}",
                details=outside,
                hint="mend the build's prefix, or leave them out with --ignore-outside",
            )
        return [Note("outside", path, "is not under the prefix, left out") for path in outside]

    def _redirects(self, source: str) -> dict[str, str]:
        """Where directories of the tree lie in truth, because the live one is a symlink; all others are conflicts."""
        redirects: dict[str, str] = {}
        problems: list[str] = []
        for path in self._live_links(source):
            live = self.site.layout.live(path)
            target = os.path.realpath(live)
            if not os.path.isdir(target):
                problems.append(f"{path}: a live symlink to {os.readlink(live)}, where a directory must be")
            elif not target.startswith(self.site.layout.root + "/"):
                problems.append(f"{path}: a live symlink that leads out of the prefix, to {target}")
            else:
                redirects[path] = target[len(self.site.layout.root) + 1 :]
        if problems:
            raise ConflictError("live symlinks are in the way; nothing was changed", details=problems)
        return redirects

    def _live_links(self, source: str) -> Iterator[str]:
        """Directories of the tree that are symlinks in the prefix; looks only where the prefix has directories."""
        waiting = [""]
        while waiting:
            parent = waiting.pop()
            with os.scandir(join(source, parent) if parent else source) as entries:
                names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
            for name in sorted(names):
                path = join(parent, name)
                found = look(self.site.layout.live(path))
                if found is not None and found.kind == "l":
                    yield path
                elif found is not None and found.kind == "d":
                    waiting.append(path)

    def refuse_folded(self, manifest: Manifest) -> None:
        """Names that differ only in case are one where the file system folds case."""
        if not folds_case(self.site.layout.root):
            return
        pairs = [
            pair for path, directory in manifest.directories.items() for pair in _folded(path, list(directory.entries))
        ]
        if pairs:
            raise ConflictError("names that differ only in case are one on this file system", details=pairs)

    # -- the image -------------------------------------------------------------------------------------------

    def _named(self, staged: Staged, request: SealRequest, scanned: Scanned, notes: list[Note]) -> Image:
        """Share the image with the prefix's group, add bytecode, then give it its name in the store."""
        if self.site.options.group is not None:
            scanned = scanned._replace(manifest=self._shared(request.destination, scanned.manifest))
        manifest, more, python = self._with_bytecode(staged, request, scanned)
        image = self._image(staged, manifest, [*notes, *more], python)
        if staged.move:
            place = self.site.layout.image(image.package.image)
            self.session.remember_origin(request.source, request.destination, place)
        self.store(request.destination, image)
        return image

    def store(self, tree: str, image: Image) -> None:
        """Give an image that is complete in the session's area its name in the store; nothing refers to it yet.

        If it is recorded already, because somebody else made it and went no further, it is claimed first: else a collection might
        take it away again.
        """
        name, manifest = image.package.image, image.manifest
        made, kept = os.path.dirname(tree), os.path.dirname(self.site.layout.image(name))
        self.site.database.claim_image(name, self.session.token, partial(is_dead, self.site.layout))
        try:
            self.site.fs.take(made, kept)
        except FileExistsError:
            self._replace_if_damaged(made, kept, manifest)
            self.session.discard(made)
        self.library.add(name, manifest)

    def _replace_if_damaged(self, made: str, kept: str, manifest: Manifest) -> None:
        """An image of this name is there; if somebody wrote through a hard link of it, the new one takes its place."""
        differences = compare(f"{kept}/tree", manifest, quick=True, jobs=self.site.options.jobs)
        if any(not d.metadata_only for d in differences):
            aside = f"{self.session.area}/damaged-{self.count}"
            set_aside(self.site, kept, aside)
            self.site.fs.take(made, kept)
            self.session.discard(aside)

    def _shared(self, tree: str, manifest: Manifest) -> Manifest:
        """Give an image's files and directories the modes of a prefix that a group shares."""
        listings = {
            path: [e if e.kind == LINK else e._replace(mode=self.site.shared_mode(e.mode)) for e in d.entries.values()]
            for path, d in manifest.directories.items()
        }
        group = self.site.options.group
        assert group is not None
        shared = manifest_of(listings)
        self.site.fs.chown(tree, -1, group)
        self.site.fs.chmod(tree, self.site.shared_mode(0o755))
        for path, entry in shared.walk():
            self.site.fs.chown(f"{tree}/{path}", -1, group)
            if entry.kind != LINK:
                self.site.fs.chmod(f"{tree}/{path}", entry.mode & ~0o6000)
        return shared

    def _image(self, staged: Staged, manifest: Manifest, notes: list[Note], python: str = "") -> Image:
        if self.last is None or self.last.manifest is not manifest:
            files = [entry for entry in manifest.entries() if entry.kind != DIRECTORY]
            size = sum(entry.size for entry in files)
            identity = identity_in(manifest, staged.identity)
            package = Installed(
                identity, staged.name, staged.version, manifest.image_name(), len(files), size, staged.exclusive
            )
            self.last = Image(package, manifest, (), "" if identity == staged.identity else staged.identity)
        return self.last._replace(package=self.last.package._replace(python=python), notes=tuple(notes))

    def _with_bytecode(
        self, staged: Staged, request: SealRequest, scanned: Scanned
    ) -> tuple[Manifest, list[Note], str]:
        """Compile, if there is anything to compile; only then what it takes is loaded."""
        if staged.python == "" or not any(entry.name.endswith(".py") for entry in scanned.manifest.entries()):
            return scanned.manifest, [], ""
        from shipway.compiling import compile_image

        return compile_image(self.site, scanned, request.destination, staged.python)


def _constant_times() -> frozenset[int]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return frozenset({int(epoch)}) if epoch.isdecimal() else frozenset()


def _remarks(staged: Staged, scanned: Scanned) -> list[Note]:
    notes = [Note("dropped", dropped.path, dropped.why) for dropped in scanned.dropped]
    for path, text in scanned.warnings:
        named = text.startswith("names the stage")
        if not (named and staged.allow_stage_paths):
            notes.append(Note("stage path" if named else "attributes", path, text))
    return notes


def _outside(tree: str, source: str) -> list[str]:
    """What lies in a DESTDIR beside the prefix's own path: the topmost names of it."""
    found = []
    above = tree
    for part in source[len(tree) + 1 :].split("/"):
        if not os.path.isdir(above):
            break
        found += [f"{above}/{name}"[len(tree) :] for name in sorted(os.listdir(above)) if name != part]
        above = f"{above}/{part}"
    return found


def _folded(path: str, names: list[str]) -> list[str]:
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            pairs.append(f"{join(path, other)} and {join(path, name)}")
    return pairs
