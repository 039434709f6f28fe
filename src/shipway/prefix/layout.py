"""Where things lie below the state directory of a prefix (docs/formats.md).

state.sqlite      the record                        images/NAME/tree/…   sealed images
lock, queue       who may commit, who comes next    work/TOKEN/          a session's staging area
leases/           what programs and builds hold     work/TOKEN.lock      held while the session lives
lost+found/TX/    strays with no way back           undo/TX/             what a commit took out
logs/             of builds                         undo/left-TOKEN-N/   what a session could not remove
                                                    builds/              what images were built from
"""

from __future__ import annotations

import os
from typing import NamedTuple

from shipway.model.entry import join

STATE = "var/lib/shipway"
"""The state directory, relative to the prefix; walks never enter it."""

LEFT = "left-"
"""What names in `undo/` begin with that are no undo areas, but what could not be removed."""


class Layout(NamedTuple):
    """Absolute paths for one prefix.  `root` is the prefix's real path."""

    root: str

    @property
    def state(self) -> str:
        """The state directory."""
        return f"{self.root}/{STATE}"

    @property
    def database(self) -> str:
        """The record."""
        return f"{self.state}/state.sqlite"

    @property
    def lock(self) -> str:
        """The lock that a committer holds; nobody who may not commit can open it."""
        return f"{self.state}/lock"

    @property
    def queue(self) -> str:
        """The lock of whoever comes next, so that a planner who was overtaken twice is not a third time."""
        return f"{self.state}/queue"

    @property
    def leases(self) -> str:
        """The directory of leases."""
        return f"{self.state}/leases"

    @property
    def images(self) -> str:
        """The store."""
        return f"{self.state}/images"

    @property
    def builds(self) -> str:
        """What images were built from."""
        return f"{self.state}/builds"

    @property
    def work(self) -> str:
        """The staging areas of sessions."""
        return f"{self.state}/work"

    @property
    def undo(self) -> str:
        """What commits took out."""
        return f"{self.state}/undo"

    @property
    def lost(self) -> str:
        """Strays that have no way back."""
        return f"{self.state}/lost+found"

    @property
    def logs(self) -> str:
        """What programs said that failed."""
        return f"{self.state}/logs"

    def live(self, path: str) -> str:
        """A path of the prefix."""
        return join(self.root, path) if path else self.root

    def image(self, name: str) -> str:
        """The tree of an image."""
        return f"{self.images}/{name}/tree"

    def session(self, token: str) -> str:
        """The staging area of a session."""
        return f"{self.work}/{token}"

    def session_lock(self, token: str) -> str:
        """The lock that says a session is alive."""
        return f"{self.work}/{token}.lock"

    def undo_of(self, number: int) -> str:
        """The undo area of a transaction."""
        return f"{self.undo}/{number}"

    def put_by(self, token: str, number: int) -> str:
        """Something that a session could not remove."""
        return f"{self.undo}/{LEFT}{token}-{number}"

    def area(self, number: int, token: str) -> str:
        """Where the taken-out content of a transaction lies now: in its undo area once it is finished."""
        undo = self.undo_of(number)
        return undo if number and os.path.isdir(undo) else self.session(token)


def staged(area: str, seq: int) -> str:
    """The staged side of a unit; after a swap or retirement the old content lies there."""
    return f"{area}/u{seq}"


def saved(area: str, seq: int) -> str:
    """Where the old content of a unit is kept beforehand in fall-back mode."""
    return f"{area}/s{seq}"


def dropped(area: str, seq: int) -> str:
    """Where new content goes that was live and is staged still."""
    return f"{area}/d{seq}"


def pieces(area: str, seq: int) -> str:
    """Where both contents of a unit lie that is carried out piece by piece (`prefix.pieces`)."""
    return f"{area}/p{seq}"


def brought(area: str, seq: int) -> str:
    """A mark: a unit is carried out, and what it took out lies where it belongs."""
    return f"{area}/z{seq}"
