"""Image files: what is written comes back, the same bytes for the same tree, and nothing else is let in."""

from __future__ import annotations

import os
import random
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from shipway.errors import CorruptError, ShipwayError, UsageError
from shipway.fs.archive import compressed, members
from shipway.fs.system import FileSystem
from shipway.model.entry import DIRECTORY, Entry, Manifest, manifest_of
from shipway.store import image_head
from shipway.store.image_file import HEAD, About, Head, WheelFile, read_head, unpack, write_tree, write_wheel
from shipway.store.request import SealRequest
from shipway.store.scan import scan
from tests.store.test_property import Item, build, trees
from tests.store.trees import lay, seen

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")

ABOUT = About("pkg:generic/gmp", "gmp", "6.3.0", "/opt/site", exclusive=True, note='{"some": "note"}')
FILES = {
    "bin/run": "#!/bin/sh\n",
    "lib/libx.so.1": b"\x7fELF" * 5000,
    "lib/libx.so": "-> libx.so.1",
    "share/doc/empty": "",
    "share/nothing": None,
    "share/é" + "x" * 120: "long",
    os.fsdecode(b"share/\xff"): "no text",
}
FS = FileSystem()


@pytest.fixture
def stage(tmp_path: Path) -> str:
    """A tree with all kinds of things."""
    root = lay(str(tmp_path / "stage"), FILES)
    os.chmod(f"{root}/bin/run", 0o4751)
    os.chmod(f"{root}/share/doc", 0o2700)
    os.link(f"{root}/bin/run", f"{root}/bin/walk")
    os.link(f"{root}/bin/run", f"{root}/share/run")
    os.setxattr(f"{root}/share/doc/empty", "user.colour", b"r\0d")
    os.setxattr(f"{root}/share", "user.colour", b"blue")
    return root


@pytest.fixture
def written(stage: str, tmp_path: Path) -> Path:
    """An image file of it."""
    write_tree(FS, ABOUT, stage, str(tmp_path / "gmp.tar.zst"))
    return tmp_path / "gmp.tar.zst"


def sealed(tree: str) -> Manifest:
    return scan(FS, SealRequest(tree, "")).manifest


def brought(path: Path, directory: Path) -> Path:
    return Path(unpack(FS, str(path), read_head(str(path)), str(directory)).path)


def test_what_was_written_comes_back(written: Path, stage: str, tmp_path: Path) -> None:
    head = read_head(str(written))
    assert (head.about, head.content) == (ABOUT, sealed(stage))
    tree = brought(written, tmp_path / "out")
    assert seen(str(tree)) == seen(stage)
    assert sealed(str(tree)) == sealed(stage)
    assert list(tmp_path.iterdir()) != []


