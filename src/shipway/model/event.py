"""Events: what the core says about its work.  The terminal, JSON and logs are listeners; the default is silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """Something that happened.  `kind` is one word; `text` a sentence for people; `data` for machines.

    Kinds: "phase" (a part of the work begins), "step" (the same, worth a line where nothing moves), "output" (what a tool says),
    "timing" (what a part has taken), "waiting" (for a lock), "committed" (the transaction `number` stands, whatever happens now),
    "recovered", "unfinished" and "stuck" (somebody has to see to it), "note" (to be told).
    """

    kind: str
    text: str
    data: Mapping[str, object] = {}


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that says nothing."""
