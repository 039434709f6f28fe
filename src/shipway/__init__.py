"""Shipway installs packages into a live prefix: atomically, recorded, reversibly.

    from shipway import Prefix

The class is loaded at first use, so that `shipway --version` costs nothing but the interpreter's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shipway.api import Prefix

__all__ = ["Prefix", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load `Prefix` when it is first asked for (PEP 562)."""
    if name != "Prefix":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shipway.api import Prefix

    globals()[name] = Prefix
    return Prefix