def test_is_an_archive_for_others_too(written: Path) -> None:
    with members(str(written), 1 << 30) as found:
        names = [member.name for member in found]
    assert names[0] == HEAD
    assert {"tree/bin/run", "tree/lib/libx.so", "tree/share/nothing"} < set(names)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_any_tree_comes_back_and_gives_the_same_bytes(tree: list[Item]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as area:
        build(f"{area}/stage", tree)
        try:
            scanned = write_tree(FS, ABOUT, f"{area}/stage", f"{area}/one")
        except ShipwayError:  # what cannot be sealed
            assert sorted(os.listdir(area)) == ["stage"]
            return
        head = read_head(f"{area}/one")
        assert head.content == scanned.manifest
        done = unpack(FS, f"{area}/one", head, f"{area}/out")
        assert done.remarks == ()
        assert sealed(done.path) == scanned.manifest
        write_tree(FS, ABOUT, done.path, f"{area}/two")
        assert Path(f"{area}/one").read_bytes() == Path(f"{area}/two").read_bytes()


def test_what_sealing_leaves_out_is_told_and_not_in_it(tmp_path: Path) -> None:
    stage = lay(str(tmp_path / "stage"), {"lib/a.la": "x", "lib/a.so": "y", "etc/x": str(tmp_path / "stage")})
    scanned = write_tree(FS, ABOUT, stage, str(tmp_path / "file"))
    assert [each.path for each in scanned.dropped] == ["lib/a.la"]
    assert [each.path for each in scanned.warnings] == ["etc/x"]
    assert not (brought(tmp_path / "file", tmp_path / "out") / "lib/a.la").exists()


def test_a_wheel_comes_back(tmp_path: Path) -> None:
    wheel = tmp_path / "gmpy2-2.1-py3-none-any.whl"
    wheel.write_bytes(random.Random(1).randbytes(100_000))
    write_wheel(FS, ABOUT, str(wheel), str(tmp_path / "file"))
    head = read_head(str(tmp_path / "file"))
    assert isinstance(head.content, WheelFile)
    assert head.content[:2] == (wheel.name, 100_000)
    assert brought(tmp_path / "file", tmp_path / "out").read_bytes() == wheel.read_bytes()


def test_a_file_that_is_there_is_replaced_and_a_failure_leaves_it(stage: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    (tmp_path / "link").symlink_to("file")
    Path(stage, "dev").mkdir()
    os.mkfifo(f"{stage}/dev/fifo")
    with pytest.raises(ShipwayError, match="cannot be sealed"):
        write_tree(FS, ABOUT, stage, str(target))
    assert target.read_text() == "old"
    os.unlink(f"{stage}/dev/fifo")
    write_tree(FS, ABOUT, stage, str(tmp_path / "link"))
    assert read_head(str(target)).about == ABOUT
    assert {path.name for path in tmp_path.iterdir()} == {"stage", "file", "link"}
    with pytest.raises(UsageError, match="is no file"):
        write_tree(FS, ABOUT, stage, str(tmp_path))


class Meddler(FileSystem):
    """Changes the tree when the file is begun."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__()
        self.change = change

    def step(self, operation: str, path: str) -> None:
        if operation == "fill":
            self.change()


@pytest.mark.parametrize("content", ["", "other text", "#!/bin/SH\n"])
def test_a_tree_that_changes_meanwhile_gives_no_file(stage: str, tmp_path: Path, content: str) -> None:
    fs = Meddler(lambda: Path(stage, "bin/run").write_text(content))
    with pytest.raises(ShipwayError, match="changed while it was read"):
        write_tree(fs, ABOUT, stage, str(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_says_that_zstd_is_missing(written: Path, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShipwayError, match="without the program zstd"):
        write_tree(FS, ABOUT, stage, str(tmp_path / "other"))
    with pytest.raises(ShipwayError, match="cannot be read without the program zstd"):
        read_head(str(written))
    assert not (tmp_path / "other").exists()


def test_no_room_is_told_before_anything_is_written(written: Path, tmp_path: Path) -> None:
    content = manifest_of({"": [Entry("a", "f", size=1 << 62, digest="0" * 64)]})
    with pytest.raises(ShipwayError, match="does not fit"):
        unpack(FS, str(written), Head(ABOUT, content), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# -- damaged and hostile ----------------------------------------------------------------------------------------------


def refused(path: Path, directory: Path) -> str:
    """The one clear error; nothing is left."""
    with pytest.raises(CorruptError) as caught:
        brought(path, directory)
    assert not directory.exists()
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_truncated_file_is_refused_wherever_it_ends(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    for end in sorted({*range(0, len(data), max(len(data) // 60, 1)), *range(len(data) - 8, len(data))}):
        written.write_bytes(data[:end])
        refused(written, tmp_path / "out")


def test_a_flipped_bit_is_refused_or_does_not_matter(written: Path, stage: str, tmp_path: Path) -> None:
    data, dice, harmless = written.read_bytes(), random.Random(7), 0
    expected = seen(stage)
    for place in [*range(12), *(dice.randrange(len(data)) for _ in range(80)), *range(len(data) - 6, len(data))]:
        mutated = bytearray(data)
        mutated[place] ^= 1 << dice.randrange(8)
        written.write_bytes(mutated)
        try:
            tree = brought(written, tmp_path / "out")
        except CorruptError:
            assert not (tmp_path / "out").exists()
            continue
        harmless += 1
        assert seen(str(tree)) == expected
        shutil.rmtree(tmp_path / "out")
    assert harmless < 5, "only bits of zstd's header that mean nothing"


def head_of(files: dict[str, bytes]) -> Head:
    import hashlib

    entries = [
        Entry(name, "f", size=len(data), mtime=1, digest=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    ]
    return Head(ABOUT, manifest_of({"": entries}))


def put(name: str, data: bytes = b"", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in more.items():
        setattr(info, field, value)
    return info, data


def archive(*entries: tuple[tarfile.TarInfo, bytes], head: bytes | None = None) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in (put(HEAD, image_head.encode(head_of(TWO)) if head is None else head), *entries):
            tar.addfile(info, BytesIO(data) if data else None)
    return buffer.getvalue()


TWO = {"a": b"one", "b": b"two"}
A, B = put("tree/a", b"one"), put("tree/b", b"two")

HOSTILE = {
    "nothing": b"",
    "no head": tarfile.TarInfo("tree/a").tobuf() + bytes(1024),
    "missing": archive(A),
    "extra": archive(A, B, put("tree/c", b"x")),
    "twice": archive(A, A, B),
    "in another order": archive(B, A),
    "another head": archive(A, B, put(HEAD, b"{}")),
    "dots": archive(A, put("tree/../b", b"two")),
    "dots behind": archive(A, B, put("../b", b"two")),
    "absolute": archive(A, put("/tree/b", b"two")),
    "device": archive(A, put("tree/b", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "fifo": archive(A, put("tree/b", type=tarfile.FIFOTYPE)),
    "symlink": archive(A, put("tree/b", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "hard link": archive(A, put("tree/b", type=tarfile.LNKTYPE, linkname="tree/a")),
    "directory": archive(A, put("tree/b", type=tarfile.DIRTYPE)),
    "longer": archive(A, put("tree/b", b"two" * 1000)),
    "bomb": archive(A, put("tree/b", bytes(300 << 20))),
    "shorter": archive(A, put("tree/b", b"tw")),
    "other content": archive(A, put("tree/b", b"TWO")),
    "behind the end": archive(A, B) + b"something",
    "cut": archive(A, B)[:1536],
    "long name": archive(A, put("tree/" + "b" * 100_000, b"two")),
    "head that is no JSON": archive(A, B, head=b"{"),
    "head that is an array": archive(A, B, head=b"[]"),
    "long head": archive(A, B, head=b"[" + b"[]," * (8 << 20) + b"[]]"),
    "deep head": archive(A, B, head=b"[" * 100_000),
    "huge number": archive(A, B, head=b'{"format": 1' + b"0" * 10_000 + b"}"),
    "head in latin-1": archive(A, B, head=b'{"format": "\xe9"}'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_not_ours_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(compressed([HOSTILE[case]])))
    refused(path, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_sound_one_among_them_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"".join(compressed([archive(A, B)])))
    assert (brought(tmp_path / "file", tmp_path / "out") / "b").read_bytes() == b"two"


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", archive(A, B), b"\x28\xb5\x2f\xfdrubbish"])
def test_what_is_not_even_compressed_right_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    refused(tmp_path / "file", tmp_path / "out")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    refused(tmp_path / "file", tmp_path / "out")


def said(**more: object) -> bytes:
    import json

    return json.dumps({**json.loads(image_head.encode(head_of(TWO))), **more}).encode()


def rows(*entries: Entry) -> dict[str, object]:
    """A head of these, otherwise all right."""
    import json

    return {
        name: json.loads(image_head.encode(Head(ABOUT, manifest_of({"": entries}))))[name]
        for name in ("listings", "image")
    }


FILE = Entry("a", "f", size=1, digest="0" * 64)
HEADS = {
    "no identity": said(identity=None),
    "identity that is none": said(identity="a b"),
    "identity in another form": said(identity="gmp"),
    "name that is a path": said(name="../x"),
    "version with a line": said(version="1\n2"),
    "relative prefix": said(prefix="opt"),
    "exclusive as a text": said(exclusive="no"),
    "note as a number": said(note=1),
    "another kind": said(kind="book"),
    "no listings": said(listings=[]),
    "listings as a text": said(listings="a"),
    "name of the parent": said(listings=[["", [["..", "f", 420, 1, 1, "0" * 64]]]]),
    "name with a slash": said(listings=[["", [["a/b", "f", 420, 1, 1, "0" * 64]]]]),
    "path that is absolute": said(listings=[["", []], ["/etc", []]]),
    "directory without a listing": said(listings=[["", [["d", "d", 493, 0, 0, ""]]]]),
    "listing without a directory": said(listings=[["", []], ["d", []]]),
    "listing twice": said(listings=[["", []], ["", []]]),
    "too deep": said(listings=[["/".join(["d"] * 200), []]]),
    "name twice": said(listings=[["", [["a", "f", 420, 1, 1, "0" * 64]] * 2]]),
    "another image": said(image="0" * 64),
    "device": said(listings=[["", [["a", "c", 420, 1, 1, "0" * 64]]]]),
    "derived": said(**rows(FILE._replace(derived=True))),
    "file without a digest": said(**rows(FILE._replace(digest=""))),
    "file with a target": said(**rows(FILE._replace(target="x"))),
    "symlink to nothing": said(**rows(Entry("a", "l", 0o777))),
    "symlink with attributes": said(**rows(Entry("a", "l", 0o777, target="b", xattrs=(("user.a", ""),)))),
    "security label": said(**rows(FILE._replace(xattrs=(("security.selinux", "YQ=="),)))),
    "overlay's own": said(**rows(FILE._replace(xattrs=(("trusted.overlay.opaque", "eQ=="),)))),
    "attribute in no base64": said(**rows(FILE._replace(xattrs=(("user.a", "!"),)))),
    "attribute twice": said(**rows(FILE._replace(xattrs=(("user.a", ""), ("user.a", ""))))),
    "hard links that differ": said(**rows(FILE._replace(group=1), FILE._replace(name="b", size=2, group=1))),
    "wheel in another directory": said(kind="wheel", wheel=["../x.whl", 1, "0" * 64]),
    "wheel that is none": said(kind="wheel", wheel=["x.py", 1, "0" * 64]),
    "wheel without a size": said(kind="wheel", wheel=["x.whl", -1, "0" * 64]),
    "wheel without a digest": said(kind="wheel", wheel=["x.whl", 1, ""]),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_no_sealing_makes_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"".join(compressed([archive(A, B, head=HEADS[case])])))
    refused(tmp_path / "file", tmp_path / "out")


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"".join(compressed([archive(A, B, head=said(format=2))])))
    with pytest.raises(ShipwayError, match="a format that this Shipway does not know"):
        read_head(str(tmp_path / "file"))


def test_a_file_that_is_replaced_between_head_and_rest_is_refused(written: Path, tmp_path: Path) -> None:
    head = read_head(str(written))
    lay(str(tmp_path / "other"), {"a": "b"})
    write_tree(FS, ABOUT, str(tmp_path / "other"), str(written))
    with pytest.raises(CorruptError, match="replaced while it was read"):
        unpack(FS, str(written), head, str(tmp_path / "out"))


def failing() -> Iterator[bytes]:
    yield b"x" * (1 << 22)
    raise ShipwayError("no more")


def test_compressing_passes_on_what_its_source_raises() -> None:
    with pytest.raises(ShipwayError, match="no more"):
        b"".join(compressed(failing()))


def test_the_entry_of_a_directory_needs_no_more_than_a_mode() -> None:
    head = Head(ABOUT, manifest_of({"": [Entry("d", DIRECTORY, 0o755)], "d": []}))
    assert image_head.decode(image_head.encode(head)) == head
