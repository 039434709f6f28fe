from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.store.seal import adopt, copy, give_back
from tests.store.trees import TIME, Sealer, lay, names, seen

TREE: dict[str, str | bytes | None] = {
    "bin/run": "#!x",
    "etc/conf": "a = 1",
    "lib/a.py": "1",
    "lib/a.pyc": "2",
    "lib/__pycache__/a.cpython-311.pyc": "3",
    "lib/liba.la": "4",
    "lib/liba.so": "-> liba.so.1",
    "lib/liba.so.1": b"\0" * 70_000,
    "share/empty": None,
}


class Failing(FileSystem):
    """Fails at the first step of one kind on a path that ends so."""

    def __init__(self, operation: str, ending: str, code: int = errno.EIO) -> None:
        super().__init__()
        self.fails = (operation, ending, code)

    def step(self, operation: str, path: str) -> None:
        if operation == self.fails[0] and path.endswith(self.fails[1]):
            raise OSError(self.fails[2], os.strerror(self.fails[2]), path)


def set_attribute(path: str, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no such attribute here: {error.strerror}")


def test_an_image_holds_what_its_manifest_says(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, TREE)
    os.chmod(f"{sealer.stage}/share/empty", 0o2555)
    before = seen(sealer.stage)
    scanned = sealer.seal(way)
    gone = {path for path, _ in scanned.dropped} | {"lib/__pycache__"}
    assert seen(sealer.image) == {path: what for path, what in before.items() if path not in gone}
    assert names(sealer.image) == {path for path, _ in scanned.manifest.walk()}
    assert os.stat(sealer.image).st_mode & 0o7777 == 0o755


def test_both_ways_give_the_same_manifest_as_a_scan(sealer: Sealer) -> None:
    lay(sealer.stage, TREE)
    scanned = sealer.scan()
    copied = copy(sealer.fs, sealer.request())
    os.rename(sealer.image, f"{sealer.area}/copied")
    adopted = adopt(sealer.fs, sealer.request(), scanned)
    assert copied.manifest == scanned.manifest == adopted.manifest
    assert copied.dropped == scanned.dropped == adopted.dropped
    assert copied.bytes == scanned.bytes == adopted.bytes
    assert seen(f"{sealer.area}/copied") == seen(sealer.image)


def test_copying_leaves_the_tree_and_adopting_takes_it(sealer: Sealer) -> None:
    lay(sealer.stage, TREE)
    before = seen(sealer.stage)
    sealer.seal("copy")
    assert seen(sealer.stage) == before
    sealer.fs.remove_tree(sealer.image)
    inode = os.stat(f"{sealer.stage}/bin/run").st_ino
    sealer.seal("adopt")
    assert not os.path.lexists(sealer.stage)
    assert os.stat(f"{sealer.image}/bin/run").st_ino == inode


def test_a_destination_that_exists_is_refused_and_left_alone(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, TREE)
    lay(sealer.image, {"mine": "1"})
    before = seen(sealer.stage)
    with pytest.raises(FileExistsError):
        sealer.seal(way)
    assert names(sealer.image) == {"mine"}
    assert seen(sealer.stage) == before


def test_images_carry_no_setuid_but_their_manifests_do(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, {"bin/su": "1", "bin/write": "2", "bin/plain": "3"})
    os.chmod(f"{sealer.stage}/bin/su", 0o4755)
    os.chmod(f"{sealer.stage}/bin/write", 0o2711)
    manifest = sealer.seal(way).manifest
    assert {path: entry.mode for path, entry in manifest.files()} == {
        "bin/su": 0o4755,
        "bin/write": 0o2711,
        "bin/plain": 0o644,
    }
    modes = {name: os.stat(f"{sealer.image}/bin/{name}").st_mode & 0o7777 for name in os.listdir(f"{sealer.image}/bin")}
    assert modes == {"su": 0o755, "write": 0o711, "plain": 0o644}


def test_nor_capabilities_while_other_attributes_are_kept(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, {"bin/ping": "1", "bin/other": "2", "d": None})
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    set_attribute(f"{sealer.stage}/bin/ping", "security.capability", capability)
    for name in ("bin/ping", "bin/other", "d"):
        set_attribute(f"{sealer.stage}/{name}", "user.origin", b"here\0")
    scanned = sealer.seal(way)
    assert [name for name, _ in scanned.manifest.entry("bin/ping").xattrs] == [  # type: ignore[union-attr]
        "security.capability",
        "user.origin",
    ]
    for name in ("bin/ping", "bin/other", "d"):
        assert os.listxattr(f"{sealer.image}/{name}") == ["user.origin"]
        assert os.getxattr(f"{sealer.image}/{name}", "user.origin") == b"here\0"
        assert scanned.manifest.entry(name).xattrs[-1] == ("user.origin", "aGVyZQA=")  # type: ignore[union-attr]


def test_times_that_the_rules_change_are_set_in_the_image(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, {"a.py": "1", "same.so": "2", "link": "-> same.so", "d/b.py": "3"})
    old = sealer.scan().manifest
    lay(sealer.stage, {"a.py": "4"})
    os.utime(f"{sealer.stage}/same.so", ns=(5, 5))
    os.utime(f"{sealer.stage}/link", ns=(5, 5), follow_symlinks=False)
    os.utime(f"{sealer.stage}/d/b.py", ns=(5, 5))
    manifest = sealer.seal(way, reference=old).manifest
    for path, entry in manifest.files():
        assert os.lstat(f"{sealer.image}/{path}").st_mtime_ns == entry.mtime
    assert manifest.entry("link").mtime == old.entry("link").mtime  # type: ignore[union-attr]
    assert manifest.entry("a.py").mtime != TIME  # type: ignore[union-attr]


def test_hard_links_stay_hard_links(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, {"a": "1", "d/x.py": "2"})
    os.link(f"{sealer.stage}/a", f"{sealer.stage}/d/b")
    os.link(f"{sealer.stage}/d/x.py", f"{sealer.stage}/d/y.py")
    os.utime(f"{sealer.stage}/d/x.py", (0, 0))
    manifest = sealer.seal(way).manifest
    assert os.stat(f"{sealer.image}/a").st_ino == os.stat(f"{sealer.image}/d/b").st_ino
    for name in ("x.py", "y.py"):
        status = os.stat(f"{sealer.image}/d/{name}")
        assert (status.st_nlink, status.st_mtime_ns) == (2, manifest.entry(f"d/{name}").mtime)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1 << 20, 40_000])
