"""What was raised becomes one clear error and the code of the contract."""

from __future__ import annotations

import errno

import click
import pytest

from shipway.cli import failure
from shipway.cli.console import Console
from shipway.errors import ConflictError, Interrupted, LockedError, ShipwayError, UsageError
from shipway.fs.system import FileSystem
from tests.cli.shop import Shop


def reported(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = failure.report(error, Console())
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


@pytest.mark.parametrize(
    ("error", "code"), [(ShipwayError, 1), (UsageError, 2), (ConflictError, 3), (LockedError, 4), (Interrupted, 130)]
)
def test_each_class_has_its_code(error: type[ShipwayError], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    raised = error("it is so", hint="do that", details=["a: x", "b: y"])
    assert reported(raised, capsys) == (code, "error: it is so\n  a: x\n  b: y\nhint: do that\n")


def test_an_error_of_the_system_is_one_line_with_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    raised = OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b")
    assert reported(raised, capsys) == (1, "error: /a → /b: Invalid cross-device link\n")


def test_a_full_disk_comes_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = reported(OSError(errno.ENOSPC, "No space left on device", "/a"), capsys)
    assert "gc --keep" in err


def test_several_errors_of_the_system_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    inner = ExceptionGroup(
        "two", [PermissionError(errno.EACCES, "Permission denied", "/a"), OSError(errno.EIO, "I/O", "/b")]
    )
    code, err = reported(ExceptionGroup("removing failed", [inner]), capsys)
    assert (code, err.splitlines()) == (1, ["error: removing failed", "  /a: Permission denied", "  /b: I/O"])


def test_to_be_interrupted_anywhere_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (KeyboardInterrupt(), click.Abort()):
        assert reported(error, capsys) == (130, "error: interrupted; nothing was changed\n")


def test_a_defect_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = reported(ZeroDivisionError("oh"), capsys)
    assert code == 1
    assert "error: ZeroDivisionError: oh" in err
    assert "defect of shipway" in err


def test_a_disk_that_fails_in_the_middle_is_one_line_and_nothing_was_changed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.merge({"bin/x": "1"}, "gmp", "1")

    def fail(self: FileSystem, operation: str, path: str) -> None:
        if operation == "sync":
            raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(FileSystem, "step", fail)
    ran = shop("merge", str(shop.stage({"bin/x": "2"})), "--name", "gmp", "--version", "2")
    monkeypatch.undo()
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert "Input/output error" in ran.err
    assert "Traceback" not in ran.err
    assert (shop.root / "bin/x").read_text() == "1"
