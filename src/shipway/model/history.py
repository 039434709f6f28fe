"""Which transaction `undo` and `redo` mean: a pure reading of the history.

An undo is itself a transaction that says which one it takes back; a redo takes an undo back.  Undone ones are
skipped, so that `undo` again goes one further back, as in an editor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shipway.errors import ConflictError


class Past(NamedTuple):
    """One finished transaction, as far as undo is concerned; `undoes` is 0 unless it is an undo or redo."""

    id: int
    undoes: int
    undoable: bool


def undone(past: Iterable[Past]) -> frozenset[int]:
    """The transactions whose effect has been taken back and not brought again."""
    listed = sorted(past)
    undoes = {transaction.id: transaction.undoes for transaction in listed}
    gone: set[int] = set()
    for transaction in listed:
        target, taken_back = transaction.undoes, True
        while target:
            (gone.add if taken_back else gone.discard)(target)
            target, taken_back = undoes.get(target, 0), not taken_back
    return frozenset(gone)


def to_undo(past: Iterable[Past]) -> int:
    """The last transaction that still has its effect and is not itself an undo.  Raises ConflictError."""
    listed = list(past)
    gone = undone(listed)
    depth = _kinds(listed)
    for transaction in sorted(listed, reverse=True):
        if transaction.id not in gone and depth[transaction.id] % 2 == 0:
            return _checked(transaction)
    raise ConflictError("there is nothing to undo", hint="`shipway history` lists the transactions")


def to_redo(past: Iterable[Past]) -> int:
    """The undo to take back: the last one, unless something else was committed since.  Raises ConflictError."""
    listed = list(past)
    gone = undone(listed)
    depth = _kinds(listed)
    for transaction in sorted(listed, reverse=True):
        if transaction.id in gone:
            continue
        if depth[transaction.id] == 0:
            break
        if depth[transaction.id] % 2 == 1:
            return _checked(transaction)
    raise ConflictError("there is nothing to redo", hint="`shipway history` lists the transactions")


def _kinds(past: list[Past]) -> dict[int, int]:
    """How often a transaction is an undo of an undo: 0 a change, 1 an undo, 2 a redo and so on."""
    undoes = {p.id: p.undoes for p in past}
    depth: dict[int, int] = {}
    for transaction in sorted(undoes):
        depth[transaction] = depth.get(undoes[transaction], -1) + 1 if undoes[transaction] else 0
    return depth


def _checked(transaction: Past) -> int:
    if not transaction.undoable:
        raise ConflictError(
            f"transaction {transaction.id} is beyond the undo horizon: its old content was collected",
            hint="set [undo] keep in shipway.toml to keep more",
        )
    return transaction.id
