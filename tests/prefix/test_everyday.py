"""What a person does with a prefix: install, upgrade, remove, undo, repair; and what became of their own files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shipway.api import Policy, Prefix
from shipway.errors import ConflictError, CorruptError, ShipwayError
from shipway.fs.system import FileSystem
from tests.harness import OPTIONS, make_tree, open_prefix, package, snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "prefix").mkdir()
    return tmp_path / "prefix"


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    count = iter(range(100))
    return lambda files: make_tree(tmp_path / f"stage{next(count)}", files)


Stage = Callable[[dict[str, str]], Path]


def texts(root: Path) -> dict[str, str]:
    return {path: text for path, (kind, _, text) in snapshot(root).items() if kind != "d"}


def test_files_of_the_old_version_alone_go_with_an_upgrade(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1", "lib/b": "1"}), "1"))
        prefix.merge(package(stage({"lib/a": "2", "lib/c": "2"}), "2"))
    assert texts(root) == {"lib/a": "2", "lib/c": "2"}


def test_a_taken_tree_is_gone_after_success_and_there_after_a_conflict(root: Path, stage: Stage) -> None:
    first, second = stage({"lib/a": "1"}), stage({"lib/a": "2"})
    with open_prefix(root) as prefix:
        prefix.merge(package(first, "1", "one", move=True))
        assert not first.exists()
        with pytest.raises(ConflictError):
            prefix.merge(package(second, "1", "two", move=True))
    assert (second / "lib/a").read_text() == "2"


def test_conflicts_are_listed_with_their_owners_before_anything_is_touched(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"bin/a": "1", "bin/b": "1"}), "1", "one"))
        before = snapshot(root)
        with pytest.raises(ConflictError) as refused:
            prefix.merge(package(stage({"bin/a": "2", "bin/b": "2", "bin/c": "2"}), "1", "two"))
        assert [line.split(":")[0] for line in refused.value.details] == ["bin/a", "bin/b"]
        assert "pkg:generic/one" in refused.value.details[0]
    assert snapshot(root) == before


def test_backup_gives_back_what_was_there_when_the_package_goes(root: Path, stage: Stage) -> None:
    make_tree(root, {"bin/tool": "user's own"})
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"bin/tool": "1"}), "1"), Policy.BACKUP)
        assert texts(root) == {"bin/tool": "1"}
        prefix.gc(keep=0)
        prefix.remove(["pkg"])
    assert texts(root) == {"bin/tool": "user's own"}


def test_overwrite_of_another_package_gives_way_when_it_goes(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"bin/x": "one"}), "1", "one"))
        prefix.merge(package(stage({"bin/x": "two"}), "1", "two"), Policy.OVERWRITE)
        assert [(o.package.name, o.shows) for o in prefix.owners("bin/x")] == [("one", False), ("two", True)]
        assert prefix.verify().ok
        prefix.remove(["two"])
        assert texts(root) == {"bin/x": "one"}
        assert prefix.verify().ok


def test_undo_of_an_overwrite_brings_back_what_nobody_owned_and_redo_takes_it_again(root: Path, stage: Stage) -> None:
    make_tree(root, {"bin/tool": "user's own"})
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"bin/tool": "1"}), "1"), Policy.OVERWRITE)
        prefix.undo()
        assert texts(root) == {"bin/tool": "user's own"}
        prefix.undo(redo=True)
        assert texts(root) == {"bin/tool": "1"}
        prefix.undo()
        assert texts(root) == {"bin/tool": "user's own"}


def test_undo_goes_further_back_each_time_and_says_when_there_is_nothing(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        for version in ("1", "2", "3"):
            prefix.merge(package(stage({"lib/v": version}), version))
        for version in ("2", "1"):
            prefix.undo()
            assert texts(root) == {"lib/v": version}
        prefix.undo()
        assert texts(root) == {}
        with pytest.raises(ConflictError, match="nothing to undo"):
            prefix.undo()
        for version in ("1", "2", "3"):
            prefix.undo(redo=True)
            assert texts(root) == {"lib/v": version}


def test_undo_of_an_earlier_transaction_is_refused_with_the_later_one_in_the_way(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1"}), "1", "one"))
        prefix.merge(package(stage({"lib/b": "1"}), "1", "two"))
        prefix.merge(package(stage({"lib/a": "2"}), "2", "one"))
        with pytest.raises(ConflictError) as refused:
            prefix.undo(1)
        assert "transaction 3" in refused.value.details[0]
        prefix.undo(2)
        assert texts(root) == {"lib/a": "2"}


def test_a_file_that_its_user_changed_is_kept_in_the_undo_area_and_comes_back_with_undo(
    root: Path, stage: Stage
) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"share/a": "1", "share/b": "1"}), "1"))
        replace_file(root / "share/a", "edited")
        _, outcome = prefix.merge(package(stage({"share/a": "2", "share/b": "2"}), "2"))
        assert [note.path for note in outcome.notes if note.kind == "changed"] == ["share/a"]
        assert texts(root) == {"share/a": "2", "share/b": "2"}
        prefix.undo()
        assert texts(root) == {"share/a": "edited", "share/b": "1"}


def test_configuration_stays_with_its_user_through_upgrades_and_removal(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"etc/a.conf": "1", "bin/x": "1"}), "1"))
        replace_file(root / "etc/a.conf", "mine")
        prefix.merge(package(stage({"etc/a.conf": "2", "bin/x": "2"}), "2"))
        assert texts(root) == {"etc/a.conf": "mine", "etc/a.conf.new": "2", "bin/x": "2"}
        assert prefix.verify().ok
        assert [o.package.name for o in prefix.owners("etc/a.conf.new")] == ["pkg"]
        prefix.merge(package(stage({"etc/a.conf": "2", "bin/x": "3"}), "3"))
        assert texts(root) == {"etc/a.conf": "mine", "etc/a.conf.new": "2", "bin/x": "3"}
        prefix.remove(["pkg"])
        assert texts(root) == {"etc/a.conf": "mine"}
        prefix.undo()
        assert texts(root)["etc/a.conf"] == "mine"


def test_configuration_is_copied_so_that_an_editor_cannot_reach_the_image(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"etc/a.conf": "1", "lib/x": "1"}), "1"))
    assert (root / "etc/a.conf").stat().st_nlink == 1


def test_verify_names_what_is_wrong_and_repair_mends_it(root: Path, stage: Stage) -> None:
    files = {f"lib/{name}": name for name in ("missing", "modified", "typed", "good")} | {"lib/link": "-> good"}
    with open_prefix(root) as prefix:
        prefix.merge(package(stage(files), "1"))
        (root / "lib/missing").unlink()
        replace_file(root / "lib/modified", "other text")
        (root / "lib/typed").unlink()
        (root / "lib/typed").symlink_to("good")
        (root / "lib/link").unlink()
        (root / "lib/link").symlink_to("bad")
        found = {problem.path.removeprefix("lib/"): problem.problem for problem in prefix.verify().problems}
        assert found == {"missing": "missing", "modified": "modified", "typed": "type", "link": "target"}
        prefix.repair()
        assert prefix.verify().ok
        prefix.undo()
        assert (root / "lib/modified").read_text() == "other text"


def test_an_image_damaged_through_a_hard_link_is_never_used_as_a_source(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1", "lib/b": "1"}), "1"))
        with (root / "lib/a").open("a") as live:
            live.write("written in place, through the link that live tree and image share")
        assert [p.problem for p in prefix.verify().problems] == ["modified"]
        with pytest.raises(CorruptError, match="image damaged"):
            prefix.repair()
        prefix.merge(package(stage({"lib/a": "1", "lib/b": "1"}), "1"))
        prefix.repair()
        assert prefix.verify().ok


def test_somebodys_chmod_is_a_change_of_metadata_that_can_be_accepted(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1", "lib/b": "1"}), "1"))
        (root / "lib/a").chmod(0o664)
        (problem,) = prefix.verify().problems
        assert (problem.problem, problem.metadata_only) == ("mode", True)
        prefix.accept()
        assert prefix.verify().ok
        prefix.undo()
        assert not prefix.verify().ok


def test_a_chmod_of_the_whole_tree_does_not_make_the_images_useless(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1", "lib/b": "1"}), "1"))
        prefix.merge(package(stage({"lib/a": "2", "lib/b": "2"}), "2"))
        for name in ("a", "b"):
            (root / "lib" / name).chmod(0o664)
        prefix.undo()
        prefix.undo(redo=True)
        assert prefix.verify().ok


def test_detached_packages_leave_their_files(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1"}), "1"))
        prefix.detach(["pkg"])
        assert prefix.packages() == []
        assert texts(root) == {"lib/a": "1"}
        prefix.undo()
        assert [p.package.name for p in prefix.packages()] == ["pkg"]


def test_several_packages_are_one_transaction_or_nothing(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        one = prefix.seal(str(stage({"lib/a": "1"})), name="one", version="1", python="")
        two = prefix.seal(str(stage({"lib/a": "2"})), name="two", version="1", python="")
        tx = prefix.transaction()
        tx.install(one)
        tx.install(two)
        with pytest.raises(ConflictError):
            tx.commit()
        assert texts(root) == {} and prefix.packages() == []


def test_a_live_symlink_to_a_directory_is_followed_so_that_no_file_has_two_names(root: Path, stage: Stage) -> None:
    make_tree(root, {"lib/": "", "lib64": "-> lib"})
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib64/libz.so": "1"}), "1"))
        assert [path for path, entry in prefix.files("pkg") if entry.kind == "f"] == ["lib/libz.so"]
        assert prefix.owners("lib64/libz.so")[0].package.name == "pkg"
        prefix.remove(["pkg"])
    assert snapshot(root) == {"lib": ("d", (root / "lib").stat().st_mode & 0o7777, ""), "lib64": ("l", 0, "lib")}


def test_a_live_symlink_that_leads_out_of_the_prefix_is_a_conflict(root: Path, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "lib").symlink_to(tmp_path / "elsewhere")
    with open_prefix(root) as prefix, pytest.raises(ConflictError, match="symlinks"):
        prefix.merge(package(stage({"lib/a": "1"}), "1"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_becomes_a_directory_and_back(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/x": "1", "lib/y/z": "1"}), "1"))
        prefix.merge(package(stage({"lib/x/deep": "2", "lib/y": "2"}), "2"))
        assert texts(root) == {"lib/x/deep": "2", "lib/y": "2"}
        prefix.undo()
        assert texts(root) == {"lib/x": "1", "lib/y/z": "1"}


def test_gc_takes_the_way_back_and_the_images_with_it(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/a": "1"}), "1"))
        prefix.merge(package(stage({"lib/a": "2"}), "2"))
    with open_prefix(root) as prefix:
        collected = prefix.gc(keep=0)
        assert len(collected.images) == 1
        with pytest.raises(ConflictError, match="horizon"):
            prefix.undo()
        assert prefix.verify().ok


def test_the_undo_horizon_is_kept_by_itself(root: Path, stage: Stage) -> None:
    with Prefix(str(root), options=OPTIONS._replace(keep=2)) as prefix:
        for version in "12345":
            prefix.merge(package(stage({"lib/a": version}), version))
        kept = [past.row.id for past in prefix.history() if past.row.undo != "collected"]
        assert kept == [5, 4]


def test_names_with_blanks_newlines_and_bytes_that_are_not_utf8(root: Path, stage: Stage) -> None:
    tree = stage({"share/a b/new\nline": "1"})
    odd = os.fsdecode(b"share/\xff\xfe")
    (tree / odd).write_text("2")
    with open_prefix(root) as prefix:
        prefix.merge(package(tree, "1"))
        assert (root / odd).read_text() == "2"
        assert prefix.owners(odd)[0].package.name == "pkg"
        assert prefix.verify().ok
        prefix.remove(["pkg"])
    assert texts(root) == {}


def test_setuid_is_in_the_live_tree_alone(root: Path, stage: Stage) -> None:
    tree = stage({"bin/su": "1", "lib/x": "1"})
    (tree / "bin/su").chmod(0o4755)
    with open_prefix(root) as prefix:
        prefix.merge(package(tree, "1"))
        assert (root / "bin/su").stat().st_mode & 0o7777 == 0o4755
        assert prefix.verify().ok
        prefix.remove(["pkg"])
    state = root / "var/lib/shipway"
    holes = [p for p in state.rglob("*") if not p.is_symlink() and p.is_file() and p.stat().st_mode & 0o6000]
    assert holes == []


def test_the_umask_has_no_say(root: Path, stage: Stage) -> None:
    before = os.umask(0o077)
    try:
        with open_prefix(root) as prefix:
            prefix.merge(package(stage({"bin/x": "1", "share/d/y": "1"}), "1"))
            assert prefix.verify().ok or prefix.verify().problems[0].path in ("bin", "share")
    finally:
        os.umask(before)
    assert (root / "bin/x").stat().st_mode & 0o777 == 0o755


def test_a_setgid_directory_passes_its_group_on(root: Path, stage: Stage) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to any group")
    (root / "lib").mkdir()
    os.chown(root / "lib", -1, 12345)
    (root / "lib").chmod(0o2775)
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"lib/pkg/sub/a": "1", "lib/b": "1"}), "1"))
        assert prefix.verify().ok
    for path in ("lib/pkg", "lib/pkg/sub", "lib/pkg/sub/a", "lib/b"):
        assert (root / path).stat().st_gid == 12345
    assert (root / "lib/pkg/sub").stat().st_mode & 0o2000


class MeddlingFileSystem(FileSystem):
    """Lets somebody else act just before a given kind of change happens, once."""

    def __init__(self, operation: str, act: Callable[[], None]) -> None:
        super().__init__()
        self._operation = operation
        self._act: Callable[[], None] | None = act
        self.live = ""

    def step(self, operation: str, path: str) -> None:
        if operation == self._operation and path.startswith(self.live) and self._act is not None:
            act, self._act = self._act, None
            act()


def test_what_a_program_writes_while_its_directory_is_swapped_comes_back(root: Path, stage: Stage) -> None:
    old = {"lib/pkg/a": "1", "lib/pkg/b": "1", "lib/pkg/sub/c": "1"}
    with open_prefix(root) as prefix:
        prefix.merge(package(stage(old), "1"))

    def meddle() -> None:
        (root / "lib/pkg/new.log").write_text("written in between")
        (root / "lib/pkg/sub/clash").write_text("mine")

    fs = MeddlingFileSystem("exchange", meddle)
    fs.live = str(root / "lib/pkg")
    with open_prefix(root, fs) as prefix:
        new = {"lib/pkg/a": "2", "lib/pkg/b": "2", "lib/pkg/sub/clash": "package's"}
        _, outcome = prefix.merge(package(stage(new), "2"))
        assert sorted(note.path for note in outcome.notes if note.kind == "stray") == [
            "lib/pkg/new.log",
            "lib/pkg/sub/clash",
        ]
    assert (root / "lib/pkg/new.log").read_text() == "written in between"
    assert (root / "lib/pkg/sub/clash").read_text() == "package's"
    lost = root / "var/lib/shipway/lost+found/2/lib/pkg/sub/clash"
    assert lost.read_text() == "mine"


def test_a_file_that_appears_where_a_new_one_goes_makes_the_commit_go_back(root: Path, stage: Stage) -> None:
    make_tree(root, {"lib/": "", "bin/": ""})
    fs = MeddlingFileSystem("place", partial(write, root / "lib/b", "somebody's"))
    fs.live = str(root / "lib/b")
    with open_prefix(root, fs) as prefix:
        with pytest.raises(ShipwayError, match="taken back"):
            prefix.merge(package(stage({"lib/a": "1", "lib/b": "1", "bin/c": "1"}), "1"))
        assert texts(root) == {"lib/b": "somebody's"}
        assert prefix.packages() == []
        (past,) = prefix.history()
        assert past.row.state == "undone"


def test_bytecode_of_a_late_importer_never_stops_a_commit(root: Path, stage: Stage) -> None:
    """The seed: somebody else writes the .pyc that the package brings too."""
    make_tree(root, {"lib/": "", "lib/__pycache__/": "", "lib/keep.py": "x"})
    cached = root / "lib/__pycache__/m.cpython-311.pyc"
    fs = MeddlingFileSystem("place", partial(write, cached, "an importer's"))
    fs.live = str(root / "lib")
    with open_prefix(root, fs) as prefix:
        prefix.merge(package(stage({"lib/m.py": "1"}), "1"))
        prefix.remove(["pkg"])
    assert not cached.exists()
    assert texts(root) == {"lib/keep.py": "x"}


def write(path: Path, text: str) -> None:
    path.write_text(text)


def replace_file(path: Path, text: str) -> None:
    """As editors do: a new file under the old name."""
    beside = path.with_name(path.name + "~")
    beside.write_text(text)
    beside.chmod(path.stat().st_mode & 0o7777)
    beside.replace(path)


def test_a_changed_file_in_a_removed_directory_is_told_and_comes_back_with_undo(root: Path, stage: Stage) -> None:
    with open_prefix(root) as prefix:
        prefix.merge(package(stage({"share/a/x": "1", "share/a/y": "1"}), "1"))
        replace_file(root / "share/a/x", "edited")
        outcome = prefix.remove(["pkg"])
        assert outcome.units == 1
        assert [note.path for note in outcome.notes if note.kind == "changed"] == ["share/a/x"]
        prefix.undo()
        assert texts(root) == {"share/a/x": "edited", "share/a/y": "1"}
