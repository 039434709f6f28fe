from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shipway.errors import CorruptError
from shipway.fs.system import FileSystem
from shipway.model.entry import Manifest
from shipway.store.link import LinkMode, LinkReport, LinkRequest, link_all, link_out
from tests.fs.apart import NOBODY, Apart
from tests.store.trees import TIME, Sealer, lay, names, seen

TREE: dict[str, str | bytes | None] = {
    "bin/run": "#!x",
    "bin/also": "-> run",
    "etc/conf": "a = 1",
    "etc/sub/more": "b = 2",
    "lib/p/a.py": "1",
    "lib/p/q/b.py": "22",
    "share/empty": None,
}


class Image:
    """A sealed tree, and requests for parts of it."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer
        lay(sealer.stage, TREE)
        os.chmod(f"{sealer.stage}/share/empty", 0o555)
        os.chmod(f"{sealer.stage}/lib/p/q", 0o751)
        self.before = seen(sealer.stage)
        self.manifest = sealer.seal("copy").manifest

    def request(self, path: str = "", how: LinkMode = LinkMode.HARDLINK, **wishes: object) -> LinkRequest:
        request = LinkRequest(self.sealer.image, self.manifest, path, self.sealer.out, how)
        return request._replace(**wishes)  # type: ignore[arg-type]

    def out(self, path: str = "", how: LinkMode = LinkMode.HARDLINK, **wishes: object) -> LinkReport:
        return link_out(self.sealer.fs, self.request(path, how, **wishes))

    def shares(self, path: str) -> bool:
        return os.path.samefile(f"{self.sealer.image}/{path}", f"{self.sealer.out}/{path}")


@pytest.fixture
def image(sealer: Sealer) -> Image:
    return Image(sealer)


@pytest.mark.parametrize("how", list(LinkMode))
@pytest.mark.parametrize("trusted", [True, False])
def test_what_is_linked_out_is_what_was_staged(image: Image, how: LinkMode, trusted: bool) -> None:
    report = image.out(how=how, trusted=trusted)
    assert seen(image.sealer.out) == image.before
    assert report.files == 6
    assert report.linked + report.copied + report.cloned == 5


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_number_of_processes_makes_no_difference(sealer: Sealer, jobs: int) -> None:
    before = seen(lay(sealer.stage, {f"d{n % 7}/{n}": f"{n}" * n for n in range(1100)}))
    manifest = sealer.seal("copy", jobs=jobs).manifest
    report = link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out, LinkMode.HARDLINK, jobs=jobs))
    assert seen(sealer.out) == before
    assert report == LinkReport(files=1100, linked=1100)


def test_a_part_of_an_image_can_be_had(image: Image) -> None:
    image.out("lib/p")
    assert names(image.sealer.out) == {"a.py", "q", "q/b.py"}


@pytest.mark.parametrize(("path", "kind"), [("bin/run", "file"), ("bin/also", "link"), ("etc/conf", "file")])
def test_a_single_file_can_be_had(image: Image, path: str, kind: str) -> None:
    report = image.out(path)
    os.rename(image.sealer.out, f"{image.sealer.area}/{path.replace('/', '_')}")
    assert seen(image.sealer.area)[path.replace("/", "_")][:3] == image.before[path][:3]
    assert image.before[path][0] == kind
    assert report.files == 1


def test_many_parts_can_be_had_at_once(image: Image) -> None:
    parts = ["lib/p", "bin/run", "share/empty", "etc"]
    requests = [image.request(path, destination=f"{image.sealer.area}/{number}") for number, path in enumerate(parts)]
    reports = link_all(image.sealer.fs, requests, jobs=2)
    assert [report.files for report in reports] == [2, 1, 0, 2]
    assert names(f"{image.sealer.area}/3") == {"conf", "sub", "sub/more"}


def test_a_path_that_the_image_lacks_is_an_error(image: Image) -> None:
    with pytest.raises(FileNotFoundError):
        image.out("not/there")


# -- what is linked and what is copied -------------------------------------------------------------------------------


def test_configuration_is_copied_and_all_else_linked(image: Image) -> None:
    report = image.out()
    shared = {path for path, what in image.before.items() if what[0] == "file" and image.shares(path)}
    assert shared == {"bin/run", "lib/p/a.py", "lib/p/q/b.py"}
    assert (report.linked, report.copied, report.bytes_copied) == (3, 2, 10)


def test_paths_that_somebody_names_are_never_linked(image: Image) -> None:
    report = image.out(copied=lambda path: path.endswith("b.py"))
    assert not image.shares("lib/p/q/b.py")
    assert image.shares("lib/p/a.py")
    assert report.linked == 2


def test_copies_share_nothing(image: Image) -> None:
    report = image.out(how=LinkMode.COPY)
    assert not any(image.shares(path) for path, what in image.before.items() if what[0] == "file")
    assert (report.linked, report.copied) == (0, 5)


def test_reflinks_never_fall_back_to_hard_links(image: Image) -> None:
    report = image.out(how=LinkMode.REFLINK)
    assert report.linked == 0


def test_where_data_can_be_shared_it_is_rather_than_the_inode(image: Image) -> None:
    class Cloning(FileSystem):
        def clone_file(self, source: str, target: str, mode: int, mtime_ns: int) -> bool:
            self.copy_file(source, target, mode, mtime_ns)
            return True

    image.sealer.fs = Cloning()
    report = image.out(how=LinkMode.AUTO)
    assert (report.cloned, report.linked, report.copied) == (5, 0, 0)
    assert seen(image.sealer.out) == image.before


@pytest.mark.parametrize("code", [errno.EPERM, errno.EMLINK, errno.EXDEV])
def test_a_link_that_the_kernel_refuses_becomes_a_copy(image: Image, code: int) -> None:
    class Refusing(FileSystem):
        def link(self, source: str, target: str) -> None:
            raise OSError(code, os.strerror(code), source, None, target)

    image.sealer.fs = Refusing()
    report = image.out()
    assert (report.linked, report.copied) == (0, 5)
    assert seen(image.sealer.out) == image.before


def test_the_kernel_itself_refuses_links_to_what_others_own(image: Image, apart: Apart) -> None:
    if os.geteuid() != 0 or Path("/proc/sys/fs/protected_hardlinks").read_text().strip() != "1":
        pytest.skip("needs root and protected_hardlinks")
    assert apart.as_nobody(lambda: image.out(trusted=True)).copied == 5


# -- modes, attributes, groups ---------------------------------------------------------------------------------------


def test_setuid_comes_back_on_a_copy(sealer: Sealer) -> None:
    lay(sealer.stage, {"bin/su": "1", "bin/wall": "2", "bin/ls": "3"})
    os.chmod(f"{sealer.stage}/bin/su", 0o4755)
    os.chmod(f"{sealer.stage}/bin/wall", 0o2755)
    before = seen(sealer.stage)
    manifest = sealer.seal("copy").manifest
    report = link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out, LinkMode.HARDLINK))
    assert seen(sealer.out) == before
    assert (report.linked, report.copied) == (1, 2)
    assert os.stat(f"{sealer.image}/bin/su").st_mode & 0o7777 == 0o755


def test_what_is_linked_out_for_an_image_gets_no_setuid(sealer: Sealer) -> None:
    lay(sealer.stage, {"su": "1"})
    os.chmod(f"{sealer.stage}/su", 0o4755)
    manifest = sealer.scan().manifest
    link_out(sealer.fs, LinkRequest(sealer.stage, manifest, "", sealer.out, LinkMode.COPY, for_image=True))
    assert os.stat(f"{sealer.out}/su").st_mode & 0o7777 == 0o755


def test_capabilities_come_back_on_a_copy_and_other_attributes_on_all(sealer: Sealer) -> None:
    lay(sealer.stage, {"ping": "1", "plain": "2", "read_only": "3"})
    os.chmod(f"{sealer.stage}/read_only", 0o444)
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    try:
        os.setxattr(f"{sealer.stage}/ping", "security.capability", capability)
        for name in ("plain", "read_only"):
            os.setxattr(f"{sealer.stage}/{name}", "user.x", b"1")
    except OSError as error:
        pytest.skip(f"no such attribute here: {error.strerror}")
    manifest = sealer.seal("copy").manifest
    for how in LinkMode:
        link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out, how))
        assert os.getxattr(f"{sealer.out}/ping", "security.capability") == capability
        assert os.getxattr(f"{sealer.out}/read_only", "user.x") == b"1"
        assert not os.path.samefile(f"{sealer.image}/ping", f"{sealer.out}/ping")
        sealer.fs.remove_tree(sealer.out)


def test_attributes_that_are_refused_are_told(sealer: Sealer) -> None:
    class Refusing(FileSystem):
        def set_xattr(self, path: str, name: str, value: bytes) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    lay(sealer.stage, {"d/a": "1"})
    try:
        os.setxattr(f"{sealer.stage}/d/a", "user.x", b"1")
        os.setxattr(f"{sealer.stage}/d", "user.y", b"1")
    except OSError as error:
        pytest.skip(f"no such attribute here: {error.strerror}")
    sealer.fs = Refusing()
    scanned = sealer.seal("copy")
    assert {each.path for each in scanned.warnings} == {"d", "d/a"}
    report = link_out(sealer.fs, LinkRequest(sealer.image, scanned.manifest, "", sealer.out, LinkMode.COPY))
    assert len(report.lost) == 2
    assert all("user." in each for each in report.lost)


@pytest.mark.parametrize("how", list(LinkMode))
def test_hard_links_stay_hard_links_however_they_are_made(sealer: Sealer, how: LinkMode) -> None:
    lay(sealer.stage, {"a": "1", "z": "2", "d/c": "3"})
    os.link(f"{sealer.stage}/a", f"{sealer.stage}/d/b")
    os.link(f"{sealer.stage}/d/c", f"{sealer.stage}/etc")
    os.chmod(f"{sealer.stage}/a", 0o4755)
    before = seen(sealer.stage)
    manifest = sealer.seal("copy").manifest
    sealer.link_out(manifest, how)
    assert seen(sealer.out) == before
    assert os.stat(f"{sealer.out}/d/c").st_ino == os.stat(f"{sealer.out}/etc").st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("how", list(LinkMode))
def test_everything_gets_the_group_that_is_asked_for(sealer: Sealer, how: LinkMode) -> None:
    lay(sealer.stage, {"bin/su": "1", "bin/ls": "2", "l": "-> bin", "d": None})
    os.chmod(f"{sealer.stage}/bin/su", 0o6755)
    before = seen(sealer.stage)
    manifest = sealer.seal("copy").manifest
    link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out, how, gid=NOBODY))
    assert seen(sealer.out) == before
    assert {os.lstat(f"{sealer.out}/{name}").st_gid for name in ("", *names(sealer.out))} == {NOBODY}


# -- damage ----------------------------------------------------------------------------------------------------------


def damage(image: Image) -> list[str]:
    with pytest.raises(CorruptError, match="image damaged") as caught:
        image.out()
    assert not os.path.lexists(image.sealer.out)
    return [detail.partition(":")[0] for detail in caught.value.details]


def test_a_damaged_image_is_never_used_and_all_of_the_damage_told(image: Image) -> None:
    tree = image.sealer.image
    Path(f"{tree}/bin/run").write_text("longer than before")
    Path(f"{tree}/lib/p/a.py").write_text("2")
    os.unlink(f"{tree}/lib/p/q/b.py")
    assert damage(image) == ["bin/run", "lib/p/a.py", "lib/p/q/b.py"]


@pytest.mark.parametrize("how", list(LinkMode))
@pytest.mark.parametrize("jobs", [1, 2])
def test_files_with_another_mode_or_time_are_copied_as_they_were_if_their_content_is_right(
    sealer: Sealer, how: LinkMode, jobs: int
) -> None:
    before = seen(lay(sealer.stage, {**{f"d/{n}": f"{n}" for n in range(1100)}, "a": "1", "b": "2"}))
    os.link(f"{sealer.stage}/a", f"{sealer.stage}/c")
    before |= {"c": before["a"]}
    manifest = sealer.seal("copy").manifest
    os.chmod(f"{sealer.image}/a", 0o600)
    os.utime(f"{sealer.image}/b", ns=(0, TIME + 1))
    os.chmod(f"{sealer.image}/d/1099", 0o600)
    link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out, how, jobs=jobs))
    assert seen(sealer.out) == before
    assert os.stat(f"{sealer.image}/a").st_mode & 0o7777 == 0o600


def test_a_directory_or_symlink_in_place_of_a_file_is_damage(image: Image) -> None:
    tree = image.sealer.image
    os.unlink(f"{tree}/bin/run")
    os.mkdir(f"{tree}/bin/run")
    os.rename(f"{tree}/lib/p/a.py", f"{tree}/moved")
    os.symlink("../../moved", f"{tree}/lib/p/a.py")
    assert damage(image) == ["bin/run", "lib/p/a.py"]


def test_a_directory_that_is_gone_is_damage_of_all_that_was_in_it(image: Image) -> None:
    image.sealer.fs.remove_tree(f"{image.sealer.image}/etc")
    assert damage(image) == ["etc/conf", "etc/sub/more"]
    image.sealer.fs.remove_tree(image.sealer.image)
    assert len(damage(image)) == 5


def test_damage_of_a_single_file_is_told_too(image: Image) -> None:
    Path(f"{image.sealer.image}/bin/run").write_text("#!y")
    with pytest.raises(CorruptError):
        image.out("bin/run")
    assert not os.path.lexists(image.sealer.out)


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "bin/run", "bin/also"])
def test_a_destination_that_exists_is_left_alone(image: Image, path: str) -> None:
    lay(image.sealer.out, {"mine": "1"})
    with pytest.raises(FileExistsError):
        image.out(path)
    assert names(image.sealer.out) == {"mine"}


@pytest.mark.parametrize("operation", ["mkdir", "link", "copy_file", "symlink", "utime"])
def test_after_a_failure_nothing_is_left_of_any_destination(image: Image, operation: str) -> None:
    class Full(FileSystem):
        def step(self, name: str, path: str) -> None:
            if name == operation and path.startswith(f"{image.sealer.area}/second/"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    requests = [image.request(destination=f"{image.sealer.area}/{name}") for name in ("first", "second")]
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        link_all(Full(), requests, jobs=1)
    assert set(os.listdir(image.sealer.area)) == {"stage", "image"}


def test_linking_out_nothing_makes_an_empty_directory(sealer: Sealer) -> None:
    lay(sealer.stage, {})
    manifest: Manifest = sealer.seal("copy").manifest
    assert link_out(sealer.fs, LinkRequest(sealer.image, manifest, "", sealer.out)) == LinkReport()
    assert names(sealer.out) == set()
