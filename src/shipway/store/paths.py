"""Paths on disk from a root and a path relative to it."""

from __future__ import annotations


def under(root: str, path: str) -> str:
    """Where a path of a tree lies: the root itself for ""."""
    return f"{root}/{path}" if path else root
