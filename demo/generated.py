"""Packages made up for the purpose, shaped like real ones, for where no index can be reached."""

from __future__ import annotations

from pathlib import Path

SUBPACKAGES = ("backports", "builtins", "moves", "standard_library", "tests", "types", "utils")
MODULES_EACH = 30
FUNCTIONS_EACH = 25


def package_source(name: str, version: str) -> dict[str, str]:
    """The files of a package of some 220 modules in eight directories, by path.

    In each version one module in ten is absent, another one in each; every module says its version.
    """
    files = {f"{name}/__init__.py": _top(version)}
    for subpackage in SUBPACKAGES:
        folder = f"{name}/{subpackage}"
        files[f"{folder}/__init__.py"] = f'VERSION = "{version}"\n'
        for number in range(MODULES_EACH):
            if number % 10 != int(version.partition(".")[0]) % 10:
                files[f"{folder}/part{number:02}.py"] = _module(name, subpackage, number, version)
    return files


def modules_of(name: str) -> list[str]:
    """What an importer imports: the package, then modules that every version has."""
    return [name] + [f"{name}.{sub}.part{number:02}" for sub in SUBPACKAGES for number in (0, 14, 28)]


def write_package(site: Path, name: str, version: str) -> None:
    """Write the package and its dist-info into a site-packages directory."""
    files = package_source(name, version)
    info = f"{name}-{version}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files)
    for path, text in files.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _top(version: str) -> str:
    return f'"""A package."""\n\n__version__ = "{version}"\nVERSION = "{version}"\n\n' + _functions("top", version)


def _module(name: str, subpackage: str, number: int, version: str) -> str:
    sibling = f"from {name}.{subpackage} import VERSION as package_version\n" if number else ""
    return f'VERSION = "{version}"\n{sibling}\n' + _functions(f"{subpackage}_{number}", version)


def _functions(prefix: str, version: str) -> str:
    return "\n\n".join(
        f'def {prefix}_{number}(value):\n    """Return the value with a mark."""\n'
        f'    text = "{prefix} {version} " + str(value) * {number}\n    return [text for _ in range({number})]'
        for number in range(FUNCTIONS_EACH)
    )
