"""Eight processes that commit at once into one prefix: every one succeeds or is told, and the record is true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import make_tree, open_prefix, package, snapshot

EIGHT = 8


def all_at_once(root: Path, stages: list[Path], names: list[str]) -> list[int]:
    """Merge each stage in a process of its own; exit codes: 0, or what the error says."""
    ready, go = os.pipe()
    pids = []
    for number, (stage, name) in enumerate(zip(stages, names, strict=True)):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(ready, 1)
            os._exit(_merge(root, stage, name, str(number)))
        pids.append(pid)
    os.close(ready)
    os.close(go)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def _merge(root: Path, stage: Path, name: str, version: str) -> int:
    try:
        with open_prefix(root) as prefix:
            prefix.merge(package(stage, version, name))
    except Exception as error:
        os.write(2, f"{type(error).__name__}: {error} {getattr(error, 'details', '')}\n".encode())
        return int(getattr(error, "exit_code", 70))
    return 0


@pytest.mark.parametrize("content", ["equal", "differing"])
def test_eight_merges_of_the_same_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    files = [{f"lib/pkg/f{i}": "same" if content == "equal" else str(n) for i in range(20)} for n in range(EIGHT)]
    stages = [make_tree(tmp_path / f"s{n}", tree) for n, tree in enumerate(files)]
    codes = all_at_once(tmp_path / "p", stages, ["pkg"] * EIGHT)
    assert set(codes) <= {0, 4}
    with open_prefix(tmp_path / "p") as prefix:
        assert prefix.verify().ok
        assert len(prefix.packages()) == 1
        assert len(prefix.owners("lib/pkg/f0")) == 1
        history = prefix.history()
        assert all(past.changes[0].old != past.changes[0].new for past in history)
        assert len(history) == codes.count(0)
    contents = {entry[2] for entry in snapshot(tmp_path / "p").values() if entry[0] == "f"}
    assert len(contents) == 1, "files of two versions are mixed"


def test_eight_packages_that_share_directories_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    stages = [
        make_tree(tmp_path / f"s{n}", {"lib/shared": "same", f"lib/own{n}/a": "1", f"bin/tool{n}": "1"})
        for n in range(EIGHT)
    ]
    names = [f"pkg{n}" for n in range(EIGHT)]
    assert all_at_once(tmp_path / "p", stages, names) == [0] * EIGHT
    with open_prefix(tmp_path / "p") as prefix:
        assert prefix.verify().ok
        assert sorted(p.package.name for p in prefix.packages()) == names
        assert len(prefix.owners("lib/shared")) == EIGHT
        for name in names:
            prefix.remove([name])
    assert snapshot(tmp_path / "p") == {}
