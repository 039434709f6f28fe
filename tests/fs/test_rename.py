"""place, exchange, replace, take: what they do to names, with and without the flags of renameat2."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem, RenameMode
from tests.fs.apart import child
from tests.fs.recorder import Recorder

Put = Callable[..., str]
MODES = [RenameMode.AUTO, RenameMode.FALLBACK]


@pytest.fixture(params=MODES, ids=lambda mode: mode.value)
def either(request: pytest.FixtureRequest) -> FileSystem:
    return FileSystem(request.param)


def content(path: str) -> str:
    """What tells a file, a symlink and a directory of this test apart."""
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    return f"{os.listdir(path)}" if os.path.isdir(path) else Path(path).read_text()


def make(kind: str, path: str) -> str:
    name = os.path.basename(path)
    if kind == "file":
        Path(path).write_text(name)
    elif kind == "link":
        os.symlink(name, path)
    else:
        Path(path, name).mkdir(parents=True)
    return content(path)


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_place_moves_to_a_free_name(either: FileSystem, area: str, kind: str) -> None:
    before = make(kind, f"{area}/new")
    either.place(f"{area}/new", f"{area}/live")
    assert content(f"{area}/live") == before
    assert os.listdir(area) == ["live"]


@pytest.mark.parametrize("new", ["file", "link", "directory"])
@pytest.mark.parametrize("old", ["file", "link", "directory"])
def test_place_never_overwrites(either: FileSystem, area: str, new: str, old: str) -> None:
    staged, live = make(new, f"{area}/new"), make(old, f"{area}/live")
    with pytest.raises(FileExistsError):
        either.place(f"{area}/new", f"{area}/live")
    assert (content(f"{area}/new"), content(f"{area}/live")) == (staged, live)


def test_place_does_not_even_replace_an_empty_directory(either: FileSystem, area: str, put: Put) -> None:
    put("new/file", "content")
    put("live")
    with pytest.raises(FileExistsError):
        either.place(f"{area}/new", f"{area}/live")
    assert os.listdir(f"{area}/new") == ["file"]


def test_place_does_not_follow_a_dangling_symlink(either: FileSystem, area: str, put: Put) -> None:
    os.symlink("nowhere", f"{area}/live")
    with pytest.raises(FileExistsError):
        either.place(put("new", "content"), f"{area}/live")
    assert not os.path.lexists(f"{area}/nowhere")


def test_place_tells_what_else_is_wrong(either: FileSystem, area: str, put: Put) -> None:
    with pytest.raises(FileNotFoundError):
        either.place(f"{area}/new", f"{area}/live")
    with pytest.raises(FileNotFoundError):
        either.place(put("new", "content"), f"{area}/missing/live")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_of_two_processes_that_place_one_name_one_wins(either: FileSystem, area: str, kind: str) -> None:
    rounds = 150
    for n in range(rounds):
        for side in ("a", "b"):
            make(kind, f"{area}/{side}{n}")

    def race(side: str) -> set[int]:
        won = set()
        for n in range(rounds):
            try:
                either.place(f"{area}/{side}{n}", f"{area}/live{n}")
                won.add(n)
            except FileExistsError:
                continue
        return won

    def second(say: Callable[[str], None]) -> None:
        os.read(start, 1)
        say(",".join(map(str, race("b"))))

    start, go = os.pipe()
    with child(second) as (_, said):
        os.write(go, b"!")
        ours = race("a")
        theirs = {int(n) for n in said().split(",") if n}
    os.close(start)
    os.close(go)
    assert ours | theirs == set(range(rounds))
    assert not ours & theirs
    for n in range(rounds):
        winner, loser = ("a", "b") if n in ours else ("b", "a")
        assert f"{winner}{n}" in content(f"{area}/live{n}")
        assert f"{loser}{n}" in content(f"{area}/{loser}{n}")


def test_place_without_the_flag_links_and_unlinks_a_file(area: str, put: Put) -> None:
    recorder = Recorder(RenameMode.FALLBACK, fail_at="unlink")
    with pytest.raises(OSError, match="made up"):
        recorder.place(put("new", "content"), f"{area}/live")
    assert os.path.samefile(f"{area}/new", f"{area}/live")


def test_insisting_on_exchange_never_falls_back(area: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(source: str, target: str, flags: int) -> None:
        raise OSError(errno.EINVAL, "no such flag", source, None, target)

    monkeypatch.setattr("shipway.fs.native.rename", unknown)
    new = put("new", "content")
    with pytest.raises(OSError, match="no such flag"):
        FileSystem(RenameMode.EXCHANGE).place(new, f"{area}/live")
    with pytest.raises(ShipwayError, match="cannot exchange"):
        FileSystem(RenameMode.EXCHANGE).exchange_works(area)
    assert FileSystem().exchange_works(area) is False
    FileSystem().place(new, f"{area}/live")
    assert os.listdir(area) == ["live"]


@pytest.mark.parametrize("a", ["file", "link", "directory"])
@pytest.mark.parametrize("b", ["file", "link", "directory"])
def test_exchange_swaps_names_of_any_kind(fs: FileSystem, area: str, a: str, b: str) -> None:
    if not fs.exchange_works(area):
        pytest.skip("this file system cannot exchange")
    first, second = make(a, f"{area}/a"), make(b, f"{area}/b")
    fs.exchange(f"{area}/a", f"{area}/b")
    assert (content(f"{area}/a"), content(f"{area}/b")) == (second, first)


def test_exchange_needs_both_names(fs: FileSystem, area: str, put: Put) -> None:
    with pytest.raises(FileNotFoundError):
        fs.exchange(put("a", "a"), f"{area}/b")


def test_exchange_is_refused_in_fallback_mode(area: str, put: Put) -> None:
    fallback = FileSystem(RenameMode.FALLBACK)
    a, b = put("a", "a"), put("b", "b")
    with pytest.raises(OSError) as caught:
        fallback.exchange(a, b)
    assert caught.value.errno == errno.EINVAL
    assert (content(a), content(b)) == ("a", "b")
    assert not fallback.exchange_works(area)


def test_the_probe_for_exchange_leaves_nothing_and_is_made_once(area: str) -> None:
    recorder = Recorder()
    assert recorder.exchange_works(area) is recorder.exchange_works(area)
    assert os.listdir(area) == []
    assert [operation for operation, _ in recorder.steps].count("write_file") == 2


def test_replace_takes_the_place_of_a_file(fs: FileSystem, area: str, put: Put) -> None:
    fs.replace(put("new", "new"), put("live", "old"))
    assert content(f"{area}/live") == "new"
    assert os.listdir(area) == ["live"]


def test_replace_leaves_no_second_name_of_one_file(fs: FileSystem, area: str, put: Put) -> None:
    fs.link(put("live", "same"), f"{area}/new")
    fs.replace(f"{area}/new", f"{area}/live")
    assert os.listdir(area) == ["live"]


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_take_moves_away_to_a_fresh_name_only(either: FileSystem, area: str, kind: str) -> None:
    live, taken = make(kind, f"{area}/live"), make(kind, f"{area}/taken")
    with pytest.raises(FileExistsError):
        either.take(f"{area}/live", f"{area}/taken")
    assert content(f"{area}/taken") == taken
    either.take(f"{area}/live", f"{area}/fresh")
    assert content(f"{area}/fresh") == live
    assert not os.path.lexists(f"{area}/live")


def test_names_with_newlines_and_odd_bytes_are_names(fs: FileSystem, area: str) -> None:
    odd = os.fsdecode(b"a \n\xff")
    fs.write_file(f"{area}/{odd}", b"content", 0o644)
    fs.place(f"{area}/{odd}", f"{area}/{odd}{odd}")
    assert os.listdir(area) == [odd + odd]


def test_a_name_with_a_null_byte_is_no_name(fs: FileSystem, area: str, put: Put) -> None:
    with pytest.raises(ValueError, match="null"):
        fs.place(put("new", "content"), f"{area}/live\0more")


def test_a_step_that_fails_comes_before_the_change(area: str, put: Put) -> None:
    new, live = put("new", "new"), put("live", "old")
    changes: list[tuple[str, Callable[[FileSystem], object]]] = [
        ("place", lambda fs: fs.place(new, f"{area}/free")),
        ("exchange", lambda fs: fs.exchange(new, live)),
        ("replace", lambda fs: fs.replace(new, live)),
        ("take", lambda fs: fs.take(live, f"{area}/free")),
        ("link", lambda fs: fs.link(new, f"{area}/free")),
        ("symlink", lambda fs: fs.symlink("text", f"{area}/free")),
        ("mkdir", lambda fs: fs.mkdir(f"{area}/free", 0o755)),
        ("rmdir", lambda fs: fs.rmdir(put("empty"))),
        ("unlink", lambda fs: fs.unlink(live)),
        ("chmod", lambda fs: fs.chmod(live, 0)),
        ("chown", lambda fs: fs.chown(live, 1, 1)),
        ("utime", lambda fs: fs.utime(live, 1)),
        ("set_xattr", lambda fs: fs.set_xattr(live, "user.a", b"1")),
        ("remove_xattr", lambda fs: fs.remove_xattr(live, "user.a")),
        ("copy_file", lambda fs: fs.copy_file(new, f"{area}/free", 0o644, 1)),
        ("clone_file", lambda fs: fs.clone_file(new, f"{area}/free", 0o644, 1)),
        ("write_file", lambda fs: fs.write_file(f"{area}/free", b"", 0o644)),
        ("fill", lambda fs: fs.write_file(f"{area}/free", b"", 0o644)),
        ("flush", lambda fs: fs.flush(live)),
        ("unlink", lambda fs: fs.remove_tree(live)),
        ("rmdir", lambda fs: fs.remove_tree(put("empty"))),
    ]
    before = os.lstat(live)
    for operation, change in changes:
        with pytest.raises(OSError, match="made up"):
            change(Recorder(fail_at=operation))
        assert set(os.listdir(area)) <= {"new", "live", "empty"}
        now = os.lstat(live)
        assert (now.st_ino, now.st_mode, now.st_uid, now.st_mtime_ns, os.listxattr(live)) == (
            before.st_ino, before.st_mode, before.st_uid, before.st_mtime_ns, []
        )  # fmt: skip
