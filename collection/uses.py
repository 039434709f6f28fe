"""What packages are for, tried out: programs that link against them, programs that they bring, modules that compute."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Use = Callable[[Path, Mapping[str, str]], None]

ZLIB = """#include <stdio.h>
#include <zlib.h>
int main(void) { printf("%s %lu", zlibVersion(), crc32(0, (const Bytef *)"shipway", 7)); return 0; }
"""
GMP = """#include <stdio.h>
#include <gmp.h>
int main(void) { mpz_t n; mpz_init(n); mpz_ui_pow_ui(n, 3, 100); gmp_printf("%s %Zd", gmp_version, n); return 0; }
"""
MPFR = """#include <stdio.h>
#include <mpfr.h>
int main(void) { mpfr_t x; mpfr_init2(x, 100); mpfr_const_pi(x, MPFR_RNDN); mpfr_printf("%s %.20Rf", mpfr_get_version(), x); return 0; }
"""
MPC = """#include <stdio.h>
#include <mpc.h>
int main(void) { mpc_t z; mpc_init2(z, 53); mpc_set_si_si(z, -1, 0, MPC_RNDNN); mpc_sqrt(z, z, MPC_RNDNN);
    mpfr_printf("%s %.1Rf", mpc_get_version(), mpc_imagref(z)); return 0; }
"""
SQLITE = """#include <stdio.h>
#include <sqlite3.h>
int main(void) { sqlite3 *db; puts(sqlite3_libversion()); return sqlite3_open(":memory:", &db); }
"""
PNG = """#include <stdio.h>
#include <png.h>
int main(void) { puts(png_get_libpng_ver(NULL)); return 0; }
"""
GMPY2 = """
import gmpy2, sys
gmpy2.get_context().precision = 200
print(gmpy2.version(), gmpy2.mp_version(), gmpy2.mpfr_version(), gmpy2.mpc_version())
print(gmpy2.mpz(3) ** 100, str(gmpy2.const_pi())[:32], gmpy2.sqrt(gmpy2.mpc(-1)).imag, sep="\\n")
print(gmpy2.gmpy2.__file__)
"""
PI = "3.14159265358979323846"


def linked(code: str, library: str) -> Use:
    """Compile a program against a library of the prefix, see that it finds that one, and that it says its version."""

    def use(prefix: Path, versions: Mapping[str, str]) -> None:
        program = prefix.parent / f"use-{library}"
        program.with_suffix(".c").write_text(code)
        places = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"]
        more = {"mpfr": ["-lgmp"], "mpc": ["-lmpfr", "-lgmp"], "png16": ["-lz"]}.get(library, [])
        said(["cc", "-o", str(program), f"{program}.c", *places, f"-l{library}", *more])
        _lies_in(prefix, program, f"lib{library}")
        name = {"z": "zlib", "sqlite3": "sqlite", "png16": "libpng"}.get(library, library)
        answer = said([str(program)])
        assert versions[name] in answer, f"{answer} is not of {versions[name]}"
        assert library != "gmp" or str(3**100) in answer, answer
        assert library != "mpfr" or PI in answer, answer
        assert library != "mpc" or answer.endswith(" 1.0"), answer

    return use


def runs(program: str, *words: str, says: str = "") -> Use:
    """A program of the prefix runs, and names its version."""

    def use(prefix: Path, versions: Mapping[str, str]) -> None:
        answer = said([f"{prefix}/bin/{program}", *words])
        assert says in answer if says else re.search(r"\d", answer), f"{program} says {answer!r}"

    return use


def imports(module: str, attribute: str = "__version__") -> Use:
    """A module of the prefix is imported from there, and is of the version that was built."""

    def use(prefix: Path, versions: Mapping[str, str]) -> None:
        code = f"import {module}; print({module}.__file__, getattr({module}, {attribute!r}, ''))"
        answer = python(prefix, code)
        assert answer.startswith(str(prefix)), answer
        version = versions.get(module.lower(), "")
        assert not answer.split()[1:] or version in answer, f"{answer} is not of {version}"

    return use


def packs(program: str) -> Use:
    """What it packs it unpacks again."""

    def use(prefix: Path, versions: Mapping[str, str]) -> None:
        data = b"shipway" * 10_000
        packed = _through([f"{prefix}/bin/{program}", "-c"], data)
        assert len(packed) < len(data) and _through([f"{prefix}/bin/{program}", "-dc"], packed) == data

    return use


def _through(words: list[str], data: bytes) -> bytes:
    return subprocess.run(words, check=True, capture_output=True, input=data).stdout


def gmpy2(prefix: Path, versions: Mapping[str, str]) -> None:
    """It computes, with the libraries of the prefix."""
    first, power, pi, imaginary, file = python(prefix, GMPY2).splitlines()
    wanted = [versions["gmpy2"], *(versions[name] for name in ("gmp", "mpfr", "mpc") if name in versions)]
    assert all(version in first for version in wanted), f"{first} is not of {wanted}"
    assert (power, pi[:22], imaginary[:3]) == (str(3**100), PI, "1.0"), (power, pi, imaginary)
    for library in ("libgmp", "libmpfr", "libmpc"):
        _lies_in(prefix, Path(file), library)


def numpy(prefix: Path, versions: Mapping[str, str]) -> None:
    """It computes."""
    code = "import numpy; print(numpy.__version__, numpy.__file__, (numpy.arange(10.0) @ numpy.arange(10.0)))"
    version, file, product = python(prefix, code).split()
    assert (version, product) == (versions["numpy"], "285.0") and file.startswith(str(prefix)), (version, file, product)


def python(prefix: Path, code: str) -> str:
    """What a Python says that sees the modules of the prefix."""
    major, minor = sys.version_info[:2]
    for name in ("site-packages", "dist-packages"):
        place = prefix / f"lib/python{major}.{minor}" / name
        if place.is_dir():
            return said([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(place)!r})\n{code}"])
    raise AssertionError(f"there are no modules in {prefix}")


def said(words: list[str]) -> str:
    """What a command says.  Raises CalledProcessError."""
    return subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()


def _lies_in(prefix: Path, program: Path, library: str) -> None:
    line = next(
        (line for line in said(["ldd", str(program)]).splitlines() if f"{library}." in line or library in line), ""
    )
    assert f"=> {prefix}/lib/" in line, f"{program.name} uses {line.strip() or 'no'} {library}"


USES: Mapping[str, Use] = {
    "zlib": linked(ZLIB, "z"),
    "gmp": linked(GMP, "gmp"),
    "mpfr": linked(MPFR, "mpfr"),
    "mpc": linked(MPC, "mpc"),
    "sqlite": linked(SQLITE, "sqlite3"),
    "libpng": linked(PNG, "png16"),
    "m4": runs("m4", "--version"),
    "bzip2": packs("bzip2"),
    "xz": packs("xz"),
    "patch": runs("patch", "--version"),
    "pkgconf": runs("pkgconf", "--version"),
    "ncurses": runs("tput", "-V", says="ncurses"),
    "six": imports("six"),
    "future": imports("future"),
    "cython": imports("Cython"),
    "setuptools": imports("setuptools"),
    "pip": imports("pip"),
    "wheel": imports("wheel"),
    "cysignals": imports("cysignals"),
    "numpy": numpy,
    "gmpy2": gmpy2,
}