def test_holes_stay_holes(sealer: Sealer, way: str, size: int) -> None:
    lay(sealer.stage, {"sparse": "start"})
    os.truncate(f"{sealer.stage}/sparse", size)
    if os.stat(f"{sealer.stage}/sparse").st_blocks * 512 >= size:
        pytest.skip("no sparse files here")
    sealer.seal(way)
    status = os.stat(f"{sealer.image}/sparse")
    assert status.st_size == size
    assert status.st_blocks * 512 < size


def test_redirected_directories_lie_elsewhere_in_the_image(sealer: Sealer, way: str) -> None:
    lay(sealer.stage, {"lib/a": "1", "lib64/a": "1", "lib64/sub/b": "2", "lib64/l": "-> sub/b", "lib64/liba.la": "3"})
    os.chmod(f"{sealer.stage}/lib64/sub", 0o711)
    scanned = sealer.seal(way, redirects={"lib64": "lib"})
    assert (
        names(sealer.image)
        == {path for path, _ in scanned.manifest.walk()}
        == {"lib", "lib/a", "lib/l", "lib/sub", "lib/sub/b"}
    )
    assert os.stat(f"{sealer.image}/lib/sub").st_mode & 0o777 == 0o711
    assert {path for path, _ in scanned.dropped} == {"lib64/a", "lib64/liba.la"}


@pytest.mark.parametrize(
    ("operation", "ending"),
    [("write_file", "lib/a.py"), ("copy_file", "liba.so.1"), ("symlink", "liba.so"), ("mkdir", "empty")],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_copy_that_cannot_be_written_leaves_nothing(sealer: Sealer, operation: str, ending: str, jobs: int) -> None:
    lay(sealer.stage, TREE)
    sealer.fs = Failing(operation, ending, errno.ENOSPC)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        sealer.seal("copy", jobs=jobs)
    assert not os.path.lexists(sealer.image)


# -- taking a tree over ----------------------------------------------------------------------------------------------


def test_a_tree_of_another_file_system_is_copied_and_removed(sealer: Sealer) -> None:
    class OtherDevice(FileSystem):
        def place(self, source: str, target: str) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source, None, target)

    lay(sealer.stage, TREE)
    sealer.fs = OtherDevice()
    scanned = sealer.seal("adopt")
    assert names(sealer.image) == {path for path, _ in scanned.manifest.walk()}
    assert not os.path.lexists(sealer.stage)
    give_back(sealer.fs, sealer.request(), scanned)
    assert names(sealer.stage) == {path for path, _ in scanned.manifest.walk()}
    assert not os.path.lexists(sealer.image)


