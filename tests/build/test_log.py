from __future__ import annotations

import os
import threading
from pathlib import Path

from shipway.build.log import KEPT, Log, earlier, read
from shipway.fs.appended import Appended
from shipway.fs.lock import is_locked
from shipway.fs.system import FileSystem

FS = FileSystem()


def test_a_log_can_be_read_again(tmp_path: Path) -> None:
    log = Log.begin(str(tmp_path / "logs/gmp-6.log"), FS)
    log.say("gmp 6", "phase build", "in /tmp: make")
    log.tools_said(["== phase check", "    1.000 | a", ""])
    log.say("ended build: 1 s")
    log.close()
    found = list(read(Path(log.path).read_text().splitlines(keepends=True)))
    assert [(line.ours, line.phase, line.text) for line in found] == [
        (True, "", "gmp 6"),
        (True, "build", "phase build"),
        (True, "build", "in /tmp: make"),
        (False, "build", "== phase check"),
        (False, "build", "    1.000 | a"),
        (False, "build", ""),
        (True, "build", "ended build: 1 s"),
    ]


def test_only_the_lines_of_a_phase(tmp_path: Path) -> None:
    log = Log.begin(str(tmp_path / "a-1.log"), FS)
    for phase in ("configure", "build"):
        log.say(f"phase {phase}")
        log.tools_said([phase.upper()])
    lines = Path(log.path).read_text().splitlines()
    assert [line.text for line in read(lines, "build")] == ["phase build", "BUILD"]


def test_the_last_few_logs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    (tmp_path / "a-1.0.log").write_text("another version's")
    for run in range(KEPT + 3):
        log = Log.begin(str(path), FS)
        log.tools_said([f"run {run}"])
        log.close()
        os.utime(path, (run * 1000, run * 1000))
    texts = [Path(each).read_text() for each in [str(path), *earlier(str(path))]]
    assert [text.split()[-1] for text in texts] == [str(KEPT + 2 - age) for age in range(KEPT)]
    assert (tmp_path / "a-1.0.log").exists()


def test_runs_of_one_second_are_told_apart(tmp_path: Path) -> None:
    path = str(tmp_path / "a-1.log")
    for run in range(4):
        log = Log.begin(path, FS)
        log.tools_said([str(run)])
        log.close()
        os.utime(path, (1000, 1000))
    assert [Path(path).read_text().split()[-1] for path in earlier(path)] == ["2", "1", "0"]


def test_two_runs_at_once_write_two_logs(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            log = Log.begin(str(tmp_path / "a-1.log"), FS)
            log.tools_said([f"{number}"] * 50)
            log.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in tmp_path.iterdir():
        texts = {line.text for line in read(path.read_text().splitlines())}
        assert len(texts) == 1


def test_a_log_that_is_written_is_locked(tmp_path: Path) -> None:
    log = Log.begin(str(tmp_path / "a-1.log"), FS)
    assert is_locked(log.path)
    log.close()
    assert not is_locked(log.path)


def test_a_log_can_go_on(tmp_path: Path) -> None:
    path = str(tmp_path / "a-1.log")
    log = Log.begin(path, FS)
    log.close()
    Path(path).write_text("== a 1\n== phase build\n  100.000 | x\n")
    log = Log.go_on(path, FS)
    log.say("phase check")
    log.tools_said(["y"])
    log.close()
    lines = list(read(Path(path).read_text().splitlines()))
    assert [line.text for line in lines] == ["a 1", "phase build", "x", "phase check", "y"]
    assert 100 <= lines[-1].seconds < 160
    assert not earlier(path)


def test_beyond_the_limit_the_end_of_each_phase_is_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "a-1.log")
    log = Log(path, Appended(path), 0.0, limit=2000)
    for phase in ("build", "check"):
        log.say(f"phase {phase}")
        for number in range(2000):
            log.tools_said([f"{phase} {number}"])
    log.close()
    text = Path(path).read_text()
    assert "build 0\n" in text
    assert "build 1999\n" in text and "check 1999\n" in text
    assert "build 1000\n" not in text and "check 0\n" not in text
    assert text.count("== left out ") == 2
