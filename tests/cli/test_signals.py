"""Waiting, being interrupted, and running commands: with real processes.  Nothing here sleeps: each step waits for a sign."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipway.fs.lock import FileLock
from shipway.prefix.layout import Layout
from tests.cli.shop import Shop, command, environment

AT_STEP = """
import os, signal, sys
from shipway.cli.main import main
from shipway.fs.system import FileSystem

wanted, arguments = tuple(sys.argv[1:3]), sys.argv[3:]

def step(self, operation, path):
    if (operation, path) == wanted:
        os.kill(os.getpid(), signal.SIGTERM)

FileSystem.step = step
sys.exit(main(arguments))
"""

LISTENS = """
import signal, sys
watched = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, watched)
print("ready", flush=True)
while (number := signal.sigwait(watched)) != signal.SIGUSR2:
    print("got", number.name, flush=True)
sys.exit(5)
"""
"""Tells each signal once; ends with 5 at SIGUSR2."""


@pytest.fixture
def full(shop: Shop) -> Shop:
    shop.merge({"bin/x": "1"}, "gmp", "1")
    return shop


def upgrade(shop: Shop) -> list[str]:
    return ["merge", str(shop.stage({"bin/x": "2"})), "--name", "gmp", "--version", "2"]


@contextmanager
def running(shop: Shop, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command as a process with pipes; what is left of it is killed."""
    pipe = subprocess.PIPE
    whole = command("-p", str(shop.root), *arguments)
    with subprocess.Popen(
        whole,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: object) -> str:
    return stream.readline()  # type: ignore[attr-defined, no-any-return]  # a pipe of Popen


@pytest.fixture
def lock(full: Shop) -> Iterator[FileLock]:
    """The prefix's lock, held here."""
    with FileLock(Layout(str(full.root)).lock) as held:
        yield held


@pytest.mark.usefixtures("lock")
def test_who_will_not_wait_is_told_who_is_in_the_way_and_gets_4(full: Shop) -> None:
    ran = full.process("--wait", "0", *upgrade(full))
    assert (ran.returncode, ran.stdout) == (4, "")
    assert f"process {os.getpid()}" in ran.stderr
    assert (full.root / "bin/x").read_text() == "1"


@pytest.mark.usefixtures("lock")
def test_the_time_to_wait_may_be_a_variable(full: Shop) -> None:
    assert full.process(*upgrade(full), SHIPWAY_WAIT="0.01").returncode == 4


@pytest.mark.parametrize("loudness", [[], ["-q"]])
def test_who_waits_says_for_whom_whatever_else_it_says_and_goes_on(
    full: Shop, lock: FileLock, loudness: list[str]
) -> None:
    with running(full, *loudness, *upgrade(full)) as process:
        told = line_of(process.stderr)
        assert told.startswith(f"waiting for {full.root}, held by process {os.getpid()} (")
        lock.release()
        assert process.wait() == 0
    assert (full.root / "bin/x").read_text() == "2"


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_to_be_stopped_before_the_commit_point_changes_nothing_and_is_130(full: Shop, number: signal.Signals) -> None:
    tree = full.stage({"bin/x": "2"})
    with running(full, "merge", str(tree), "--name", "gmp", "--version", "2", "--move") as process:
        line_of(process.stderr)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: interrupted; nothing was changed\n"
    assert (full.root / "bin/x").read_text() == "1"
    assert (tree / "bin/x").read_text() == "2"
    assert os.listdir(full.root / "var/lib/shipway/work") == []


def stopped_at(shop: Shop, step: str) -> subprocess.CompletedProcess[str]:
    """An upgrade that gets SIGTERM at a step of the database."""
    words = [sys.executable, "-c", AT_STEP, "database", step, "-p", str(shop.root), *upgrade(shop)]
    return subprocess.run(words, capture_output=True, text=True, env=environment())


def test_a_signal_after_the_commit_point_lets_the_commit_finish_and_is_told(full: Shop) -> None:
    ran = stopped_at(full, "applied")
    assert ran.returncode == 0
    assert "gmp 2 is in" in ran.stdout
    assert ran.stderr == "the signal came after the commit point: the commit was finished first\n"
    assert (full.root / "bin/x").read_text() == "2"


def test_a_signal_in_the_work_after_a_commit_does_not_deny_it(full: Shop) -> None:
    ran = stopped_at(full, "done")
    assert ran.returncode == 0
    assert ran.stderr.startswith("interrupted when transaction 2 was committed")
    assert (full.root / "bin/x").read_text() == "2"
    assert [past["state"] for past in full("history", "--json").json] == ["done", "done"]
    assert full("verify").code == 0


def test_a_signal_on_the_way_there_takes_all_back(full: Shop) -> None:
    ran = stopped_at(full, "prepare")
    assert (ran.returncode, ran.stderr) == (130, "error: interrupted; nothing was changed\n")
    assert (full.root / "bin/x").read_text() == "1"
    assert len(full("history", "--json").json) == 1


