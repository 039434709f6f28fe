"""The command as a whole: its start, its options, its help, its exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from shipway import __version__
from shipway.cli.group import COMMANDS, group
from shipway.cli.options import GlobalOption
from tests.cli.shop import Plain, Shop, command, environment

CONTRACT = """
    merge remove list show files owner detach adopt pip install build plan check shell recipe fetch log cache init du env
    verify repair history undo redo recover gc rehome exec doctor
"""


def loaded(*arguments: str) -> set[str]:
    """The modules that a call of the command line loads."""
    code = f"import sys; from shipway.cli.main import main; main({list(arguments)!r}); print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    return set(ran.stderr.split())


def test_the_version_is_told_before_any_library_is_loaded() -> None:
    ran = subprocess.run(command("--version"), capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stdout) == (0, f"shipway {__version__}\n")
    assert not {"click", "sqlite3", "rich", "shipway.api"} & loaded("--version")


def test_help_loads_no_command() -> None:
    assert not {f"shipway.cli.{name}" for name in COMMANDS} & loaded("--help")


def test_a_question_does_not_load_what_changes_a_prefix(shop: Shop) -> None:
    shop.merge({"bin/x": "1"})
    for question in (["list"], ["files", "gmp"], ["owner", "bin/x"], ["show", "gmp"], ["history"]):
        assert not {"shipway.api", "shipway.prefix.commit", "rich"} & loaded("-p", str(shop.root), *question)


def test_all_commands_of_the_contract_are_there() -> None:
    assert set(CONTRACT.split()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_what_the_table_says_and_has_help(name: str, shipway: Plain) -> None:
    found = import_module(f"shipway.cli.{name}").command
    assert found.name == name
    ran = shipway(name, "--help")
    assert ran.code == 0
    assert f"Usage: shipway {name}" in ran.out
    inner = list(found.commands) if isinstance(found, click.Group) else []
    assert all(
        "Options of every command" in text
        for text in ([shipway(name, word, "--help").out for word in inner] or [ran.out])
    )
    assert COMMANDS[name] in shipway("--help").out


def test_every_option_is_also_a_variable() -> None:
    """All but those that stand after a command for comfort, and are the group's own."""
    assert group.context_settings["auto_envvar_prefix"] == "SHIPWAY"
    for name in COMMANDS:
        options = [p for p in import_module(f"shipway.cli.{name}").command.params if not isinstance(p, GlobalOption)]
        assert all(getattr(option, "allow_from_autoenv", True) for option in options)


def test_global_options_stand_before_or_after_the_command(shop: Shop, shipway: Plain) -> None:
    shop.merge({"bin/x": "1"})
    before = shipway("-p", str(shop.root), "--json", "list")
    after = shipway("list", "--json", "-p", str(shop.root))
    assert before.json == after.json
    assert before.json[0]["name"] == "gmp"


def test_what_stands_after_the_command_wins(shop: Shop, shipway: Plain) -> None:
    shop.merge({"bin/x": "1"})
    assert shipway("-p", "/nowhere", "list", "-p", str(shop.root)).code == 0


def test_variables_stand_for_options(shop: Shop, shipway: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = str(shop.stage({"bin/x": "1"}))
    monkeypatch.setenv("SHIPWAY_PREFIX", str(shop.root))
    monkeypatch.setenv("SHIPWAY_JSON", "1")
    monkeypatch.setenv("SHIPWAY_MERGE_DRY_RUN", "1")
    monkeypatch.setenv("SHIPWAY_MERGE_NAME", "gmp")
    ran = shipway("merge", tree, "--version", "1")
    assert ran.json["dry_run"] is True
    assert ran.json["changes"] == [{"name": "gmp", "old": None, "new": "1"}]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["list", "--bogus"],
        ["merge"],
        ["-q", "-v", "list"],
        ["list"],
        ["-p", "/nowhere/at/all", "list"],
        ["undo", "zero"],
        ["detach"],
        ["detach", "--all", "gmp"],
        ["--wait", "-1", "list"],
    ],
)
def test_what_cannot_be_meant_is_2_with_nothing_on_stdout(arguments: list[str], shipway: Plain) -> None:
    ran = shipway(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_without_a_prefix_the_ways_to_say_it_are_told(shipway: Plain) -> None:
    ran = shipway("list")
    assert "error: no prefix is given" in ran.err
    assert "-p PREFIX" in ran.err
    assert "SHIPWAY_PREFIX" in ran.err


def test_with_another_encoding_it_starts_again_in_utf_8(shop: Shop) -> None:
    """The C locale, with everything switched off by which Python would help itself."""
    shop.merge({"share/größe": "1"})
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(
        command("-p", str(shop.root), "files", "gmp"), capture_output=True, env=environment(**ascii_only)
    )
    assert ran.stdout.decode() == "share/größe\n", ran.stderr


def test_names_that_are_no_text_come_out_as_the_bytes_they_are(shop: Shop) -> None:
    tree = shop.stage({"share/plain": "1"})
    Path(bytes(tree / "share").decode(), b"b\xe9te".decode(errors="surrogateescape")).write_text("1")
    assert shop.process("merge", str(tree), "--name", "gmp", "--version", "1").returncode == 0
    ran = subprocess.run(command("-p", str(shop.root), "files", "-0", "gmp"), capture_output=True, env=environment())
    assert ran.stdout == b"share/b\xe9te\0share/plain\0"
    assert shop("files", "gmp", "--json").json[1]["path"] == b"share/b\xe9te".decode(errors="surrogateescape")


def test_a_reader_that_goes_away_is_no_error(shop: Shop) -> None:
    shop.merge({f"share/{number:05}": "" for number in range(5000)})
    whole = " ".join(command("-p", str(shop.root), "files", "gmp")) + " | head -n 1; exit ${PIPESTATUS[0]}"
    ran = subprocess.run(["bash", "-c", whole], capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "share/00000\n", "")


def test_an_answer_that_cannot_be_written_is_an_error(shop: Shop) -> None:
    shop.merge({"bin/x": "1"})
    with open("/dev/full", "w", encoding="utf-8") as full:
        ran = subprocess.run(
            command("-p", str(shop.root), "list"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
        )
    assert ran.returncode == 1
    assert ran.stderr == "error: the answer could not be written: No space left on device\n"