def test_if_such_a_tree_changed_since_it_was_scanned_it_stays(sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "1", "b": "2"})
    scanned = sealer.scan()
    lay(sealer.stage, {"a": "changed", "c": "3"})
    with pytest.raises(ShipwayError) as caught:
        adopt(Failing("place", "", errno.EXDEV), sealer.request(), scanned)
    assert caught.value.details == ("a: changed", "c: changed")
    assert names(sealer.stage) == {"a", "b", "c"}
    assert not os.path.lexists(sealer.image)


def test_what_cannot_be_removed_after_it_was_copied_is_told(sealer: Sealer) -> None:
    class Stuck(Failing):
        def remove_tree(self, path: str, spare: Callable[[str], bool] | None = None) -> None:
            del spare
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    lay(sealer.stage, {"a": "1"})
    scanned = adopt(Stuck("place", "", errno.EXDEV), sealer.request(), sealer.scan())
    assert "could not be removed" in scanned.warnings[-1].text
    assert names(sealer.image) == {"a"}


def test_a_tree_that_may_not_be_moved_is_refused_with_a_way_out(sealer: Sealer) -> None:
    lay(sealer.stage, TREE)
    with pytest.raises(ShipwayError) as caught:
        adopt(Failing("place", "", errno.EACCES), sealer.request(), sealer.scan())
    assert "--move" in caught.value.hint
    assert os.path.lexists(sealer.stage)


@pytest.mark.parametrize(
    ("operation", "ending"),
    [
        ("copy_file", ""),
        ("chmod", "bin/su"),
        ("utime", "old.py"),
        ("mkdir", "lib"),
        ("unlink", "a.pyc"),
        ("rmdir", "lib64"),
    ],
)
def test_a_tree_that_was_taken_is_given_back_after_a_failure(sealer: Sealer, operation: str, ending: str) -> None:
    lay(sealer.stage, {"bin/su": "1", "d/a.py": "2", "d/a.pyc": "3", "d/old.py": "4", "lib64/x": "5", "shared": "6"})
    os.chmod(f"{sealer.stage}/bin/su", 0o4755)
    os.utime(f"{sealer.stage}/d/old.py", (0, 0))
    os.link(f"{sealer.stage}/shared", f"{sealer.area}/elsewhere")
    os.chmod(sealer.stage, 0o700)
    request = sealer.request(redirects={"lib64": "lib"})
    scanned = sealer.scan(redirects={"lib64": "lib"})
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        adopt(Failing(operation, ending), request, scanned)
    assert not os.path.lexists(sealer.image)
    assert os.stat(sealer.stage).st_mode & 0o7777 == 0o700
    assert os.stat(f"{sealer.stage}/bin/su").st_mode & 0o7777 == 0o4755
    assert sealer.scan(redirects={"lib64": "lib"}).manifest == scanned.manifest


def test_giving_back_twice_or_nothing_does_no_harm(sealer: Sealer) -> None:
    lay(sealer.stage, {"bin/su": "1", "lib64/tool": "2"})
    os.chmod(f"{sealer.stage}/bin/su", 0o4755)
    os.chmod(f"{sealer.stage}/lib64/tool", 0o2755)
    give_back(sealer.fs, sealer.request())
    scanned = sealer.seal("adopt", redirects={"lib64": "lib"})
    for _ in range(2):
        give_back(sealer.fs, sealer.request(), scanned)
        assert names(sealer.stage) == {"bin", "bin/su", "lib", "lib/tool"}
    assert os.stat(f"{sealer.stage}/bin/su").st_mode & 0o7777 == 0o4755
    assert os.stat(f"{sealer.stage}/lib/tool").st_mode & 0o7777 == 0o2755


def test_nothing_is_given_back_over_something_new(sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "1"})
    scanned = sealer.seal("adopt")
    lay(sealer.stage, {"b": "2"})
    with pytest.raises(FileExistsError):
        give_back(sealer.fs, sealer.request(), scanned)
    assert names(sealer.image) == {"a"}
    assert names(sealer.stage) == {"b"}


def test_private_copies_are_checked_against_what_was_scanned(sealer: Sealer) -> None:
    class Writing(FileSystem):
        """Somebody writes into a shared inode just before it is copied."""

        def step(self, operation: str, path: str) -> None:
            if operation == "copy_file":
                Path(sealer.area, "elsewhere").write_text("new")

    lay(sealer.stage, {"a": "old"})
    os.link(f"{sealer.stage}/a", f"{sealer.area}/elsewhere")
    with pytest.raises(ShipwayError) as caught:
        adopt(Writing(), sealer.request(), sealer.scan())
    assert caught.value.details == ("a: changed",)
    assert names(sealer.stage) == {"a"}
