"""Metadata of Python projects in a staged tree, found without reading the tree."""

from __future__ import annotations

import os

_LIBRARIES = ("site-packages", "dist-packages")


def infos_in(tree: str) -> list[str]:
    """The `dist-info` directories where an interpreter would look for them (lib/pythonX.Y/site-packages), relative to the tree."""
    pythons = [
        f"{lib}/{name}" for lib in ("lib", "lib64") for name in _names(f"{tree}/{lib}") if name.startswith("python")
    ]
    places = [f"{python}/{name}" for python in pythons for name in _LIBRARIES]
    return [f"{place}/{name}" for place in places for name in _names(f"{tree}/{place}") if name.endswith(".dist-info")]


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (
        OSError
    ):  # whoever seals the tree says what cannot be read; a symlink may lead anywhere, or round in a circle
        return []
