"""`shipway adopt`: what pip installed is taken over, and healed where it was damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.shop import Ran, command
from tests.installing.shop import Venv, false_records, run, tree
from tests.installing.test_strangers import OLD, doubled, empty_info, missing_files, no_record, tilde
from tests.installing.wheels import Wheel


@pytest.fixture
def theirs(venv: Venv) -> Venv:
    """An environment in which pip installed a project and a bystander."""
    venv.offer(OLD, Wheel("bystander"))
    venv.own_pip("install", "thing", "bystander")
    return venv


def asked(venv: Venv, *words: str) -> Ran:
    return run(command("-p", str(venv.root), *words), venv.wheels)


def listed(venv: Venv) -> list[str]:
    return [each["name"] for each in venv.shipway("--json", "list").json]


def test_a_project_is_taken_over_as_it_is_and_forgotten_by_undo(theirs: Venv) -> None:
    before = tree(theirs.root)
    ran = theirs.shipway("adopt", "Thing")
    assert "1 project taken over" in ran.out
    assert tree(theirs.root) == before and listed(theirs) == ["thing"]
    theirs.shipway("verify")
    assert "thing 1.0 is taken over already" in theirs.shipway("adopt", "thing").err
    theirs.shipway("undo")
    assert tree(theirs.root) == before and listed(theirs) == []


def test_all_of_them_are_taken_over_at_once(theirs: Venv) -> None:
    before = tree(theirs.root)
    would = theirs.shipway("--json", "adopt", "--all", "--dry-run").json
    assert would["transaction"] is None and [each["name"] for each in would["adopted"]] == ["bystander", "thing"]
    assert listed(theirs) == []
    told = theirs.shipway("--json", "adopt", "--all").json
    assert told["transaction"] == 1 and told["healed"] is None and told["refused"] == []
    assert told["adopted"][1] == {"name": "thing", "version": "1.0", "damage": [], "incurable": []}
    assert tree(theirs.root) == before and listed(theirs) == ["bystander", "thing"]
    assert "nothing is to be taken over" in theirs.shipway("adopt", "--all").out
    theirs.shipway("remove", "thing")
    assert theirs.projects() == ["bystander-1.0"]


@pytest.mark.parametrize("damage", [no_record, tilde, doubled])
def test_what_is_damaged_is_healed_and_can_be_undone(damage: Callable[[Venv], None], theirs: Venv) -> None:
    damage(theirs)
    before = tree(theirs.root)
    ran = theirs.shipway("adopt", "thing")
    assert "thing 1.0 is damaged: " in ran.err and "damage was mended" in ran.out
    assert theirs.projects() == ["bystander-1.0", "thing-1.0"]
    assert [path.name for path in theirs.site.iterdir() if path.name.startswith("~")] == []
    assert theirs.says("import thing; print(thing.VERSION)") == "1.0"
    assert false_records(theirs.site) == []
    theirs.shipway("verify")
    theirs.shipway("undo")
    assert tree(theirs.root) == before


def test_what_cannot_be_healed_is_said_with_what_mends_it(theirs: Venv) -> None:
    missing_files(theirs)
    ran = theirs.shipway("adopt", "thing")
    assert "not as its RECORD says: ../../../bin/thing, thing/only_1.py" in ran.err
    assert "install it again: shipway pip install --force-reinstall thing" in ran.err
    theirs.done("install", "--force-reinstall", "--no-deps", "thing")
    assert false_records(theirs.site) == []
    theirs.shipway("verify")


def test_what_has_lost_its_metadata_is_left_until_it_is_installed_again(theirs: Venv) -> None:
    empty_info(theirs)
    ran = asked(theirs, "adopt", "thing")
    assert ran.code == 1 and "thing 1.0 has lost its metadata; install it again" in ran.err
    assert "left alone: thing 1.0 has lost" in theirs.shipway("adopt", "--all").err and listed(theirs) == ["bystander"]
    theirs.done("install", "--force-reinstall", "--no-deps", "thing")
    assert false_records(theirs.site) == []
    theirs.shipway("verify")


def test_what_is_left_of_a_project_that_is_gone_goes_too(venv: Venv) -> None:
    tilde(venv)
    assert venv.shipway("--json", "adopt", "--all").json["healed"] == 2
    assert list(venv.site.iterdir()) == [] and listed(venv) == []
    venv.shipway("undo")
    assert (venv.site / "~hing/__init__.py").is_file()


def test_what_pip_did_to_ours_is_noticed_first(venv: Venv) -> None:
    venv.offer(OLD)
    venv.done("install", "thing")
    venv.own_pip("install", "--force-reinstall", "thing")
    ran = venv.shipway("adopt", "thing")
    assert "somebody else changed it" in ran.err and "1 project taken over" in ran.out
    venv.shipway("verify")


def test_a_name_that_is_not_there_is_refused_and_so_is_none(theirs: Venv) -> None:
    ran = asked(theirs, "adopt", "thing", "nothing")
    assert (ran.code, listed(theirs)) == (1, []) and "nothing is not installed in" in ran.err
    assert asked(theirs, "adopt").code == 2
    assert asked(theirs, "adopt", "--all", "thing").code == 2
