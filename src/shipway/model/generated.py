"""Files that many packages generate: one path, written anew from whatever lies around it.

Every `make install` that ends in `install-info` or `glib-compile-schemas` stages its own edition of
the same index, describing itself alone.  Such files belong to no package: sealing leaves them out
(`is_generated`), and after a commit the tool that makes them runs on the live tree, where it is
there (`regenerate_for` says which; `prefix.regenerate` runs them).

Only indexes that are known to be made again from their neighbours, or on demand, are listed: what
one package alone generates (`loaders.cache`, a font's own map) is an ordinary file of that package.

Nothing here touches a disk.  Paths are relative to the prefix, as in manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Output(Enum):
    """Where a tool puts its result, which decides how it is kept from writing into live files.

    VIEW: files in the directory it is given; it gets a view of the directory, made of symlinks.
    MERGE: one index that it edits entry by entry; it gets a copy of the index, once for each input.
    ELSEWHERE: outside the directory (the user's cache); it gets the directory itself.
    """

    VIEW = "view"
    MERGE = "merge"
    ELSEWHERE = "elsewhere"


class Regeneration(NamedTuple):
    """One run of a tool that makes generated files of one directory anew.

    `tools` are names of the same tool, the first that is found is run.  In `arguments` stand, as
    whole arguments: `{directory}` for the view (or the directory), `{index}` for the copy of the
    index, `{input}` for one input; `removal` replaces them for an input that is gone.
    `reads` are the names a view consists of, all but the outputs if empty; `outputs` the names the
    tool writes, with directories of their own left out.  `why` completes "… because".
    """

    directory: str
    tools: tuple[str, ...]
    arguments: tuple[str, ...]
    output: Output
    outputs: tuple[str, ...]
    why: str
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()


_MIME = frozenset({
    "XMLnamespaces", "aliases", "generic-icons", "globs", "globs2", "icons", "magic", "mime.cache",
    "subclasses", "treemagic", "types", "version",
})  # fmt: skip

# Generated files by name, with what must hold of the directory they lie in.  Patterns are compiled when they are first asked for.
_GENERATED: dict[str, str] = {
    "dir": r"share/info\Z",
    "dir.old": r"share/info\Z",
    "perllocal.pod": r"",
    "icon-theme.cache": r"share/icons/",
    "gschemas.compiled": r"share/glib-2\.0/schemas\Z",
    "mimeinfo.cache": r"share/applications\Z",
    "giomodule.cache": r"(?s)(?:.*/)?gio/modules\Z",
    "fonts.dir": r"(?:share|lib/X11)/fonts\b",
    "fonts.scale": r"(?:share|lib/X11)/fonts\b",
    "fonts.cache-1": r"(?:share|lib/X11)/fonts\b",
    ".uuid": r"(?:share|lib/X11)/fonts\b",
    "dropin.cache": r"(?s)(?:.*/)?plugins\Z",
    **dict.fromkeys(_MIME, r"share/mime\Z"),
}
_MIME_TYPE = r"(?s)share/mime/(?!packages/)[^/]+/[^/]+\.xml"
_FONT_CACHE = "var/cache/fontconfig/"
_TREES = ("share/mime/", _FONT_CACHE)


def is_generated(path: str) -> bool:
    """Whether a file of this path is one that any package may bring and no package owns."""
    parent, _, name = path.rpartition("/")
    place = _GENERATED.get(name)
    if place is None:
        return path.startswith(_TREES) and (path.startswith(_FONT_CACHE) or re.fullmatch(_MIME_TYPE, path) is not None)
    return re.match(place, parent) is not None


def generated_among(directory: str, names: Iterable[str]) -> list[str]:
    """The names of one directory that are generated: `is_generated` for many at a time."""
    if f"{directory}/".startswith(_TREES):
        return [name for name in names if is_generated(f"{directory}/{name}")]
    known = sorted(_GENERATED.keys() & names)
    return [name for name in known if re.match(_GENERATED[name], directory)]


class _Rule(NamedTuple):
    """A regeneration for every directory that the first group of `trigger` finds in a changed path."""

    trigger: str
    tools: tuple[str, ...]
    arguments: tuple[str, ...]
    output: Output
    outputs: tuple[str, ...]
    why: str
    reads: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()

    def regeneration(self, directory: str, inputs: tuple[str, ...]) -> Regeneration:
        return Regeneration(
            directory, self.tools, self.arguments, self.output, self.outputs, self.why, inputs, self.reads, self.removal
        )


_DIRECTORY = "{directory}"
_RULES = (
    _Rule(
        r"(?s)(share/info)/[^/]+\.info(?:\.(?:gz|bz2|xz|lzma|zst))?",
        ("install-info",),
        ("{input}", "{index}"),
        Output.MERGE,
        ("dir",),
        "the directory of manuals lists every Info manual",
        removal=("--delete", "{input}", "{index}"),
    ),
    _Rule(
        r"(?s)(share/icons/[^/]+)/.+",
        ("gtk4-update-icon-cache", "gtk-update-icon-cache", "gtk-update-icon-cache-3.0"),
        ("--force", "--ignore-theme-index", "--quiet", _DIRECTORY),
        Output.VIEW,
        ("icon-theme.cache",),
        "the icon cache lists every icon of the theme",
    ),
    _Rule(
        r"(?s)(share/mime)/packages/[^/]+\.xml",
        ("update-mime-database",),
        (_DIRECTORY,),
        Output.VIEW,
        tuple(sorted(_MIME)),
        "the MIME database is made from all of share/mime/packages",
        reads=("packages",),
    ),
    _Rule(
        r"(?s)(share/glib-2\.0/schemas)/[^/]+\.(?:gschema\.xml|enums\.xml|gschema\.override)",
        ("glib-compile-schemas",),
        (_DIRECTORY,),
        Output.VIEW,
        ("gschemas.compiled",),
        "settings are read from all schemas compiled into one file",
    ),
    _Rule(
        r"(?s)(share/applications)/.+\.desktop",
        ("update-desktop-database",),
        ("--quiet", _DIRECTORY),
        Output.VIEW,
        ("mimeinfo.cache",),
        "the cache says which application opens which MIME type",
    ),
    _Rule(
        r"(?s)((?:[^/]+/)+gio/modules)/[^/]+\.so",
        ("gio-querymodules",),
        (_DIRECTORY,),
        Output.VIEW,
        ("giomodule.cache",),
        "the cache lists what every GIO module offers",
    ),
    _Rule(
        r"(?s)((?:share/fonts/X11|lib/X11/fonts)/.+)/[^/]+\.(?:ttf|ttc|otf|pf[ab])(?:\.gz)?",
        ("mkfontscale",),
        (_DIRECTORY,),
        Output.VIEW,
        ("fonts.scale",),
        "the X server finds scalable fonts by fonts.scale",
    ),
    _Rule(
        r"(?s)((?:share/fonts/X11|lib/X11/fonts)/.+)/[^/]+\.(?:ttf|ttc|otf|pf[ab]|pcf|bdf|snf)(?:\.gz)?",
        ("mkfontdir",),
        (_DIRECTORY,),
        Output.VIEW,
        ("fonts.dir",),
        "the X server finds fonts by fonts.dir",
    ),
    _Rule(
        r"(?s)(share/fonts)/.+\.(?:ttf|ttc|otf|pf[ab]|pcf|bdf|woff2?)(?:\.gz)?",
        ("fc-cache",),
        (_DIRECTORY,),
        Output.ELSEWHERE,
        (),
        "fontconfig caches what fonts a directory holds",
    ),
)


_CONCERNED = (
    r"(?s)share/(?:info|icons|mime|glib-2\.0|applications|fonts)(?:/|\Z)|lib/X11/fonts(?:/|\Z)|(?:.*/)?gio/modules\Z"
)


def may_regenerate(directory: str) -> bool:
    """Whether a change in a directory can ask for a regeneration at all: a quick no for almost all."""
    return re.match(_CONCERNED, directory) is not None


def regenerate_for(changed: Iterable[str]) -> list[Regeneration]:
    """What to run after these files have come, changed or gone: one entry a tool and directory.

    The order is that of need (`fonts.scale` before `fonts.dir`), each with its inputs sorted.
    """
    paths = sorted(set(changed))
    found: list[Regeneration] = []
    for rule in _RULES:
        inputs: dict[str, list[str]] = {}
        for path in paths:
            match = re.fullmatch(rule.trigger, path)
            if match and not is_generated(path):
                inputs.setdefault(match.group(1), []).append(path)
        found += [rule.regeneration(directory, tuple(inputs[directory])) for directory in sorted(inputs)]
    return found
