from __future__ import annotations

import os
import pty
import warnings
from pathlib import Path

import pytest

from shipway.build.shell import open_shell
from shipway.errors import UsageError
from tests.build.building import Workshop, live_files, workshop
from tests.build.test_hostile import running, until

RECIPE = "[build]\nsystem = 'cmake'\n[phases]\ninstall = 'false'\n"
SLEEP = f"sleep 77{os.getpid()}"


class Person:
    """Sits at a terminal, reads, and types."""

    def __init__(self, shop: Workshop) -> None:
        request = shop.request(RECIPE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the test runner has threads
            self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os._exit(open_shell(request, {"TERM": "dumb", "PS1": "ready> "}))
        self.seen = ""

    def read(self, until: str) -> None:
        """Raises AssertionError if it never comes."""
        start = len(self.seen)
        while until not in self.seen[start:]:
            try:
                piece = os.read(self.terminal, 1 << 16)
            except OSError:
                piece = b""
            assert piece, self.seen
            self.seen += piece.decode().replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def leave(self) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.terminal)
        return status


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
def test_a_shell_where_a_package_is_built(place: Path, apart: bool) -> None:
    shop = workshop(place / "shop", apart=apart)
    person = Person(shop)
    person.read("ready> ")
    person.type('echo "in $PWD for $NAME-$VERSION into $DESTDIR"; echo x > $PREFIX/lib/x; ls $PREFIX/lib\n')
    person.read("\nx\nready> ")
    assert "/build for thing-1.2 into /" in person.seen
    assert ("lib/x" in live_files(shop)) is not shop.isolation.overlay
    person.type(f"{SLEEP}\n")
    assert until(lambda: running(SLEEP))
    person.type("\x03")
    person.read("ready> ")
    person.type('echo "status $?"; test -t 0 && echo terminal; exit 7\n')
    person.read("status 130\nterminal\n")
    assert person.leave() == 7


def test_a_command_instead(shop: Workshop) -> None:
    assert open_shell(shop.request(RECIPE), {}, ("sh", "-c", "kill -TERM $$")) == 143
    assert open_shell(shop.request(RECIPE), {}, ("/none",)) == 127


def test_what_only_the_host_has_has_no_shell(shop: Workshop) -> None:
    with pytest.raises(UsageError):
        open_shell(shop.request("[build]\nsystem = 'host'\n"), {})
