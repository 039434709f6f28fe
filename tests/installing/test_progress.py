"""What one sees while something is installed, and what is kept of a build that fails."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from shipway.fs.process import command_of
from shipway.python.heard import heard
from shipway.python.steps import Steps
from tests.cli.shop import command
from tests.installing.shop import PATIENCE, Venv, offline
from tests.installing.wheels import Wheel, sdist

LIB = Wheel("some-lib", "1.2")
BROKEN = "print('the compiler says no'); raise SystemExit(3)"
OF_PIP = """\
Collecting numpy==2.4.6
  Downloading numpy-2.4.6-cp311.whl.metadata (5.3 kB)
  Downloading numpy-2.4.6-cp311.whl (16.3 MB)
Progress 0 of 16300000
Progress 8150000 of 16300000
Collecting gitp@ git+https://example.org/gitp (from x)
  Cloning https://example.org/gitp (to revision x) to /tmp/y
  Preparing metadata (pyproject.toml): started
  Using cached other-1.0.whl (3 kB)
Building wheels for collected packages: gitp
  Building wheel for gitp (pyproject.toml): started
  Building wheel for gitp (pyproject.toml): finished with status 'done'
"""
OF_UV = """\
Resolved 3 packages in 699ms
   Building gitp @ git+file:///tmp/gitp@dac991229e19
Downloading numpy (16.1MiB)
"""


def told(text: str, *kinds: str) -> list[str]:
    heard_of: list[str] = []
    steps = Steps(lambda kind, words: heard_of.append(words) if kind in kinds else None)
    for line in text.splitlines():
        steps(line)
    return heard_of


def test_the_words_of_pip_and_uv_are_understood() -> None:
    assert told(OF_PIP, "step") == [
        "downloading numpy-2.4.6-cp311.whl (16.3 MB)",
        "fetching https://example.org/gitp",
        "building gitp",
    ]
    assert "downloading numpy-2.4.6-cp311.whl, 8.2 of 16.3 MB" in told(OF_PIP, "phase")
    assert "preparing the build of gitp" in told(OF_PIP, "phase")
    assert told(OF_UV, "step") == ["building gitp", "downloading numpy (16.1MiB)"]


def test_a_program_is_heard_while_it_runs(tmp_path: Path) -> None:
    code = "import sys, time\nfor i in range(3): print(i, flush=True); time.sleep(0.2)\nprint('é', file=sys.stderr); sys.exit(7)"
    seen: list[tuple[float, str]] = []
    done = heard([sys.executable, "-c", code], os.environ, listen=lambda line: seen.append((time.monotonic(), line)))
    assert (done.code, done.stdout, done.stderr) == (7, "0\n1\n2\n", "é\n")
    assert [line for _, line in seen] == ["0", "1", "2", "é"]
    assert seen[2][0] - seen[0][0] > 0.2


def test_a_program_ends_with_whoever_listens(tmp_path: Path) -> None:
    def listen(line: str) -> None:
        raise KeyboardInterrupt

    witness = tmp_path / "ended"
    code = f"""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open({str(witness)!r}, "w").close()
"""
    with pytest.raises(KeyboardInterrupt):
        heard([sys.executable, "-c", code], os.environ, listen=listen)
    assert witness.exists()


def test_nothing_is_left_of_a_program_that_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip starts pip, which starts a compiler: who is between them dies at once, and what it had begun is left to us."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = "import os, tempfile, time; tempfile.mkdtemp(); print(os.getpid(), flush=True); time.sleep(60)"
    between = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {worker!r}]).wait()"
    started: list[int] = []

    def listen(line: str) -> None:
        started.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heard([sys.executable, "-c", between], {**os.environ, "TMPDIR": str(tmp_path)}, listen=listen)
    deadline = time.monotonic() + 10
    while command_of(started[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not command_of(started[0])
    assert list(tmp_path.iterdir()) == []


def test_steps_are_lines_where_nothing_moves(venv: Venv) -> None:
    sdist(LIB, venv.wheels)
    ran = venv.done("install", "some-lib")
    assert [line for line in ran.err.splitlines() if not line.startswith("prefix")] == [
        "resolving",
        "building some-lib",
        "preparing some-lib",
    ]
    assert "committed in" in ran.out


def test_quiet_and_json_say_nothing_beside_the_answer(venv: Venv) -> None:
    venv.offer(LIB)
    assert venv.pip("install", "some-lib", cwd=None).code == 0
    for option in ("--json", "-q"):
        words = command("-p", str(venv.root), option, "pip", "install", "--force-reinstall", "some-lib")
        done = subprocess.run(words, capture_output=True, text=True, env=offline(venv.wheels), timeout=PATIENCE)
        assert done.returncode == 0 and done.stderr == ""
        assert option == "-q" or json.loads(done.stdout)["changes"]


def test_on_a_terminal_one_line_moves(venv: Venv) -> None:
    venv.offer(LIB)
    ours, theirs = pty.openpty()
    words = command("-p", str(venv.root), "pip", "install", "some-lib")
    environment = {**offline(venv.wheels), "TERM": "xterm"}
    program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert program.communicate(timeout=PATIENCE)[0] and program.returncode == 0
    for text in (b"resolving", b"preparing some-lib"):
        assert text in shown
    assert shown.count(b"\n") == shown.count(b"\x1b[1A"), "every line that was begun was taken back"


def test_a_build_that_fails_is_told_with_its_log(venv: Venv) -> None:
    sdist(LIB, venv.wheels, BROKEN)
    ran = venv.pip("install", "some-lib")
    assert ran.code == 1
    assert "error: some_lib-1.2.tar.gz could not be built" in ran.err
    assert "  the compiler says no\n" in ran.err
    path = Path(ran.err.split("all of them: ")[1].strip())
    assert path.parent == venv.root / "var/lib/shipway/logs"
    log = path.read_text()
    assert "the compiler says no" in log and "Looking in links" in log
    assert venv.projects() == []


def test_so_many_logs_are_kept(venv: Venv) -> None:
    logs = venv.root / "var/lib/shipway/logs"
    logs.mkdir(parents=True)
    for day in range(1, 29):
        (logs / f"pip-202001{day:02}-120000-{99 - day}.log").write_text("")
    assert venv.pip("install", "nobody-has-this").code == 1
    assert len(list(logs.iterdir())) == 20
    assert min(path.name for path in logs.iterdir()) == "pip-20200110-120000-89.log"
