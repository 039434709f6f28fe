"""Somebody takes hold of the record at the k-th step of a transaction, for every k: old or new, told truly, and healed when he is gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from shipway.api import Options, Prefix
from shipway.errors import LockedError
from tests.crash.test_transaction_crash import KINDS, check_whole, make_trees
from tests.harness import FaultyFileSystem, fail, open_prefix, snapshot, versions
from tests.record import Holder


class Meddling(FaultyFileSystem):
    """Lets somebody hold the record from the k-th step on; where it is just being written, as soon as that is over."""

    def __init__(self, at: int, holder: Holder) -> None:
        super().__init__(at, fail)
        self.holder = holder

    def step(self, operation: str, path: str) -> None:
        self.count += 1
        if self.count == self.at and os.path.exists(self.holder.path):
            self.holder.start()
            if operation != "database":
                self.holder.await_held()


@pytest.mark.parametrize("kind", ["install by move", "upgrade with swap", "undo an upgrade", "gc"])
def test_held_from_any_step_on_it_is_old_or_new_and_the_message_says_which(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AT_LEAST", "_ATTEMPT"):
        monkeypatch.setattr(f"shipway.prefix.connection.{name}", 0.01)
    prepare, act = KINDS[kind]
    start, goal = tmp_path / "start", tmp_path / "goal"
    prepare(start, make_trees(tmp_path / "trees"))
    shutil.copytree(start, goal, symlinks=True)
    counting = FaultyFileSystem(0, fail)
    with open_prefix(goal, counting) as prefix:
        act(prefix, make_trees(tmp_path / "goal trees"))
    allowed = [(versions(root), snapshot(root)) for root in (start, goal)]
    refused = finished = 0
    for k in range(1, counting.count + 1):
        root, trees = tmp_path / f"p{k}", make_trees(tmp_path / f"t{k}")
        shutil.copytree(start, root, symlinks=True)
        told, stands = "", False
        with Holder(root) as holder:
            try:
                with Prefix(str(root), options=Options(jobs=1, wait=0), fs=Meddling(k, holder)) as prefix:
                    act(prefix, trees)
                finished += 1
                stands = True
            except LockedError as error:
                told, refused = error.message, refused + 1
                stands = "is committed" in told
        assert not told or f"process {holder.pid} " in told
        check_whole(root, allowed)
        if kind != "gc":
            assert versions(root) == allowed[stands][0]
            assert stands or (trees / "old").exists(), "a tree was lost"
        shutil.rmtree(root)
        shutil.rmtree(trees)
    assert refused > 3
    assert finished
