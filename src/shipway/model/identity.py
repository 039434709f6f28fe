"""One identity for a package whatever way it comes in: a package URL (PURL).

`gmp` given by hand is `pkg:generic/gmp`; `pkg:pypi/Foo_Bar` is the same package as `pkg:pypi/foo-bar`.
Source: the PURL specification (https://github.com/package-url/purl-spec), and PEP 503 for names of
Python projects.
"""

from __future__ import annotations

import re

from shipway.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z")
_PURL = re.compile(r"pkg:(?P<type>[a-z][a-z0-9.+-]*)/(?P<rest>[^@?#]+)\Z")


def identity_of(name: str) -> str:
    """The identity of what a person calls `name`: a PURL as it is, anything else as `pkg:generic/…`.

    Raises UsageError if it is neither a plain name nor a PURL without version and qualifiers.
    """
    purl = _PURL.match(name)
    if purl is None:
        return f"pkg:generic/{_checked(name, name)}"
    parts = [_checked(part, name) for part in purl["rest"].split("/")]
    if purl["type"] == "pypi":
        parts = [project(part) for part in parts]
    return f"pkg:{purl['type']}/{'/'.join(parts)}"


def project(name: str) -> str:
    """The name of a Python project as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def short_name(identity: str) -> str:
    """What a person calls the package: the last part of its identity."""
    return identity.rpartition("/")[2]


def checked_version(version: str) -> str:
    """A version as given, refused if it is empty or holds blanks or control characters (UsageError)."""
    if not version or any(c.isspace() or not c.isprintable() for c in version):
        raise UsageError(f"not a version: {version!r}", hint="give one word, such as --version 1.2.3")
    return version


def _checked(part: str, whole: str) -> str:
    if not _PART.match(part):
        raise UsageError(
            f"not a package name: {whole!r}",
            hint="use letters, digits and ._+~- (first a letter or digit), or a PURL such as pkg:pypi/build",
        )
    return part
