"""Stops a command before and after each of its syncs, and before each change of a name, until it is told to go on.

A small library loaded before all others (LD_PRELOAD) stands before the C library's calls, so SQLite's syncs are met as well as
Python's.  Each call asks at a socket and waits for the answer; the answer may also be to leave the sync out.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proof.scene import TIMEOUT, environment, run

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int left_out(const char *what) {
    int saved = errno;
    const char *name = getenv("PROOF_GATE");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer = 'g';
    int gate = name ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (gate >= 0) {
        strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
        if (!connect(gate, (struct sockaddr *)&address,
                     offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) {
            dprintf(gate, "%d %s\n", getpid(), what);
            if (read(gate, &answer, 1) != 1) answer = 'g';
        }
        close(gate);
    }
    errno = saved;
    return answer == 's';
}

#define REAL(name, ...) \
    static int (*real)(__VA_ARGS__); \
    if (!real) real = (int (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);

#define SYNC(name) \
    int name(int fd) { \
        REAL(name, int) \
        if (left_out("before " #name)) return 0; \
        int result = real(fd); \
        left_out("after " #name); \
        return result; \
    }

#define CHANGE(name, parameters, arguments, ...) \
    int name parameters { \
        REAL(name, __VA_ARGS__) \
        left_out("before " #name); \
        return real arguments; \
    }

SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)
CHANGE(rename, (const char *a, const char *b), (a, b), const char *, const char *)
CHANGE(renameat2, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f),
       int, const char *, int, const char *, unsigned)
CHANGE(link, (const char *a, const char *b), (a, b), const char *, const char *)
CHANGE(linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f),
       int, const char *, int, const char *, int)
CHANGE(mkdir, (const char *a, mode_t m), (a, m), const char *, mode_t)
CHANGE(rmdir, (const char *a), (a), const char *)
CHANGE(unlink, (const char *a), (a), const char *)
"""

SYNCS = ("fsync", "fdatasync", "syncfs")


@dataclass(frozen=True)
class Stop:
    """A call that waits: `when` is before or after; `main` is false in processes that the command started."""

    when: str
    call: str
    main: bool

    @property
    def is_sync(self) -> bool:
        """Whether it is a sync, and not a change of a name."""
        return self.call in SYNCS


Answer = Callable[[Stop], bool]
"""What to do while a call waits; true to leave the call out."""


def why_no_gate() -> str:
    """What is missing here; empty if gates can be built."""
    return "" if shutil.which("cc") else "no C compiler, which the gate at each sync is built with"


def build(room: Path) -> Path:
    """Compile the library.  Raises RuntimeError if it cannot be."""
    source, library = room / "gate.c", room / "gate.so"
    source.write_text(SOURCE)
    done = run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"])
    if done.returncode:
        raise RuntimeError(f"cc: {done.stderr.strip()}")
    return library


def run_gated(command: Sequence[str], library: Path, answer: Answer) -> int:
    """Run a command to its end, asking at each stop; its exit code.  TimeoutError if it hangs."""
    name = f"proof-gate-{os.getpid()}-{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gate:
        gate.bind(f"\0{name}")
        gate.listen()
        gate.settimeout(0.02)
        started = subprocess.Popen(
            command,
            env=environment(LD_PRELOAD=str(library), PROOF_GATE=name),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return _serve(gate, started, answer)
        finally:
            started.kill()
            started.wait()


def _serve(gate: socket.socket, started: subprocess.Popen[bytes], answer: Answer) -> int:
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        try:
            caller, _ = gate.accept()
        except TimeoutError:
            if (code := started.poll()) is not None:
                return code
            continue
        with caller, suppress(ConnectionError):
            if line := caller.makefile().readline().split():
                pid, when, call = line
                caller.sendall(b"s" if answer(Stop(when, call, int(pid) == started.pid)) else b"g")
    raise TimeoutError("the command did not end")
