"""A command line as pip would understand it, for those who answer without asking pip's resolver."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from shipway.python.asked import Asked, asked
from shipway.python.pip_arguments import Arguments, parse
from shipway.python.pip_options import pairs
from shipway.python.pip_settings import settings
from shipway.python.target import Target


class Understanding(NamedTuple):
    """A command line as it was `given`, with all that pip adds from its settings and from files, and what it asks for.

    `unknown` are settings that have no word here.
    """

    given: Arguments
    arguments: Arguments
    asked: Asked
    unknown: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether there is nothing in it that only pip can tell."""
        return not self.unknown and not self.asked.strange

    @property
    def shallow(self) -> bool:
        """Whether dependencies are left aside."""
        return "--no-deps" in dict(pairs(self.arguments.resolving))

    @property
    def hashed(self) -> bool:
        """Whether a digest is asked for with everything."""
        return self.asked.hashed or "--require-hashes" in dict(pairs(self.arguments.finding))


def understanding(target: Target, arguments: Arguments) -> Understanding:
    """What a command line means.  Raises UsageError, ValueError or OSError where settings or files cannot be read."""
    found = settings(target.root, os.environ)
    words = [*found.words, *arguments.resolving, *arguments.finding, *arguments.requirements]
    whole = parse(words, "install")
    wanted = asked(whole.requirements)
    if wanted.options:
        whole = parse([*words, *(word for line in wanted.options for word in shlex.split(line))], "install")
    return Understanding(arguments, whole, wanted, found.unknown)
