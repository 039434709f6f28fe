"""The record by itself: what the commit point checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.model.facts import INSTALLED, FactChange
from shipway.prefix.database import Database, StaleError
from shipway.prefix.records import Draft


def test_the_commit_point_refuses_a_fact_that_changed_since_the_plan(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "state.sqlite"), write=True)
    first, second = (database.prepare(draft(token, value)) for token, value in (("a", "1"), ("b", "2")))
    assert database.commit_point(first) == 1
    with pytest.raises(StaleError):
        database.commit_point(second)
    assert database.fact(INSTALLED, "pkg:generic/x") == "1"
    assert [row.id for row in database.transactions_after(0)] == [1]


def draft(token: str, value: str) -> Draft:
    return Draft(token, "test", "exchange", 0, [FactChange(INSTALLED, "pkg:generic/x", None, value)], [])
