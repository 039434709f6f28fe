"""kill -9 at moments spread over an upgrade: after the next command it is the old version or the new one, and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.shop import command
from tests.installing.shop import Venv, false_records, offline
from tests.installing.wheels import big

MOMENTS = int(os.environ.get("SHIPWAY_TEST_MOMENTS", "20"))
FILES = int(os.environ.get("SHIPWAY_TEST_FILES", "300"))
"""Larger, with pip and uv counted by the same judge: `make proof PROOF="--full --attacks environments"`."""

EVERY_MODULE = """
import importlib, pkgutil, big
found = {importlib.import_module(m.name).V for m in pkgutil.walk_packages(big.__path__, "big.") if not m.ispkg}
print(big.VERSION, *found)
"""


def start(venv: Venv, version: str) -> subprocess.Popen[bytes]:
    words = command("-p", str(venv.root), "pip", "install", f"big=={version}")
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=offline(venv.wheels))


@pytest.mark.alone
def test_a_killed_upgrade_is_the_old_version_or_the_new_one(venv: Venv, tmp_path: Path) -> None:
    venv.offer(big("1.0", FILES), big("2.0", FILES))
    venv.done("install", "big==1.0")
    began = time.monotonic()
    venv.done("install", "big==2.0")
    length = time.monotonic() - began
    for moment in range(MOMENTS):
        now = venv.says("import big; print(big.VERSION)")
        process = start(venv, {"1.0": "2.0", "2.0": "1.0"}[now])
        time.sleep(length * (0.4 + 0.6 * moment / MOMENTS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        venv.shipway("list")
        venv.shipway("verify")
        version, *modules = venv.says(EVERY_MODULE).split()
        assert modules == [version], "old and new are mixed"
        assert venv.projects() == [f"big-{version}"]
        assert false_records(venv.site) == []
    assert venv.done("install", "big==2.0").code == 0
