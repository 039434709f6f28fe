"""Sealing: a staged tree becomes an image, immutable files plus a manifest.

scanned = scan(fs, request)             read the tree in place, changing nothing
scanned = adopt(fs, request, scanned)   take it over (--move); `give_back` if something fails later
scanned = copy(fs, request)             or read and copy it in one pass, leaving it as it is
"""

from __future__ import annotations

from shipway.store.adopt import adopt, give_back
from shipway.store.copying import copy
from shipway.store.request import Dropped, Remark, Scanned, SealRequest
from shipway.store.scan import scan

__all__ = ["Dropped", "Remark", "Scanned", "SealRequest", "adopt", "copy", "give_back", "scan"]
