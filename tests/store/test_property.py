"""Random trees, with odd names, hard links, modes, symlinks and attributes, through all of sealing and back."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.model.entry import manifest_of
from shipway.store.compare import changed, compare, strays
from shipway.store.link import LinkMode
from tests.store.trees import SECOND, TIME, Sealer, names, seen

name = st.one_of(
    st.sampled_from(
        ["a", "b", "lib", "lib64", "a.py", "b.py", "__pycache__", "a.cpython-311.pyc", "x.la", "dir", "etc"]
    ),
    st.binary(min_size=1, max_size=12)
    .filter(lambda b: not set(b) & {0, 47} and b not in (b".", b".."))
    .map(os.fsdecode),
)
mode = st.integers(0, 0o7777).map(lambda m: m | 0o400)
mtime = st.one_of(st.integers(0, 1 << 31).map(lambda s: s * SECOND), st.integers(TIME, TIME + SECOND), st.just(0))


@dataclass(frozen=True)
class Item:
    """One name of a random tree; a "link" is a hard link to an earlier file."""

    path: tuple[str, ...]
    kind: str
    content: bytes
    mode: int
    mtime: int

    @property
    def data(self) -> bytes:
        """What a file holds; much of it now and then."""
        return self.content * 4_000 if self.content.endswith(b"long") else self.content


items = st.builds(
    Item,
    st.lists(name, min_size=1, max_size=4).map(tuple),
    st.sampled_from(["file", "file", "file", "symlink", "directory", "link"]),
    st.one_of(st.binary(max_size=40), st.just(b"a\0 tale that is long")),
    mode,
    mtime,
)
trees = st.lists(items, max_size=25)


def build(root: str, tree: list[Item]) -> None:
    """Make what of it can be made; modes of directories last."""
    os.makedirs(root)
    files: list[Path] = []
    modes: list[tuple[Path, int]] = []
    for item in tree:
        path = Path(root, *item.path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if item.kind == "directory":
                path.mkdir()
                modes.append((path, item.mode | 0o700))
            elif item.kind == "symlink":
                path.symlink_to(os.fsdecode(item.content.replace(b"\0", b".")) or ".")
            elif item.kind == "link" and files:
                os.link(files[len(item.content) % len(files)], path)
            elif not path.is_symlink():
                with open(path, "xb") as file:
                    file.write(item.data)
                os.chmod(path, item.mode)
                files.append(path)
            os.utime(path, ns=(item.mtime, item.mtime), follow_symlinks=False)
        except OSError:  # a name that is taken, or leads through a file or a circle of symlinks
            continue
    for path, wanted in reversed(modes):
        path.chmod(wanted)


@contextmanager
def sealing(tree: list[Item]) -> Iterator[Sealer]:
    area = tempfile.mkdtemp(prefix="shipway-test-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        sealer = Sealer(area)
        build(sealer.stage, tree)
        yield sealer
    finally:
        shutil.rmtree(area)


slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@slow
@given(trees, st.sampled_from(LinkMode))
def test_a_tree_that_is_sealed_and_linked_out_is_what_its_manifest_says(
    way: str, tree: list[Item], how: LinkMode
) -> None:
    with sealing(tree) as sealer:
        staged = seen(sealer.stage)
        manifest = sealer.seal(way).manifest
        out = sealer.link_out(manifest, how)
        assert compare(out, manifest, quick=False) == []
        assert compare(out, manifest, quick=True) == []
        assert strays(out, manifest, "") == changed(out, manifest, "") == []
        laid = seen(out)
        assert laid.keys() == {path for path, _ in manifest.walk()}
        for path, what in laid.items():
            assert what[:3] == staged[path][:3] or what[0] == "link"


@slow
@given(trees)
def test_all_ways_to_a_manifest_agree(tree: list[Item]) -> None:
    with sealing(tree) as sealer:
        scanned, copied = sealer.scan(), sealer.seal("copy")
        image = seen(sealer.image)
        sealer.fs.remove_tree(sealer.image)
        adopted = sealer.seal("adopt")
        assert scanned.manifest == copied.manifest == adopted.manifest
        listings = {path: each.entries.values() for path, each in scanned.manifest.directories.items()}
        assert scanned.manifest == manifest_of(listings)
        assert scanned.dropped == copied.dropped == adopted.dropped
        assert seen(sealer.image) == image


@slow
@given(trees)
def test_sealing_what_was_linked_out_gives_the_same_image_again(tree: list[Item]) -> None:
    with sealing(tree) as sealer:
        manifest = sealer.seal("copy").manifest
        sealer.stage = sealer.link_out(manifest)
        sealer.image += "2"
        again = sealer.seal("copy")
        assert again.manifest == manifest
        assert again.dropped == ()


@slow
@given(trees, st.randoms(use_true_random=False))
def test_the_order_in_which_a_directory_lists_its_names_makes_no_difference(
    tree: list[Item], chance: random.Random
) -> None:
    with sealing(tree) as sealer:
        redirects = {} if clashes(sealer) else {"lib64": "lib"}
        before = sealer.scan(redirects=redirects)
        with patch("os.scandir", shuffled(chance)):
            after = sealer.scan(redirects=redirects)
        assert after.manifest == before.manifest
        assert after.manifest.image_name() == before.manifest.image_name()
        assert after.dropped == before.dropped


def clashes(sealer: Sealer) -> bool:
    """Whether lib64 cannot simply be laid into lib."""
    found = names(sealer.stage)
    return os.path.islink(f"{sealer.stage}/lib") or (
        any(path.startswith("lib64/") for path in found) and "lib" in found
    )


def shuffled(chance: random.Random) -> object:
    real = os.scandir

    class Shuffled:
        def __init__(self, path: object) -> None:
            with real(path) as entries:  # type: ignore[call-overload]
                self.entries = list(entries)
            chance.shuffle(self.entries)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            return None

    return Shuffled


@slow
@given(trees, trees)
def test_an_upgrade_never_leaves_a_source_with_the_second_of_other_content(old: list[Item], new: list[Item]) -> None:
    with sealing(old) as first, sealing(new) as second:
        before = first.scan().manifest
        after = second.seal("copy", reference=before).manifest
        for path, entry in after.files():
            previous = before.entry(path)
            assert os.lstat(f"{second.image}/{path}").st_mtime_ns == entry.mtime
            if previous is None or previous.kind == "d":
                continue  # no interpreter compiles a directory
            if path.endswith(".py") and previous.digest != entry.digest:
                assert (previous.mtime // SECOND - entry.mtime // SECOND) % (1 << 32)


@pytest.mark.parametrize("redirects", [{"lib64": "lib"}, {"a": "lib/a", "lib64": ""}])
@slow
@given(trees)
def test_redirected_trees_are_the_same_by_every_way(redirects: dict[str, str], tree: list[Item]) -> None:
    with sealing(tree) as sealer:
        try:
            scanned = sealer.scan(redirects=redirects)
        except Exception:
            return
        copied = sealer.seal("copy", redirects=redirects)
        image = seen(sealer.image)
        sealer.fs.remove_tree(sealer.image)
        adopted = sealer.seal("adopt", redirects=redirects)
        assert scanned.manifest == copied.manifest == adopted.manifest
        assert seen(sealer.image) == image
        assert image.keys() == {path for path, _ in scanned.manifest.walk()}