def test_an_ignored_hangup_stays_ignored(full: Shop) -> None:
    words = [
        "nohup",
        sys.executable,
        "-c",
        AT_STEP.replace("SIGTERM", "SIGHUP"),
        "database",
        "prepare",
        "-p",
        str(full.root),
    ]
    ran = subprocess.run(
        [*words, *upgrade(full)], capture_output=True, text=True, env=environment(), stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, ran.stderr


# -- exec ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["--", "sh", "-c", "exit 0"], 0),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_exec_gives_the_command_s_own_code(full: Shop, words: list[str], code: int) -> None:
    ran = full.process("exec", *words)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.startswith(f"running under a lease on all packages of {full.root}\n")


def test_the_command_s_options_are_its_own_and_its_streams_ours(full: Shop) -> None:
    ran = full.process("-q", "exec", "echo", "-n", "--json", "-p")
    assert (ran.stdout, ran.stderr) == ("--json -p", "")


def test_while_the_command_runs_nothing_moves_and_then_it_does(full: Shop) -> None:
    with running(full, "exec", "--", "sh", "-c", "echo ready; read line") as process:
        assert line_of(process.stdout) == "ready\n"
        refused = full("--wait", "0", *upgrade(full))
        assert refused.code == 4
        assert "the lease of " in refused.err
        assert (full.root / "bin/x").read_text() == "1"
        process.communicate("end\n")
    assert full("--wait", "0", *upgrade(full)).code == 0


def test_the_command_itself_may_commit(full: Shop) -> None:
    ran = full.process("exec", "--", *command("-p", str(full.root), *upgrade(full)))
    assert ran.returncode == 0, ran.stderr
    assert (full.root / "bin/x").read_text() == "2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_passed_on_to_the_command(full: Shop, number: signal.Signals) -> None:
    with running(full, "exec", "--", sys.executable, "-c", LISTENS) as process:
        assert line_of(process.stdout) == "ready\n"
        process.send_signal(number)
        assert line_of(process.stdout) == f"got {number.name}\n"
        process.send_signal(signal.SIGUSR2)
        assert process.wait() == 5


def test_what_the_terminal_sends_reaches_the_command_once(full: Shop) -> None:
    child, master = pty.fork()
    if child == 0:
        words = command("-q", "-p", str(full.root), "exec", "--", sys.executable, "-c", LISTENS)
        os.execve(words[0], words, environment())
    with open(master, "r+b", buffering=0) as terminal:
        seen = read_until(terminal.fileno(), b"ready")
        terminal.write(b"\x03")
        seen += read_until(terminal.fileno(), b"SIGINT")
        os.kill(child, signal.SIGUSR2)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seen += rest_of(terminal.fileno())
    assert (code, seen.count(b"got SIGINT")) == (5, 1)


def read_until(descriptor: int, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        seen += os.read(descriptor, 4096)
    return seen


def rest_of(descriptor: int) -> bytes:
    """What is left to read of a terminal whose other side is closed (then Linux says EIO)."""
    seen = b""
    try:
        while more := os.read(descriptor, 4096):
            seen += more
    except OSError:
        return seen
    return seen


# -- terminals -------------------------------------------------------------------------------------------------------


def on_terminal(shop: Shop, *arguments: str, **more: str) -> str:
    """What a person sees of a command."""
    child, master = pty.fork()
    if child == 0:
        words = command("-p", str(shop.root), *arguments)
        os.execve(words[0], words, environment(**{"TERM": "xterm", **more}))
    seen = rest_of(master)
    os.waitpid(child, 0)
    os.close(master)
    return seen.decode()


def test_on_a_terminal_a_line_says_what_is_done(full: Shop) -> None:
    seen = on_terminal(full, *upgrade(full))
    assert "reading the tree …" in seen
    assert seen.rstrip().endswith("ms)")


@pytest.mark.parametrize("quiet", [{"CI": "true"}, {"TERM": "dumb"}])
def test_in_logs_there_is_none(full: Shop, quiet: dict[str, str]) -> None:
    seen = on_terminal(full, *upgrade(full), **quiet)
    assert "reading the tree" not in seen
    assert "\x1b" not in seen


def test_errors_are_coloured_for_people_unless_they_say_no(full: Shop) -> None:
    assert "\x1b[31;1merror:\x1b[0m" in on_terminal(full, "show", "bogus")
    assert "\x1b" not in on_terminal(full, "show", "bogus", NO_COLOR="1")
    assert "\x1b" not in full.process("show", "bogus").stderr


def test_names_cannot_upset_a_terminal(shop: Shop) -> None:
    shop.merge({"share/a\x1b]0;title\x07": "1"})
    assert "share/a\\x1b]0;title\\x07" in on_terminal(shop, "files", "gmp")
    assert shop.process("files", "gmp").stdout == "share/a\x1b]0;title\x07\n"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts threads in /proc")
def test_the_live_line_has_no_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with a second thread may not fork its workers."""
    import threading

    from shipway.cli import progress

    monkeypatch.setattr(progress, "wanted", lambda: True)
    line = progress.Progress()
    before = threading.active_count()
    line.show("reading")
    assert threading.active_count() == before
    line.clear()
