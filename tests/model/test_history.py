"""Which transactions have their effect, after undos and redos however many."""

from __future__ import annotations

import pytest

from shipway.errors import ConflictError
from shipway.model.history import Past, to_redo, to_undo, undone


def history(*undoes: int) -> list[Past]:
    return [Past(number, other, undoable=True) for number, other in enumerate(undoes, 1)]


@pytest.mark.parametrize(
    ("undoes", "gone"),
    [
        ((0, 0), set()),
        ((0, 0, 2), {2}),
        ((0, 0, 2, 1), {1, 2}),
        ((0, 0, 2, 3), {3}),
        ((0, 0, 2, 3, 4), {2, 4}),
        ((0, 1, 2, 1, 4), {2, 4}),
    ],
)
def test_an_undo_takes_the_effect_and_a_redo_brings_it_back(undoes: tuple[int, ...], gone: set[int]) -> None:
    assert undone(history(*undoes)) == gone


def test_undo_goes_one_further_back_each_time_and_redo_takes_the_last_undo() -> None:
    assert to_undo(history(0, 0)) == 2
    assert to_undo(history(0, 0, 2)) == 1
    assert to_redo(history(0, 0, 2, 1)) == 4
    with pytest.raises(ConflictError):
        to_undo(history(0, 1))
    with pytest.raises(ConflictError):
        to_redo(history(0, 1, 0))


def test_undo_and_redo_may_alternate_thousands_of_times() -> None:
    chain = history(0, *range(1, 3000))
    assert undone(chain) == {number for number in range(1, 3000) if number % 2}
