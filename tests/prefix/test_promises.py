"""Promises that nothing else would notice to be broken: order of durable steps, what undo areas hold, readers' view."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import shipway
from shipway.api import Policy, Prefix
from shipway.errors import ConflictError, ShipwayError
from shipway.fs.system import FileSystem, RenameMode
from shipway.prefix.commit import Committer
from shipway.prefix.layout import Layout
from shipway.prefix.records import State
from shipway.prefix.rescue import pin
from shipway.prefix.session import Session, sweep
from shipway.prefix.stage import Stager
from tests.harness import OPTIONS, FaultyFileSystem, fail, make_tree, open_prefix, package, snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    return tmp_path / "prefix"


def merged(root: Path, tree: Path, version: str, fs: FileSystem | None = None) -> None:
    with open_prefix(root, fs) as prefix:
        prefix.merge(package(tree, version))


def test_content_is_synced_before_the_commit_point_and_renames_before_done(root: Path, tmp_path: Path) -> None:
    """I1, I3: without either sync a power cut loses what the record says is there."""
    for version in ("1", "2"):
        fs = FaultyFileSystem(0, fail)
        merged(root, make_tree(tmp_path / version, {"lib/a": version, "lib/b": version}), version, fs)
        log = [line.split(" ", 1) for line in fs.log]
        syncs = [number for number, (what, _) in enumerate(log) if what == "sync"]
        point = fs.log.index("database commit point")
        staged = max(n for n, (what, path) in enumerate(log[:point]) if what in ("link", "mkdir") and "/work/" in path)
        renames = [n for n, (what, p) in enumerate(log) if what in ("place", "exchange") and p == str(root / "lib")]
        assert any(staged < number < point for number in syncs)
        assert renames and min(renames) > point
        assert any(max(renames) < number < fs.log.index("database done") for number in syncs)


def test_where_syncfs_cannot_be_relied_on_every_file_is_synced(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipway.prefix.site.syncfs_reports_errors", lambda path: False)
    fs = FaultyFileSystem(0, fail)
    merged(root, make_tree(tmp_path / "s", {"lib/a": "1", "lib/sub/b": "1"}), "1", fs)
    point = fs.log.index("database commit point")
    flushed = [line for line in fs.log[:point] if line.startswith("flush")]
    assert sum(line.endswith("/a") for line in flushed) >= 1
    assert sum(line.endswith("/sub/b") for line in flushed) >= 1
    assert f"flush {root}" in fs.log[point:]


def test_no_path_that_both_versions_have_is_ever_absent_or_mixed(root: Path, tmp_path: Path) -> None:
    """I2: a reader looks all the time while the package is upgraded to and fro, as one directory and file by file."""
    names = [f"lib/pkg/f{i}" for i in range(8)]
    trees = {v: make_tree(tmp_path / v, {n: v * 2000 for n in names}) for v in ("1", "2")}
    merged(root, trees["1"], "1")
    for mode in (RenameMode.AUTO, RenameMode.FALLBACK):
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(root), *names], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        for n in range(12):
            version = "21"[n % 2]
            merged(root, trees[version], version, FileSystem(mode))
        answer, _ = reader.communicate("stop\n")
        reads, wrong = answer.split("\n")[:2]
        assert int(reads) > 100
        assert wrong == "[]"


READER = """
import os, select, sys
root, names, wrong, reads = sys.argv[1], sys.argv[2:], [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for name in names:
        try:
            with open(f"{root}/{name}") as file:
                text = file.read()
            if text not in ("1" * 2000, "2" * 2000):
                wrong.append((name, text[:9]))
        except FileNotFoundError:
            wrong.append((name, "absent"))
        reads += 1
print(reads)
print(wrong[:5])
"""


def test_the_naive_way_fails_the_same_reader(root: Path, tmp_path: Path) -> None:
    """The twin of the test above: `cp -Rp` over the old version, and removal first, as a distribution does it."""
    names = [f"lib/pkg/f{i}" for i in range(8)]
    trees = {v: make_tree(tmp_path / v, {n: v * 2000 for n in names}) for v in ("1", "2")}
    subprocess.run(["cp", "-Rp", f"{trees['1']}/.", str(root)], check=True)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(root), *names], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    for n in range(60):
        subprocess.run(["rm", "-rf", f"{root}/lib/pkg"], check=True)
        subprocess.run(["cp", "-Rp", f"{trees['21'[n % 2]]}/.", str(root)], check=True)
    answer, _ = reader.communicate("stop\n")
    assert answer.split("\n")[1] != "[]"


def test_images_of_what_can_be_undone_survive_gc(root: Path, tmp_path: Path) -> None:
    """I4."""
    for version in ("1", "2"):
        merged(root, make_tree(tmp_path / version, {"lib/a": version, "lib/b": version}), version)
    with open_prefix(root) as prefix:
        prefix.gc()
    with open_prefix(root) as prefix:
        prefix.undo()
    assert (root / "lib/a").read_text() == "1"


def test_accepted_metadata_holds_until_the_file_changes(root: Path, tmp_path: Path) -> None:
    merged(root, make_tree(tmp_path / "1", {"lib/a": "1", "lib/b": "1", "lib/d/c": "1", "lib/d/e": "1"}), "1")
    (root / "lib/stray").write_text("keeps lib from going as one")
    for name in ("lib/a", "lib/b", "lib/d/c"):
        (root / name).chmod(0o664)
    with open_prefix(root) as prefix:
        prefix.accept()
        assert prefix.verify().ok
        new = make_tree(tmp_path / "2", {"lib/a": "2", "lib/b": "1", "lib/d/c": "2", "lib/d/e": "2"})
        prefix.merge(package(new, "2"))
        assert prefix.verify().ok
    assert (root / "lib/a").stat().st_mode & 0o777 == 0o644
    assert (root / "lib/b").stat().st_mode & 0o777 == 0o664


def test_configuration_that_its_user_edits_again_is_his(root: Path, tmp_path: Path) -> None:
    merged(root, make_tree(tmp_path / "1", {"etc/a.conf": "1", "bin/x": "1"}), "1")
    for text in ("mine", "mine again"):
        (root / "etc/a.conf").write_text(text)
        with open_prefix(root) as prefix:
            prefix.merge(package(make_tree(tmp_path / text, {"etc/a.conf": text * 2, "bin/x": text}), text[-5:]))
            (root / "etc/a.conf").write_text(text + "!")
            assert prefix.verify().ok
            prefix.repair()
        assert (root / "etc/a.conf").read_text() == text + "!"


def test_repair_leaves_configuration_and_directory_modes_to_their_user_and_mends_the_rest(
    root: Path, tmp_path: Path
) -> None:
    merged(root, make_tree(tmp_path / "1", {"etc/a.conf": "1", "lib/x": "1", "share/y": "1"}), "1")
    (root / "etc/a.conf").write_text("mine")
    (root / "share").chmod(0o700)
    (root / "lib/x").unlink()
    with open_prefix(root) as prefix:
        outcome = prefix.repair()
    assert {(note.kind, note.path) for note in outcome.notes} == {
        ("kept", "etc/a.conf"), ("left", "share"), ("repaired", "lib/x"),
    }  # fmt: skip
    assert (root / "lib/x").read_text() == "1"
    assert (root / "etc/a.conf").read_text() == "mine"


def test_a_directory_that_cannot_be_swapped_keeps_its_mode_and_verify_agrees(root: Path, tmp_path: Path) -> None:
    merged(root, make_tree(tmp_path / "1", {"lib/d/a": "1", "lib/d/b": "1"}), "1")
    (root / "lib/d/stray").write_text("somebody's")
    new = make_tree(tmp_path / "2", {"lib/d/a": "2", "lib/d/b": "2"})
    (new / "lib/d").chmod(0o750)
    with open_prefix(root) as prefix:
        _, outcome = prefix.merge(package(new, "2"))
        assert [note.path for note in outcome.notes if note.kind == "mode"] == ["lib/d"]
        assert prefix.verify().ok
    assert (root / "lib/d").stat().st_mode & 0o777 == 0o755


def test_nothing_armed_stays_in_an_undo_area_and_nobody_else_can_look_into_one(root: Path, tmp_path: Path) -> None:
    """I11, file by file (a stray keeps the directory from being swapped) and with capabilities where they can be had."""
    old = make_tree(tmp_path / "1", {"bin/su": "1", "bin/ping": "1", "bin/x": "1"})
    (old / "bin/su").chmod(0o4755)
    if os.geteuid() == 0:
        os.setxattr(old / "bin/ping", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    merged(root, old, "1")
    (root / "bin/stray").write_text("somebody's")
    merged(root, make_tree(tmp_path / "2", {"bin/su": "2", "bin/ping": "2", "bin/x": "2"}), "2")
    undo = root / "var/lib/shipway/undo"
    assert undo.stat().st_mode & 0o077 == 0
    taken = [path for path in undo.rglob("*") if path.is_file()]
    assert len(taken) == 3
    assert not [path for path in taken if path.stat().st_mode & 0o6000 or os.listxattr(path)]


def test_a_commit_overtaken_again_and_again_holds_the_queue_and_wins(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: whoever was overtaken twice plans while others wait."""
    seen: list[bool] = []
    plain = Committer._round

    def overtaken(self: Committer, request: object, held: object, *, ticket: bool) -> object:
        seen.append(ticket)
        if len(seen) <= 2:
            version = f"1.{len(seen)}"
            monkeypatch.setattr(Committer, "_round", plain)
            merged(root, make_tree(tmp_path / version, {"lib/a": version}), version)
            monkeypatch.setattr(Committer, "_round", overtaken)
            return None
        return plain(self, request, held, ticket=ticket)  # type: ignore[arg-type]

    monkeypatch.setattr(Committer, "_round", overtaken)
    merged(root, make_tree(tmp_path / "s", {"lib/a": "mine"}), "2")
    assert seen == [False, False, True]
    assert (root / "lib/a").read_text() == "mine"


def test_what_somebody_else_took_away_since_the_plan_is_no_obstacle(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: upgrades at once wait for each other, whatever the first one does to files that the second wanted to retire."""
    trees = {v: make_tree(tmp_path / v, {"bin/tool": v, f"bin/only{v}": v}) for v in ("1", "2", "3")}
    make_tree(root, {"bin/neighbour": "not ours"})
    merged(root, trees["1"], "1")
    plain = Stager.stage

    def overtaken(self: Stager, *arguments: object) -> object:
        monkeypatch.setattr(Stager, "stage", plain)
        merged(root, trees["2"], "2")
        return plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Stager, "stage", overtaken)
    merged(root, trees["3"], "3")

    assert sorted(os.listdir(root / "bin")) == ["neighbour", "only3", "tool"]
    with open_prefix(root) as prefix:
        assert [p.package.version for p in prefix.packages()] == ["3"]


def test_a_session_that_is_just_being_born_is_not_swept(root: Path) -> None:
    """Its lock file is there but not yet held: whoever sweeps takes the lock first, and the newborn makes another."""
    with open_prefix(root) as prefix:
        layout = Layout(prefix.site.layout.root)
        Path(layout.session_lock("feed" * 4)).touch()
        sweep(prefix.site, frozenset())
        assert not os.path.exists(layout.session_lock("feed" * 4))
        with Session(prefix.site) as session:
            sweep(prefix.site, frozenset())
            assert os.path.isdir(session.area)


def test_a_commit_that_touches_shipway_itself_leaves_a_copy_that_can_recover(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: the copy runs on nothing but an interpreter."""
    tree = make_tree(tmp_path / "1", {"lib/shipway/old": "1"})
    monkeypatch.setattr(
        "shipway.prefix.rescue._own_paths", lambda prefix: ["lib/shipway/__init__.py"] if prefix == str(root) else []
    )
    merged(root, tree, "1")
    rescue = root / "var/lib/shipway/rescue"
    assert (rescue / "shipway/prefix/recover.py").read_bytes() == (
        Path(shipway.__file__).parent / "prefix/recover.py"
    ).read_bytes()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(rescue / "recover"), str(root)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "nothing to recover\n")
    with open_prefix(root) as prefix:
        assert not pin(prefix.site, ())


def test_a_prefix_whose_state_lies_on_another_mount_is_refused_before_anything_happens(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "1", {"lib/a": "1"})
    with open_prefix(root) as prefix:
        monkeypatch.setattr("shipway.prefix.stage.mount_points", lambda under: [f"{under}/var"])
        with pytest.raises(ShipwayError, match="as planned") as refused:
            prefix.merge(package(tree, "1"))
        assert "another file system" in refused.value.details[0]
        assert prefix.history() == []
    assert snapshot(root) == {}


def test_who_has_exclusive_files_gives_them_up_exclusively_too(root: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "1", {"lib/a": "1"})
    with Prefix(str(root), options=OPTIONS._replace(wait=0)) as prefix:
        prefix.merge(package(tree, "1")._replace(exclusive=True))
        plan = prefix.package("pkg")
        assert plan.exclusive


def test_undo_is_refused_where_somebody_put_a_file_since(root: Path, tmp_path: Path) -> None:
    merged(root, make_tree(tmp_path / "1", {"lib/a": "1", "lib/b": "1"}), "1")
    merged(root, make_tree(tmp_path / "2", {"lib/a": "2"}), "2")
    (root / "lib/b").write_text("somebody's")
    with open_prefix(root) as prefix:
        with pytest.raises(ConflictError):
            prefix.undo()
        prefix.undo(policy=Policy.BACKUP)
        assert (root / "lib/b").read_text() == "1"


@pytest.fixture(autouse=True)
def _no_umask_surprises() -> Callable[[], None]:
    os.umask(0o022)
    return lambda: None


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An ACL as the kernel keeps it (linux/posix_acl_xattr.h): tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY_IN_PARTICULAR = 0xFFFFFFFF
DEFAULT = acl(
    (0x01, 7, NOBODY_IN_PARTICULAR),
    (0x02, 7, 12345),
    (0x04, 5, NOBODY_IN_PARTICULAR),
    (0x10, 7, NOBODY_IN_PARTICULAR),
    (0x20, 5, NOBODY_IN_PARTICULAR),
)


def test_a_default_acl_of_the_destination_is_passed_on(root: Path, tmp_path: Path) -> None:
    """I1."""
    (root / "lib").mkdir()
    try:
        os.setxattr(root / "lib", "system.posix_acl_default", DEFAULT)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    merged(root, make_tree(tmp_path / "1", {"lib/pkg/sub/a": "1", "lib/b": "1"}), "1")
    for path in ("lib/pkg", "lib/pkg/sub", "lib/pkg/sub/a", "lib/b"):
        named = struct.pack("<HHI", 0x02, 7, 12345)
        assert named in os.getxattr(root / path, "system.posix_acl_access"), path
    assert os.getxattr(root / "lib/pkg/sub", "system.posix_acl_default") == DEFAULT


def test_without_an_exchange_a_change_of_kind_is_named_as_an_exception(root: Path, tmp_path: Path) -> None:
    """I2."""
    merged(root, make_tree(tmp_path / "1", {"lib/x": "1", "lib/y": "1"}), "1")
    with open_prefix(root, FileSystem(RenameMode.FALLBACK)) as prefix:
        _, outcome = prefix.merge(package(make_tree(tmp_path / "2", {"lib/x/deep": "2", "lib/y": "1"}), "2"))
        assert [note.path for note in outcome.notes if note.kind == "exception"] == ["lib/x"]
    assert (root / "lib/x/deep").read_text() == "2"


def test_a_directory_into_which_something_came_meanwhile_stays_and_is_told(root: Path, tmp_path: Path) -> None:
    """I9, where a directory has to be emptied first because it cannot be renamed."""
    merged(root, make_tree(tmp_path / "1", {"lib/a": "1", "lib/b": "1"}), "1")

    class Late(FileSystem):
        def can_move(self, source: str, full_directory: str) -> OSError | None:
            return OSError(18, "an overlay's lower layer") if source == str(root / "lib") else None

        def step(self, operation: str, path: str) -> None:
            if operation == "rmdir" and path == str(root / "lib"):
                (root / "lib/late").write_text("somebody's")

    with open_prefix(root, Late()) as prefix:
        outcome = prefix.remove(["pkg"])
        assert [note.path for note in outcome.notes if note.kind == "left"] == ["lib"]
    assert (root / "lib/late").read_text() == "somebody's"


def test_a_commit_over_one_that_nobody_has_synced_yet_syncs_first(root: Path, tmp_path: Path) -> None:
    """I3: on a file system without a journal the later rename could reach the disk alone."""
    merged(root, make_tree(tmp_path / "1", {"lib/a": "1", "lib/b": "1"}), "1")
    with open_prefix(root) as prefix:
        living = Session(prefix.site)
        database = prefix.site.database
        with database._db.writing("test") as handle:
            (row,) = database.transactions()
            database._put(handle, row._replace(state=State.APPLIED, token=living.token))
        fs = FaultyFileSystem(0, fail)
        merged(root, make_tree(tmp_path / "2", {"lib/a": "2", "lib/b": "2"}), "2", fs)
        point = fs.log.index("database commit point")
        prepared = fs.log.index("database prepare")
        assert any(line.startswith("sync") for line in fs.log[prepared:point])
        living.close()
