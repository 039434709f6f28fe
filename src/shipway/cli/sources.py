"""What commands that fetch sources have in common: their options, and what one hears of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar
from urllib.parse import urlsplit

import click

from shipway.cli.call import Call
from shipway.cli.text import size, visible
from shipway.model.event import Event

if TYPE_CHECKING:
    from shipway.build.fetching import Options

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--distfiles",
        multiple=True,
        metavar="DIR",
        envvar="SHIPWAY_DISTFILES",
        type=click.Path(exists=True, file_okay=False),
        help="A directory of archives, searched first; may be given several times.",
    ),
    click.option("--offline", is_flag=True, envvar="SHIPWAY_OFFLINE", help="Use what is here; ask nobody."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30,
        show_default=True,
        metavar="SECONDS",
        envvar="SHIPWAY_TIMEOUT",
        help="Give a server up that is silent for so long.",
    ),
)


def with_sources(function: Function) -> Function:
    """Decorate a command with --distfiles, --offline and --timeout."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Sources(TypedDict):
    """What `with_sources` gives to a command."""

    distfiles: tuple[str, ...]
    offline: bool
    timeout: float


def fetching_options(call: Call, wanted: Sources) -> Options:
    """How to fetch: what was said, and what the nearest shipway.toml names."""
    from shipway.build.fetching import JOBS, Options
    from shipway.cli.place import nearest
    from shipway.store.depot import directory_of

    place = nearest(os.getcwd())
    configured = [os.path.join(os.path.dirname(place.file), each) for each in place.config.distfiles] if place else []
    distfiles = (*wanted["distfiles"], *configured)
    return Options(directory_of(), distfiles, wanted["offline"], call.jobs or JOBS, wanted["timeout"])


class Ear:
    """Tells of files as they come: on a terminal on the line that moves, elsewhere a line for each that is begun."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.console = call.console
        self._coming: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Hear one event of `build.fetching`."""
        file = str(event.data.get("file", ""))
        match event.kind:
            case "fetching":
                self._begin(file, event)
            case "progress":
                self._coming[file] = self._amount(file, event)
                self._show()
            case "fetched":
                self._coming.pop(file, None)
                self._show()
            case "missed":
                self.console.detail(visible(event.text))
            case _:
                self.call.ear(event)

    def _begin(self, file: str, event: Event) -> None:
        self._coming[file] = self._amount(file, event)
        if not self._show() and not self.call.json:
            self.console.say(visible(f"fetching {self._coming[file]} from {_host(event.text)}"))

    def _amount(self, file: str, event: Event) -> str:
        done, total = (int(str(event.data.get(key) or 0)) for key in ("bytes", "total"))
        counts = [size(done)] * bool(done) + [size(total)] * bool(total)
        return f"{file} ({' of '.join(counts)})" if counts else file

    def _show(self) -> bool:
        names = list(self._coming.values())
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return bool(names) and self.console.progress.show(visible(f"fetching {names[0]}{more} …"))


def _host(text: str) -> str:
    """Of an address the host, of other places all."""
    return urlsplit(text).netloc or text
