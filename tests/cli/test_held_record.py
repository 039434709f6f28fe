"""Somebody holds the record: questions are answered where they can be, all else says for whom it waits."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.cli.shop import Shop
from tests.cli.test_signals import line_of, running, upgrade
from tests.prefix.test_held_record import half_written
from tests.record import ALONE, Holder

BOUND = 20.0
"""Seconds in which an answer must come on a busy machine: nobody waits for who will not go."""


@pytest.fixture
def full(shop: Shop) -> Shop:
    shop.merge({"bin/x": "1"}, "gmp", "1")
    return shop


def test_who_may_wait_two_seconds_is_told_who_is_in_the_way_and_gets_4(full: Shop) -> None:
    started = time.monotonic()
    with Holder(full.root, stopped=True).take() as holder:
        ran = full.process("--wait", "2", *upgrade(full))
    assert time.monotonic() - started < BOUND
    assert (ran.returncode, ran.stdout) == (4, "")
    waiting, error, hint = ran.stderr.splitlines()
    assert waiting.startswith(f"waiting for the record of {full.root}, held by process {holder.pid} (")
    assert error.startswith(f"error: the record of {full.root} is locked by process {holder.pid} (")
    assert error.endswith("which is stopped")
    assert hint == f"hint: process {holder.pid} is stopped: kill -CONT {holder.pid} lets it go on"
    assert (full.root / "bin/x").read_text() == "1"
    assert full("--wait", "0", *upgrade(full)).code == 0


def test_who_waits_for_it_can_be_stopped_and_that_is_130(full: Shop) -> None:
    tree = full.stage({"bin/x": "2"})
    with (
        Holder(full.root).take(),
        running(full, "merge", str(tree), "--name", "gmp", "--version", "2", "--move") as process,
    ):
        line_of(process.stderr)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "error: interrupted; nothing was changed\n")
    assert (tree / "bin/x").read_text() == "2"
    assert os.listdir(full.root / "var/lib/shipway/work") == []


@pytest.mark.parametrize("span", ["all", "shared"])
def test_questions_are_answered_while_somebody_reads_for_ever_and_another_waits_to_write(full: Shop, span: str) -> None:
    with Holder(full.root, span).take() as holder, running(full, *upgrade(full)) as process:
        assert f"process {holder.pid} " in line_of(process.stderr)
        for question in (["list"], ["show", "gmp"], ["history"], ["verify"], ["exec", "true"]):
            ran = full.process("--wait", "10", *question)
            assert ran.returncode == 0, ran.stderr
        holder.leave()
        assert process.wait() == 0
    assert (full.root / "bin/x").read_text() == "2"


def test_where_nobody_may_read_a_question_waits_and_names_who_is_in_the_way(full: Shop) -> None:
    with Holder(full.root, kind=ALONE).take() as holder:
        ran = full.process("--wait", "0", "list")
    assert ran.returncode == 4
    assert f"is locked by process {holder.pid} (" in ran.stderr


def test_over_what_a_dead_writer_left_a_question_is_answered_from_a_copy(full: Shop) -> None:
    before = full("list", "--json").json
    half_written(full.root)
    with Holder(full.root, "shared").take() as holder:
        assert full("list", "--json").json == before
        refused = full.process("--wait", "0", *upgrade(full))
        assert (refused.returncode, f"process {holder.pid} " in refused.stderr) == (4, True)
    assert full("verify").code == 0
    assert full(*upgrade(full)).code == 0
