"""Archives of every kind, and what hostile ones bring."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.fs.system import FileSystem
from shipway.fs.unpack import LIMITS, ArchiveError, Limits, is_archive, unpack

Put = tuple[tarfile.TarInfo, bytes]


def put(name: str, content: bytes = b"", **more: object) -> Put:
    """An entry of a tar: a file unless said otherwise."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1_500_000_000
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def symlink(name: str, target: str) -> Put:
    return put(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> Put:
    return put(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(*entries: Put, kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(entries: Iterable[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name, (2017, 7, 14, 2, 40, 0))
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


Unpack = Callable[..., Path]


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpack:
    """Unpack bytes as `p.tar` into `out`."""

    def run(data: bytes, limits: Limits = LIMITS) -> Path:
        (tmp_path / "p.tar").write_bytes(data)
        return Path(unpack(FileSystem(), str(tmp_path / "p.tar"), str(tmp_path / "out"), limits))

    return run


PROJECT = (
    put("p-1", type=tarfile.DIRTYPE, mode=0o700),
    put("p-1/configure", b"#!/bin/sh\n", mode=0o4777),
    put("p-1/src/a.c", b"int a;\n", mode=0o600),
    symlink("p-1/b.c", "src/a.c"),
    hard_link("p-1/c.c", "p-1/src/a.c"),
)


def compressed(how: str, data: bytes) -> bytes:
    ways: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    }
    if how in ways:
        return ways[how](data)
    if shutil.which(how) is None:
        pytest.skip(f"there is no {how} here")
    return subprocess.run([how, "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["plain", "gz", "bz2", "xz", "lzma", "zstd", "lzip"])
def test_a_tar_of_any_compression_comes_out_with_sane_modes_and_its_times(how: str, unpacked: Unpack) -> None:
    top = unpacked(compressed(how, tar_of(*PROJECT)))
    assert top.name == "p-1"
    assert (top / "b.c").read_text() == (top / "c.c").read_text() == "int a;\n"
    assert stat.S_IMODE((top / "configure").stat().st_mode) == 0o755
    assert stat.S_IMODE((top / "src/a.c").stat().st_mode) == 0o644
    assert {stat.S_IMODE(path.stat().st_mode) for path in (top, top / "src")} == {0o755}
    assert (top / "src/a.c").stat().st_mtime == 1_500_000_000


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_come_out_whole(kind: int, unpacked: Unpack) -> None:
    name = "p/" + "/".join(["d" * 80] * 6) + "/é"
    top = unpacked(tar_of(put(name, b"x"), put("p/after", b"y"), kind=kind))
    assert (top.parent / name).read_bytes() == b"x"
    assert (top / "after").read_bytes() == b"y"


def test_a_zip_comes_out_with_its_symlinks(unpacked: Unpack) -> None:
    entries = [("p/run", b"#!", 0o100755), ("p/f", b"f", 0), ("p/l", b"f", 0o120777)]
    top = unpacked(zip_of(entries))
    assert (top / "l").readlink() == Path("f")
    assert [stat.S_IMODE((top / name).stat().st_mode) for name in ("run", "f")] == [0o755, 0o644]


def test_two_things_at_the_top_stay_below_the_directory(unpacked: Unpack) -> None:
    top = unpacked(tar_of(put("a", b"1"), put("b/c", b"2")))
    assert top.name == "out"
    assert sorted(path.name for path in top.iterdir()) == ["a", "b"]


def test_a_single_file_at_the_top_is_no_source_directory(unpacked: Unpack) -> None:
    assert unpacked(tar_of(put("a", b"1"))).name == "out"


def test_a_sparse_file_comes_out_whole(tmp_path: Path, unpacked: Unpack) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    words = ["tar", "-C", str(tmp_path), "--sparse", "-c", "sparse"]
    top = unpacked(subprocess.run(words, capture_output=True, check=True).stdout)
    assert (top / "sparse").read_bytes() == bytes(1 << 20) + b"end"


def test_times_of_the_future_are_now(unpacked: Unpack) -> None:
    top = unpacked(tar_of(put("a", b"1", mtime=time.time() + 1e6), put("b", b"1", mtime=-5)))
    assert (top / "a").stat().st_mtime <= time.time()
    assert (top / "b").stat().st_mtime == 0


OUT = "leads out of the archive"
HOSTILE = {
    "an absolute path": ((put("/etc/x"),), f"/etc/x: the path /etc/x {OUT}"),
    "a path above": ((put("p/../../x"),), f"the path p/../../x {OUT}"),
    "dots that come back": ((put("p/../x"),), f"the path p/../x {OUT}"),
    "an absolute symlink": ((symlink("p/l", "/etc"),), "p/l: is a symlink that leads out of the archive, to /etc"),
    "a symlink above": ((symlink("p/l", "../../x"),), "leads out of the archive, to ../../x"),
    "a symlink above, through another": (
        (put("p/a/b/c"), symlink("p/s", "a/b"), symlink("p/l", "s/../../../../x")),
        "p/l: is a symlink that leads out",
    ),
    "symlinks that only together lead out": (
        (put("p/d/e/f"), symlink("p/d/e/up", "../../.."), symlink("p/l", "d/e/up/../x")),
        "p/l: is a symlink that leads out",
    ),
    "a file through a symlink": (
        (symlink("p/l", "."), put("p/l/f", b"x")),
        "p/l is a symlink, and was to be a directory",
    ),
    "a symlink in the place of a directory": ((put("p/l/f"), symlink("p/l", "/")), "p/l: is there twice"),
    "a file over a symlink": ((symlink("p/l", "/etc/passwd"), put("p/l", b"x")), "p/l: is there twice"),
    "a hard link out": ((hard_link("p/h", "/etc/passwd"),), f"the path /etc/passwd {OUT}"),
    "a hard link above": ((hard_link("p/h", "../../etc/passwd"),), OUT),
    "a hard link to nothing": (
        (hard_link("p/h", "p/none"),),
        "p/h: is a hard link to p/none, which is not in the archive",
    ),
    "a hard link to a directory": ((put("p/d/x"), hard_link("p/h", "p/d")), "which is a directory"),
    "a device": ((put("p/d", type=tarfile.CHRTYPE),), "p/d: is a device"),
    "a pipe": ((put("p/d", type=tarfile.FIFOTYPE),), "p/d: is a pipe"),
    "another kind": ((put("p/d", type=b"V"),), "p/d: is of no known kind"),
    "two files of a name": ((put("p/f", b"1"), put("p/f", b"2")), "p/f: is there twice, with differing content"),
    "a file that grows": ((put("p/f", b"1"), put("p/f", b"12")), "p/f: is there twice, with differing content"),
    "a file that shrinks": ((put("p/f", b"12"), put("p/f", b"1")), "p/f: is there twice, with differing content"),
    "a file and a directory": ((put("p/f", b"1"), put("p/f/g")), "p/f is a file, and was to be a directory"),
    "a name too long": ((put("p/" + "x" * 300),), "File name too long"),
    "a symlink to nothing": ((symlink("p/l", ""),), "p/l: is a symlink to nothing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_leads_out_or_has_no_place_is_refused_by_name(case: str, unpacked: Unpack, tmp_path: Path) -> None:
    entries, words = HOSTILE[case]
    with pytest.raises(ArchiveError) as caught:
        unpacked(tar_of(put("p/first", b"x"), *entries))
    assert caught.value.message.startswith(f"{tmp_path}/p.tar: ")
    assert words in caught.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["/etc/x", "p/../../x"])
def test_a_zip_leads_nowhere_either(name: str, unpacked: Unpack, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=OUT):
        unpacked(zip_of([(name, b"x", 0o100644)]))
    with pytest.raises(ArchiveError, match="p/l: is a symlink that leads out"):
        unpacked(zip_of([("p/l", b"/etc", 0o120777)]))
    with pytest.raises(ArchiveError, match="p/d: is a device or a pipe"):
        unpacked(zip_of([("p/d", b"", 0o010644)]))
    assert not (tmp_path / "out").exists()


def test_the_same_entry_twice_does_no_harm(unpacked: Unpack) -> None:
    twice = (put("p/f", b"1"), put("p/d", type=tarfile.DIRTYPE), symlink("p/l", "f"), hard_link("p/f", "p/f"))
    assert sorted(path.name for path in unpacked(tar_of(*twice, *twice)).iterdir()) == ["d", "f", "l"]


def test_a_hard_link_to_a_symlink_is_that_symlink(unpacked: Unpack) -> None:
    top = unpacked(tar_of(put("p/f", b"1"), symlink("p/l", "f"), hard_link("p/m", "p/l")))
    assert (top / "m").readlink() == Path("f")


SMALL = Limits(entries=100, bytes=1 << 30, ratio=10, free=1 << 20)


@pytest.mark.parametrize("how", ["gz", "bz2", "xz", "zstd"])
def test_a_bomb_is_found_before_it_fills_the_disk(how: str, unpacked: Unpack, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"p/zeros: it unpacks to more than \d+ bytes: too much for its size"):
        unpacked(compressed(how, tar_of(put("p/zeros", bytes(20 << 20)))), SMALL)
    assert not (tmp_path / "out").exists()


def test_a_bomb_of_a_zip_is_found(unpacked: Unpack) -> None:
    with pytest.raises(ArchiveError, match="p/zeros: it unpacks to more than"):
        unpacked(zip_of([("p/zeros", bytes(20 << 20), 0o100644)]), SMALL)


def test_a_bomb_of_holes_is_found(tmp_path: Path, unpacked: Unpack) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    words = ["tar", "-C", str(tmp_path), "--sparse", "-c", "sparse"]
    data = subprocess.run(words, capture_output=True, check=True).stdout
    with pytest.raises(ArchiveError, match="sparse: it unpacks to more than"):
        unpacked(data, SMALL)


def test_a_bomb_of_entries_is_found(unpacked: Unpack) -> None:
    with pytest.raises(ArchiveError, match="p/100: there are more than 100 entries"):
        unpacked(tar_of(*(put(f"p/{number}") for number in range(200))), SMALL)


def test_a_bomb_of_a_header_takes_no_memory(unpacked: Unpack) -> None:
    info = put("p/x", type=tarfile.XHDTYPE)[0]
    info.size = 1 << 30
    with pytest.raises(ArchiveError, match="a header claims to be 1073741824 bytes long"):
        unpacked(info.tobuf(tarfile.USTAR_FORMAT) + bytes(4096))


def test_a_padded_end_is_a_bomb_no_more(unpacked: Unpack) -> None:
    assert unpacked(gzip.compress(tar_of(put("p/a", b"x")) + bytes(4 << 20)), SMALL).name == "p"


@pytest.mark.parametrize("how", ["plain", "gz", "bz2", "xz", "zstd"])
def test_an_archive_that_ends_in_the_middle_is_no_short_one(how: str, unpacked: Unpack, tmp_path: Path) -> None:
    data = compressed(how, tar_of(*(put(f"p/{n}", os.urandom(5000)) for n in range(20))))
    for part in (0.5, 0.9):
        with pytest.raises(ArchiveError, match=f"^{tmp_path}/p.tar"):
            unpacked(data[: int(len(data) * part)])
        assert not (tmp_path / "out").exists()


def test_rubbish_between_two_entries_is_no_end(unpacked: Unpack) -> None:
    data = bytearray(tar_of(put("p/a", b"x" * 512), put("p/b", b"y" * 512)))
    data[1024:1536] = b"rubbish " * 64
    with pytest.raises(ArchiveError, match="it is damaged before byte 1536"):
        unpacked(bytes(data))


def test_what_is_no_archive_is_one_sentence(unpacked: Unpack, tmp_path: Path) -> None:
    for data in (b"", b"hello", b"\x1f\x8bnot really", b"PK\x03\x04no", b"<html>", bytes(1000)):
        if data:
            (tmp_path / "x").write_bytes(data)
            assert not is_archive(str(tmp_path / "x"))
        if data.strip(b"\0"):
            with pytest.raises(ArchiveError, match=r"^\S+/p.tar: "):
                unpacked(data)


def test_an_encrypted_zip_is_one_sentence(unpacked: Unpack) -> None:
    data = bytearray(zip_of([("p/f", b"x", 0o100644)]))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ArchiveError, match=r"p/f: the archive is damaged: .*encrypted"):
        unpacked(bytes(data))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_of_any_kind_is_an_error_or_harmless(data: st.DataObject, tmp_path: Path) -> None:
    how = data.draw(st.sampled_from(["plain", "gz", "bz2", "xz", "zip"]))
    plain = zip_of([("p/a", b"a" * 300, 0o100644)]) if how == "zip" else tar_of(*PROJECT)
    whole = bytearray(plain if how == "zip" else compressed(how, plain))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    out = tmp_path / "out"
    FileSystem().remove_tree(str(out))
    (tmp_path / "p").write_bytes(whole)
    try:
        unpack(FileSystem(), str(tmp_path / "p"), str(out))
    except ArchiveError:
        assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"p", "out"}
