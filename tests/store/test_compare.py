from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.model.entry import Manifest
from shipway.store.compare import Difference, Measure, changed, compare, measure, strays
from shipway.store.link import LinkMode
from tests.fs.apart import Apart
from tests.store.trees import TIME, Sealer, lay

TREE: dict[str, str | bytes | None] = {
    "bin/run": "#!x",
    "bin/also": "-> run",
    "lib/p/a.py": "1",
    "lib/p/q/b.py": "22",
    "share/empty": None,
}


class Live:
    """A tree, and the manifest that was made of it."""

    def __init__(self, sealer: Sealer) -> None:
        self.root = lay(sealer.stage, TREE)
        self.manifest = sealer.scan().manifest

    def compare(self, *, quick: bool = True) -> list[Difference]:
        return compare(self.root, self.manifest, quick=quick)

    def problems(self, *, quick: bool = True) -> list[tuple[str, str]]:
        return [(each.path, each.problem) for each in self.compare(quick=quick)]


@pytest.fixture
def live(sealer: Sealer) -> Live:
    return Live(sealer)


def rewrite(path: str, content: str, mtime: int = TIME) -> None:
    Path(path).write_text(content)
    os.utime(path, ns=(mtime, mtime))


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_as_it_was_is_no_difference(live: Live, quick: bool) -> None:
    assert live.compare(quick=quick) == []


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: os.unlink(f"{root}/bin/run"), [("bin/run", "missing")]),
        (lambda root: os.unlink(f"{root}/bin/also"), [("bin/also", "missing")]),
        (lambda root: os.rmdir(f"{root}/share/empty"), [("share/empty", "missing")]),
        (
            lambda root: os.rename(f"{root}/bin", f"{root}/gone"),
            [(p, "missing") for p in ("bin", "bin/also", "bin/run")],
        ),
        (lambda root: rewrite(f"{root}/bin/run", "#!y", TIME + 1), [("bin/run", "modified")]),
        (lambda root: rewrite(f"{root}/bin/run", "#!x and more"), [("bin/run", "modified")]),
        (lambda root: rewrite(f"{root}/bin/run", "#!x", TIME + 1), []),
        (lambda root: os.chmod(f"{root}/bin/run", 0o4755), [("bin/run", "mode")]),
        (lambda root: os.chmod(f"{root}/lib/p", 0o700), [("lib/p", "mode")]),
        (lambda root: lay(root, {"bin/new": "1", "lib/p/q/c.py": "2"}), []),
    ],
    ids=["file", "link", "directory", "tree", "content", "size", "time alone", "mode", "directory's mode", "strays"],
)
def test_differences_are_told_by_path(
    live: Live, quick: bool, change: Callable[[str], object], expected: list[tuple[str, str]]
) -> None:
    change(live.root)
    assert live.problems(quick=quick) == expected


def test_content_that_changes_behind_size_and_time_is_found_by_reading_only(live: Live) -> None:
    rewrite(f"{live.root}/bin/run", "#!y")
    assert live.problems(quick=True) == []
    assert live.problems(quick=False) == [("bin/run", "modified")]


def test_another_kind_and_another_target_are_told_with_both(live: Live) -> None:
    os.unlink(f"{live.root}/bin/also")
    os.symlink("elsewhere", f"{live.root}/bin/also")
    os.unlink(f"{live.root}/bin/run")
    os.mkfifo(f"{live.root}/bin/run")
    os.unlink(f"{live.root}/lib/p/a.py")
    os.mkdir(f"{live.root}/lib/p/a.py")
    assert live.compare() == [
        Difference("bin/also", "target", "-> elsewhere, not run"),
        Difference("bin/run", "type", "is a special file, not a file"),
        Difference("lib/p/a.py", "type", "is a directory, not a file"),
    ]


def test_a_symlink_in_place_of_a_directory_is_told_but_followed(live: Live) -> None:
    os.rename(f"{live.root}/lib", f"{live.root}/lib64")
    os.symlink("lib64", f"{live.root}/lib")
    os.unlink(f"{live.root}/lib64/p/a.py")
    assert live.problems() == [("lib", "type"), ("lib/p/a.py", "missing")]


def test_a_file_in_place_of_a_directory_makes_all_in_it_missing(live: Live) -> None:
    os.rename(f"{live.root}/bin", f"{live.root}/x")
    Path(live.root, "bin").write_text("1")
    assert live.problems() == [("bin", "type"), ("bin/also", "missing"), ("bin/run", "missing")]


def test_metadata_alone_is_marked(live: Live) -> None:
    os.chmod(f"{live.root}/bin/run", 0o600)
    assert live.compare() == [Difference("bin/run", "mode", "0600, not 0644", metadata_only=True)]
    rewrite(f"{live.root}/bin/run", "longer")
    assert [each.metadata_only for each in live.compare()] == [True, False]


def test_attributes_that_were_lost_are_told(sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "1"})
    try:
        os.setxattr(f"{sealer.stage}/a", "user.x", b"1")
    except OSError as error:
        pytest.skip(f"no attributes here: {error.strerror}")
    manifest = sealer.scan().manifest
    os.setxattr(f"{sealer.stage}/a", "user.y", b"more is no harm")
    assert compare(sealer.stage, manifest, quick=True) == []
    os.removexattr(f"{sealer.stage}/a", "user.x")
    found = compare(sealer.stage, manifest, quick=True)
    assert found == [Difference("a", "mode", "without its extended attributes user.x")]


