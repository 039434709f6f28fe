"""Import a package again and again, each time in a process that knows nothing yet, until stdin is closed.

    python importer.py TASK.json loop [COMMAND]   loop; the last line of stdout is a JSON report
    python importer.py TASK.json judge             one import; prints [outcome, reason]: what COMMAND has to run
    python importer.py TASK.json learn             one import; prints its fingerprints

A task is {"site": directory, "modules": [names], "known": [fingerprints, ...]}.  The fingerprints of a package are, for
each module, a number made from the names in it and the values of its constants.  An import is

    absent   the package is not there yet
    whole    every module is as in one of the known versions
    mixed    every module is as in a known version, yet not all as in the same
    broken   anything else: an exception, or a module that looks like none of the known ones

Runs under Python 2.7 as well as 3.
"""

import json
import os
import select
import sys
import zlib

KEPT = 5


def fingerprint(module):
    """A number for what a module holds."""
    names = sorted(name for name in vars(module) if not name.startswith("__"))
    constants = [name for name in names if name.isupper()] + ["__version__"]
    values = [getattr(module, name, None) for name in constants]
    seen = [repr(value) for value in values if isinstance(value, (str, int))]
    return zlib.crc32("\n".join(names + seen).encode("utf-8")) & 0xFFFFFFFF


def missing(error, package):
    """Whether the package as a whole is not there."""
    return str(error) in ("No module named " + package, "No module named '" + package + "'")


def load(task):
    """Import the modules; returns (outcome, fingerprints or reason)."""
    sys.path.insert(0, task["site"])
    package = task["modules"][0]
    try:
        __import__(package)
    except ImportError as error:
        if missing(error, package):
            return "absent", ""
        return "broken", repr(error)
    except Exception as error:
        return "broken", repr(error)
    try:
        for name in task["modules"]:
            __import__(name)
    except Exception as error:
        return "broken", name + ": " + repr(error)
    return "", {name: fingerprint(sys.modules[name]) for name in task["modules"]}


def judge(task, outcome, found):
    """Compare what was loaded with the known versions; returns (outcome, reason)."""
    if outcome:
        return outcome, found
    if found in task["known"]:
        return "whole", ""
    strange = [n for n in task["modules"] if all(known[n] != found[n] for known in task["known"])]
    if strange:
        return "broken", "incomplete: " + ", ".join(strange)
    return "mixed", ""


def in_child(task):
    """Import in a fresh process; whatever it does to itself, this one lives on."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            outcome, reason = judge(task, *load(task))
            os.write(writer, json.dumps([outcome, reason[:500]]).encode("utf-8"))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode("utf-8")
    os.waitpid(child, 0)
    return json.loads(text) if text else ("broken", "the process died")


def in_command(command):
    """Import in a process that somebody else starts."""
    import subprocess  # only here: what the modules import themselves they shall load themselves

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = process.communicate()[0].decode("utf-8").strip()
    if process.returncode:
        return "broken", text[-500:]
    return json.loads(text.splitlines()[-1])


def loop(task, command):
    """Import until told to stop, then report."""
    counts = {"absent": 0, "whole": 0, "mixed": 0, "broken": 0}
    reasons = []
    ready = False
    while not select.select([sys.stdin], [], [], 0)[0]:
        outcome, reason = in_command(command) if command else in_child(task)
        counts[outcome] += 1
        if reason and len(reasons) < KEPT:
            reasons.append(reason)
        if not ready:
            ready = True
            say("ready")
    counts["reasons"] = reasons
    say(json.dumps(counts))


def say(line):
    """Write a line to whoever started this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    """Read the task and do it."""
    with open(sys.argv[1]) as file:
        task = json.load(file)
    if sys.argv[2] == "loop":
        loop(task, sys.argv[3:])
    elif sys.argv[2] == "judge":
        say(json.dumps(judge(task, *load(task))))
    else:
        sys.dont_write_bytecode = True
        outcome, found = load(task)
        say(json.dumps({"outcome": outcome, "found": found}))


if __name__ == "__main__":
    main()
