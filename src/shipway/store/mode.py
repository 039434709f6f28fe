"""How files share with the store: a word that configuration and prefix know too, without what carries it out."""

from __future__ import annotations

from enum import Enum


class LinkMode(Enum):
    """What files share with the image: data if possible, else the inode; only data; the inode; nothing."""

    AUTO = "auto"
    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"
