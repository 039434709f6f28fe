"""Python interpreters: which one a prefix has, what its bytecode is called and how it begins.

What an interpreter accepts as bytecode is fixed by the documents named below, so it is asked once for
its version, tag and magic number, and never again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from shipway.errors import ShipwayError

ANSWER_WITHIN = 30.0  # seconds

# Neither user nor site directories, nothing written; -I would mean -E, and with it a random hash seed.
QUIET = ("-s", "-S", "-B", "-W", "ignore")

_NAMES = ("python3", "python", "python2")
_UNCACHED = "-"

_QUESTION = """\
import sys
try:
    from _frozen_importlib_external import MAGIC_NUMBER as magic
except ImportError:
    try:
        from importlib.util import MAGIC_NUMBER as magic
    except ImportError:
        import imp
        magic = imp.get_magic()
implementation = getattr(sys, "implementation", None)
name = implementation.name if implementation else "pypy" if hasattr(sys, "pypy_version_info") else "cpython"
tag = getattr(implementation, "cache_tag", None) or "-"
magic = "".join("%02x" % byte for byte in bytearray(magic))
sys.stdout.write("%d.%d.%d %s %s %s\\n%s" % (sys.version_info[:3] + (name, tag, magic, sys.executable or "")))
"""


class Interpreter(NamedTuple):
    """An interpreter that has answered: `path` runs it, in an environment with `environment` laid over ours.

    `cache_tag` is None where bytecode lies beside its source (2.7) or is not kept at all (`caches`).
    """

    path: str
    version: tuple[int, int, int]
    implementation: str
    cache_tag: str | None
    magic: bytes
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def caches(self) -> bool:
        """Whether it keeps bytecode at all; a Python 3 without a cache tag does not (PEP 421)."""
        return self.version < (3, 0) or self.cache_tag is not None

    @property
    def corrects_names(self) -> bool:
        """Whether it puts the file's own name into code that it loads from bytecode: CPython since 3.3.

        (`_fix_co_filename` in `importlib._bootstrap_external._compile_bytecode`.)
        """
        return self.implementation == "cpython" and self.version >= (3, 3)

    def bytecode_name(self, source: str, level: int) -> str:
        """Where the bytecode of `NAME.py` lies, relative to its directory: PEP 3147, PEP 488, before them beside it."""
        stem = source.removesuffix(".py")
        if self.cache_tag is None:
            return stem + (".pyo" if level else ".pyc")
        if level and self.version < (3, 5):
            return f"__pycache__/{stem}.{self.cache_tag}.pyo"
        return f"__pycache__/{stem}.{self.cache_tag}.{f'opt-{level}.' if level else ''}pyc"

    def header(self, mtime: int, size: int) -> bytes:
        """What its bytecode begins with for a source of this time (ns) and size: `importlib`, PEP 552.

        `importlib` (3.3 and later) takes the whole seconds from a float, which is the next second in the last
        120 ns of one; the import of 2.7 takes them from the kernel (its `py_compile` does not).
        """
        seconds, rest = divmod(mtime, 1_000_000_000)
        if self.version >= (3, 3):
            seconds = int(seconds + 1e-9 * rest)
        words = [seconds] if self.version < (3, 3) else [seconds, size]
        if self.version >= (3, 7):
            words.insert(0, 0)
        return self.magic + b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in words)

    def surroundings(self) -> dict[str, str]:
        """The environment to run it in: ours without PYTHON…, a fixed hash seed, and its own."""
        return {**_plain_environment(), **dict(self.environment)}


def inspect(path: str, environment: Mapping[str, str] | None = None) -> Interpreter:
    """Ask an interpreter what it is, in one short process.

    `environment` is laid over ours, for this and for every later run.  A launcher that stands in for an interpreter is replaced by
    what it starts.  Raises ShipwayError if it cannot be run, dies, or does not answer within 30 s.
    """
    extra = tuple(sorted((environment or {}).items()))
    surroundings = {**_plain_environment(), **dict(extra)}
    try:
        answer = subprocess.run(
            [path, *QUIET, "-c", _QUESTION],
            env=surroundings,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_WITHIN,
            check=False,
        )
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise _unusable(path, f"no answer within {ANSWER_WITHIN:.0f} s") from error
    if answer.returncode:
        raise _unusable(path, _last_line(answer.stderr) or how_it_ended(answer.returncode))
    return _parse(path, answer.stdout, extra)


def of_prefix(prefix: str) -> str | None:
    """The interpreter in PREFIX/bin, Python 3 first; None if there is none that may be run."""
    for name in _NAMES:
        path = f"{prefix}/bin/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def base_of(python: str) -> str:
    """The interpreter that a virtual environment was made with; any other is its own.  Raises ShipwayError if it cannot be asked."""
    question = "import sys; sys.stdout.write(getattr(sys, '_base_executable', None) or sys.executable)"
    try:
        answer = subprocess.run(
            [python, "-I", "-c", question],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_WITHIN,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _unusable(python, str(error)) from error
    return os.fsdecode(answer.stdout)


def from_image(tree: str) -> Interpreter | None:
    """The interpreter that an image brings, run from where the image lies, with its own libraries.

    None if it brings none (a link that leads out of the image is none).  Raises ShipwayError as `inspect` does.
    """
    path = of_prefix(tree)
    if path is None or not os.path.realpath(path).startswith(os.path.realpath(tree) + "/"):
        return None
    libraries = [f"{tree}/lib", f"{tree}/lib64", os.environ.get("LD_LIBRARY_PATH", "")]
    return inspect(path, {"LD_LIBRARY_PATH": ":".join(filter(None, libraries))})


def how_it_ended(returncode: int) -> str:
    """The end of a process in words, from its return code as `subprocess` gives it."""
    return f"ended by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


def _plain_environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**ours, "PYTHONHASHSEED": "0"}


def _parse(path: str, answer: bytes, environment: tuple[tuple[str, str], ...]) -> Interpreter:
    facts, _, executable = os.fsdecode(answer).partition("\n")
    try:
        version, implementation, tag, magic = facts.split(" ")
        major, minor, micro = (int(part) for part in version.split("."))
        number = bytes.fromhex(magic)
    except ValueError as error:
        raise _unusable(path, "it answers as no Python does") from error
    cache_tag = None if tag == _UNCACHED else tag
    return Interpreter(executable or path, (major, minor, micro), implementation, cache_tag, number, environment)


def _unusable(path: str, why: str) -> ShipwayError:
    return ShipwayError(f"{path} cannot be used as a Python interpreter: {why}", hint="name another one with --python")


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
