"""What suits an interpreter: the variables of markers, and the tags of wheels, best first.

Sources: "Dependency specifiers" and "Platform compatibility tags" (packaging.python.org), by the `packaging` library, which is run in
the interpreter itself unless that is ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from shipway.errors import ShipwayError
from shipway.python.interpreter import ANSWER_WITHIN

_QUESTION = """\
import json, sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "tags":
    from packaging.tags import sys_tags
    print(json.dumps([str(tag) for tag in sys_tags()]))
else:
    from packaging.markers import default_environment
    print(json.dumps(default_environment()))
"""


def markers(python: str) -> dict[str, str]:
    """The variables of markers, but for `extra`.  Raises ShipwayError if the interpreter cannot be asked."""
    if _is_ours(python):
        from packaging.markers import default_environment

        return {name: str(value) for name, value in default_environment().items()}
    return dict(_asked(python, "markers"))


def tags(python: str) -> list[str]:
    """The tags of wheels that will do, best first.  Raises ShipwayError if the interpreter cannot be asked."""
    if _is_ours(python):
        from packaging.tags import sys_tags

        return [str(tag) for tag in sys_tags()]
    return list(_asked(python, "tags"))


def _is_ours(python: str) -> bool:
    """Whether it is the very program that runs this: environments have links to it."""
    return os.path.realpath(python) == os.path.realpath(sys.executable)


@cache
def _asked(python: str, what: str) -> Any:
    import packaging

    place = os.path.dirname(os.path.dirname(os.path.abspath(packaging.__file__)))
    try:
        answer = subprocess.run(
            [python, "-I", "-S", "-c", _QUESTION, place, what],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_WITHIN,
            check=True,
        )
        return json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ShipwayError(f"{python} does not say what suits it: {error}") from error
