"""Trees as nobody should stage them."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.store.compare import compare, strays
from shipway.store.scan import Survey
from shipway.store.seal import SealRequest, adopt, copy, scan
from tests.fs.apart import NOBODY, Apart
from tests.store.trees import TIME, Sealer, lay, names, seen

Change = Callable[[str], object]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def details(seal: Callable[[], object]) -> list[str]:
    with pytest.raises(ShipwayError) as caught:
        seal()
    return list(caught.value.details)


def test_everything_that_cannot_be_sealed_is_told_at_once(sealer: Sealer) -> None:
    lay(sealer.stage, {"ok": "1", "d/link": "-> /stage/x", "var/lib/shipway": None})
    os.mkfifo(f"{sealer.stage}/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sealer.stage}/d/socket")
    expected = [
        "d/link: points into the stage: /stage/x",
        "d/socket: is a socket",
        "fifo: is a fifo",
        "var/lib/shipway: belongs to Shipway itself",
    ]
    assert details(lambda: sealer.scan(stage_paths=("/stage",))) == expected
    assert details(lambda: sealer.seal("copy", stage_paths=("/stage",))) == expected
    assert not os.path.lexists(sealer.image)


@needs_root
def test_devices_are_told(sealer: Sealer) -> None:
    lay(sealer.stage, {})
    try:
        os.mknod(f"{sealer.stage}/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(f"{sealer.stage}/disk", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    except PermissionError:
        pytest.skip("needs the right to make devices")
    assert details(sealer.scan) == ["disk: is a block device", "null: is a character device"]


@pytest.mark.parametrize("seal", [scan, copy])
def test_what_cannot_be_read_is_told(
    sealer: Sealer, apart: Apart, seal: Callable[[FileSystem, SealRequest], object]
) -> None:
    lay(sealer.stage, {"a": "1", "secret": "2", "closed/b": "3", "blind/c": "4"})
    os.chmod(f"{sealer.stage}/secret", 0)
    os.chmod(f"{sealer.stage}/closed", 0)
    os.chmod(f"{sealer.stage}/blind", 0o444)

    def work() -> tuple[list[str], bool]:
        found = details(lambda: seal(sealer.fs, sealer.request()))
        return found, os.path.lexists(sealer.image)

    found, left = apart.as_nobody(work)
    assert not left
    assert found == [
        "blind/c: cannot be read: Permission denied",
        "closed: cannot be read: Permission denied",
        "secret: cannot be read: Permission denied",
    ]


def test_a_file_whose_size_is_not_what_its_status_says_is_told(sealer: Sealer) -> None:
    endless = "/proc/sys/fs/epoll"
    if not os.path.isdir(endless):
        pytest.skip("needs a proc file system")
    found = details(lambda: scan(sealer.fs, SealRequest(endless, sealer.image)))
    assert found == ["max_user_watches: changed while it was read"]


@pytest.mark.parametrize("become", [os.mkfifo, os.mkdir, lambda path: os.symlink("b", path), lambda path: None])
def test_what_becomes_something_else_before_it_is_read_is_told(sealer: Sealer, become: Change) -> None:
    lay(sealer.stage, {"a": "1", "b": "2"})
    survey = Survey(sealer.request())
    os.unlink(f"{sealer.stage}/a")
    become(f"{sealer.stage}/a")
    assert details(lambda: survey.read(survey.reader())) == ["a: changed while it was read"]


def test_a_directory_that_goes_before_its_files_are_read_is_told_by_each_of_them(sealer: Sealer) -> None:
    lay(sealer.stage, {"d/a": "1", "d/b": "2", "e/c": "3"})
    survey = Survey(sealer.request())
    os.rename(f"{sealer.stage}/d", f"{sealer.area}/d")
    expected = ["d/a: changed while it was read", "d/b: changed while it was read"]
    assert details(lambda: survey.read(survey.reader())) == expected


def test_a_tree_may_be_as_deep_as_paths_can_be_long(sealer: Sealer, way: str) -> None:
    deep = "/".join(["d"] * 1500)
    subprocess.run(["mkdir", "-p", f"{sealer.stage}/{deep}"], check=True)
    Path(f"{sealer.stage}/{deep}/a").write_text("1")
    manifest = sealer.seal(way).manifest
    out = sealer.link_out(manifest)
    try:
        assert manifest.entry(f"{deep}/a")
        assert compare(out, manifest, quick=True) == []
        assert strays(out, manifest, "") == []
    finally:
        subprocess.run(["rm", "-rf", sealer.stage, sealer.image, out], check=True)


# -- between scan and adopt ------------------------------------------------------------------------------------------


def replaced(path: str) -> None:
    Path(f"{path}.new").write_text("1")
    os.utime(f"{path}.new", ns=(TIME, TIME))
    os.replace(f"{path}.new", path)


def rewritten_in_place(path: str) -> None:
    with open(path, "r+") as file:
        file.write("X")
    os.utime(path, ns=(TIME, TIME))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda stage: rewritten_in_place(f"{stage}/d/a"), {"d/a"}),
        (lambda stage: replaced(f"{stage}/d/a"), {"d", "d/a"}),
        (lambda stage: os.chmod(f"{stage}/d/a", 0o600), {"d/a"}),
        (lambda stage: os.chmod(f"{stage}/d", 0o700), {"d"}),
        (lambda stage: os.unlink(f"{stage}/d/a"), {"d", "d/a"}),
        (lambda stage: lay(stage, {"d/new": "1"}), {"d"}),
        (lambda stage: lay(stage, {"new": "1"}), {"."}),
        (lambda stage: os.link(f"{stage}/d/a", f"{stage}/../elsewhere"), {"d/a"}),
        (lambda stage: os.rename(f"{stage}/d/l", f"{stage}/d/m"), {"d", "d/l"}),
    ],
    ids=[
        "in place",
        "replaced",
        "mode",
        "mode of directory",
        "gone",
        "added",
        "added on top",
        "linked",
        "renamed link",
    ],
)
def test_a_tree_that_changes_before_it_is_taken_is_refused_and_given_back(
    sealer: Sealer, change: Change, told: set[str]
) -> None:
    lay(sealer.stage, {"d/a": "1", "d/b": "2", "d/l": "-> a", "e/c": "3", "d/b.pyc": "4"})
    scanned = sealer.scan()
    change(sealer.stage)
    now = seen(sealer.stage)
    with pytest.raises(ShipwayError, match="changed after it was read") as caught:
        adopt(sealer.fs, sealer.request(), scanned)
    assert {detail.removesuffix(": changed") for detail in caught.value.details} == told
    assert seen(sealer.stage) == now
    assert not os.path.lexists(sealer.image)


# -- inodes that are not the stage's own -----------------------------------------------------------------------------


def write_through(path: str) -> None:
    with open(path, "r+") as file:
        file.write("!!!")


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_linked_from_outside_are_replaced_by_copies(sealer: Sealer, jobs: int) -> None:
    lay(sealer.stage, {"d/a": "one", "d/own": "two", "d/x": "three"})
    os.link(f"{sealer.stage}/d/a", f"{sealer.area}/outside")
    os.link(f"{sealer.stage}/d/x", f"{sealer.stage}/d/y")
    os.link(f"{sealer.stage}/d/x", f"{sealer.area}/outside2")
    before = seen(sealer.stage)
    inode = os.stat(f"{sealer.stage}/d/own").st_ino
    scanned = sealer.seal("adopt", jobs=jobs)
    write_through(f"{sealer.area}/outside")
    write_through(f"{sealer.area}/outside2")
    assert seen(sealer.image) == before
    assert os.stat(f"{sealer.image}/d/own").st_ino == inode
    assert scanned.manifest.entry("d/x").group == 1  # type: ignore[union-attr]


def test_names_that_are_dropped_count_as_the_stages_own(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/a": "one"})
    os.link(f"{sealer.stage}/lib/a", f"{sealer.stage}/lib/a.la")
    inode = os.stat(f"{sealer.stage}/lib/a").st_ino
    sealer.seal("adopt")
    assert os.stat(f"{sealer.image}/lib/a").st_ino == inode
    assert names(sealer.image) == {"lib", "lib/a"}


@needs_root
def test_files_of_another_owner_are_replaced_by_copies(sealer: Sealer) -> None:
    lay(sealer.stage, {"d/a": "one", "d/b": "two"})
    os.chown(f"{sealer.stage}/d/a", NOBODY, NOBODY)
    before = seen(sealer.stage)
    sealer.seal("adopt")
    assert seen(sealer.image) == before
    assert os.stat(f"{sealer.image}/d/a").st_uid == 0


@needs_root
def test_a_tree_with_directories_of_another_owner_is_copied_and_removed(sealer: Sealer) -> None:
    lay(sealer.stage, {"d/a": "one", "d/a.py": "two", "d/a.pyc": "three"})
    os.chown(f"{sealer.stage}/d", NOBODY, NOBODY)
    scanned = sealer.seal("adopt")
    assert names(sealer.image) == {"d", "d/a", "d/a.py"} == {path for path, _ in scanned.manifest.walk()}
    assert os.stat(f"{sealer.image}/d").st_uid == 0
    assert not os.path.lexists(sealer.stage)


def test_read_only_trees_can_be_sealed_by_their_owner(sealer: Sealer, apart: Apart, way: str) -> None:
    def work() -> tuple[set[str], int, int]:
        lay(sealer.stage, {"d/a.py": "1", "d/a.pyc": "2", "d/e/f": "3", "lib64/x": "4"})
        os.chmod(f"{sealer.stage}/d/a.py", 0o444)
        for directory in ("d/e", "d", "lib64", ""):
            os.chmod(f"{sealer.stage}/{directory}", 0o555)
        sealer.seal(way, redirects={"lib64": "lib"})
        found = names(sealer.image), os.stat(f"{sealer.image}/d").st_mode, os.stat(f"{sealer.image}/lib").st_mode
        sealer.fs.remove_tree(sealer.image)
        sealer.fs.remove_tree(sealer.stage)
        return found

    found, mode, redirected = apart.as_nobody(work)
    assert found == {"d", "d/a.py", "d/e", "d/e/f", "lib", "lib/x"}
    assert (mode & 0o7777, redirected & 0o7777) == (0o555, 0o555)