def derived(manifest: Manifest, *paths: str) -> Manifest:
    directories = dict(manifest.directories)
    for path in paths:
        parent, _, name = path.rpartition("/")
        entries = {**directories[parent].entries}
        entries[name] = entries[name]._replace(derived=True)
        directories[parent] = type(directories[parent])(entries, "")
    return Manifest(directories)


def test_derived_entries_are_never_a_difference(live: Live) -> None:
    manifest = derived(live.manifest, "lib/p/a.py", "lib/p/q/b.py")
    rewrite(f"{live.root}/lib/p/a.py", "anything", 0)
    os.unlink(f"{live.root}/lib/p/q/b.py")
    assert compare(live.root, manifest, quick=False) == []
    assert changed(live.root, manifest, "") == []


def test_a_file_that_may_not_be_read_is_taken_at_its_size_and_time(live: Live, apart: Apart) -> None:
    os.chmod(f"{live.root}/bin/run", 0)
    expected = [("bin/run", "mode")]
    assert apart.as_nobody(lambda: live.problems(quick=False)) == expected
    os.utime(f"{live.root}/bin/run", (1, 1))
    assert apart.as_nobody(lambda: live.problems(quick=False)) == [*expected, ("bin/run", "modified")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_files_are_compared_by_several_processes(sealer: Sealer, jobs: int) -> None:
    lay(sealer.stage, {f"d{n % 3}/{n}": str(n) for n in range(2000)})
    manifest = sealer.scan().manifest
    for n in range(0, 2000, 2):
        os.unlink(f"{sealer.stage}/d{n % 3}/{n}")
    found = compare(sealer.stage, manifest, quick=True, jobs=jobs)
    assert found == sorted(Difference(f"d{n % 3}/{n}", "missing") for n in range(0, 2000, 2))


# -- what was taken out ----------------------------------------------------------------------------------------------


def test_strays_are_what_neither_the_manifest_knows_nor_a_program_derived(live: Live) -> None:
    added = ["lib/p/new.py", "lib/p/dir/deep/x", "lib/p/q/__pycache__/notes.txt", "lib/p/alone.pyc"]
    by_programs = [
        "lib/p/a.pyc",
        "lib/p/__pycache__/a.cpython-311.pyc",
        "lib/p/q/__pycache__/gone.cpython-39.pyc",
        "lib/p/new.pyc",
    ]
    lay(live.root, dict.fromkeys([*added, *by_programs], "1"))
    lay(live.root, {"lib/p/void": None, "lib/p/link": "-> /", "outside": "1"})
    expected = sorted([*added, "lib/p/dir", "lib/p/dir/deep", "lib/p/void", "lib/p/link"])
    assert strays(f"{live.root}/lib/p", live.manifest, "lib/p") == expected
    assert strays(live.root, live.manifest, "") == sorted([*expected, "outside"])


def test_strays_can_be_asked_for_with_the_manifest_of_the_part(live: Live) -> None:
    lay(live.root, {"lib/p/q/new": "1"})
    assert strays(f"{live.root}/lib/p", live.manifest.subtree("lib/p"), "") == ["q/new"]


def test_what_has_become_a_directory_is_changed_and_its_content_goes_with_it(live: Live) -> None:
    os.unlink(f"{live.root}/bin/run")
    lay(live.root, {"bin/run/inside": "1"})
    assert strays(live.root, live.manifest, "") == []
    assert changed(live.root, live.manifest, "") == ["bin/run"]


def test_single_files_have_no_strays(live: Live) -> None:
    assert strays(f"{live.root}/bin/run", live.manifest, "bin/run") == []
    assert strays(f"{live.root}/bin/also", live.manifest, "bin/also") == []
    assert strays(f"{live.root}/not/there", live.manifest, "bin") == []


def test_changed_tells_content_not_modes_nor_what_is_missing(live: Live) -> None:
    rewrite(f"{live.root}/lib/p/a.py", "2", TIME + 1)
    rewrite(f"{live.root}/lib/p/q/b.py", "22", TIME + 1)
    os.chmod(f"{live.root}/lib/p/q", 0o700)
    os.unlink(f"{live.root}/bin/also")
    assert changed(live.root, live.manifest, "") == ["lib/p/a.py"]
    assert changed(f"{live.root}/lib/p", live.manifest, "lib/p") == ["lib/p/a.py"]
    assert changed(f"{live.root}/lib/p/a.py", live.manifest, "lib/p/a.py") == ["lib/p/a.py"]
    assert changed(f"{live.root}/lib/p/q", live.manifest, "lib/p/q") == []
    assert changed(f"{live.root}/bin/also", live.manifest, "bin/also") == []


# -- room ------------------------------------------------------------------------------------------------------------


def test_each_inode_is_measured_once_whatever_names_it_has(sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "1" * 10_000, "d/b": "2" * 10_000, "l": "-> a"})
    alone = measure(sealer.stage)
    assert alone.inodes == 5
    assert alone.bytes >= 20_000
    manifest = sealer.seal("copy").manifest
    sealer.link_out(manifest, LinkMode.HARDLINK)
    image, live, both = measure(sealer.image), measure(sealer.out), measure(sealer.image, sealer.out)
    assert both.inodes == image.inodes + live.inodes - 2
    assert both.bytes < image.bytes + live.bytes
    assert measure(f"{sealer.stage}/a").inodes == 1
    assert measure(f"{sealer.stage}/gone") == Measure(0, 0)
