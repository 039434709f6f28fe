"""What a collection removes beside undo areas and images."""

from __future__ import annotations

from pathlib import Path

from shipway.prefix.leases import take
from tests.harness import open_prefix


def test_leases_and_intents_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    root = tmp_path / "prefix"
    root.mkdir()
    with open_prefix(root) as prefix:
        directory = Path(prefix.site.layout.leases)
        for name in ("dead.intent", "dead.lease"):
            (directory / name).write_text("{}")
        with take(str(directory), ["a"]) as lease:
            prefix.gc(keep=0)
            assert {path.name for path in directory.iterdir()} == {"mutex", f"{lease.token}.lease"}
