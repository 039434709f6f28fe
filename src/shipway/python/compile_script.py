"""Run by the interpreter whose bytecode is wanted, Python 2.7 or 3, as text after `-c`: sources in, code out.

stdin:  TREE NUL, then for each source PATH NUL NAME NUL SIZE NUL; the end of input ends the process.
stdout: "H 0" at the start; then for each source, as they came, either one "C LENGTH" for each optimisation
level asked for (the first argument, joined with commas), followed by as many bytes of marshalled code,
or one "E LENGTH" with the reason why it does not compile.  Each of these lines ends in a newline.

The code's file name is NAME, wherever the source lies (TREE/PATH).  Nothing is written to any disk, and nothing is imported but
built-in modules and codecs.
"""

import sys

if sys.path[:1] == [""]:
    del sys.path[0]

import marshal
import posix

try:
    import _signal as signal
except ImportError:
    import signal

MODERN = sys.version_info[0] >= 3


def fields():
    """What stands between the NULs of stdin."""
    rest = b""
    while True:
        data = posix.read(0, 65536)
        if not data:
            return
        parts = (rest + data).split(b"\0")
        rest = parts.pop()
        for part in parts:
            yield part


def answer(kind, data):
    """Write one record, whole."""
    record = kind + (" %d\n" % len(data)).encode("ascii") + data
    while record:
        record = record[posix.write(1, record) :]


def content(path, size):
    """The source, with any kind of newline in 2.7, whose compiler knows one only."""
    with open(path, "rb" if MODERN else "rU") as source:
        if posix.fstat(source.fileno()).st_size != size:
            raise ValueError("has changed since it was sealed")
        return source.read()


def compiled(path, name, size, levels):
    """The code of a source for every level, marshalled.  Raises whatever the compiler does."""
    data = content(path, size)
    if not MODERN:
        return [marshal.dumps(compile(data, name, "exec", 0, 1))]
    name = name.decode("utf-8", "surrogateescape")
    return [marshal.dumps(compile(data, name, "exec", 0, True, level)) for level in levels]


def reason(error):
    """An exception in one line."""
    text = "%s: %s" % (type(error).__name__, error)
    if MODERN:
        text = text.encode("utf-8", "backslashreplace")
    return b" ".join(text.split())


def main():
    """Answer every source until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    levels = [int(level) for level in sys.argv[1].split(",")]
    answer(b"H", b"")
    incoming = fields()
    tree = next(incoming)
    for path in incoming:
        name, size = next(incoming), int(next(incoming))
        try:
            codes = compiled(tree + b"/" + path, name, size, levels)
        except Exception as error:
            answer(b"E", reason(error))
        else:
            for code in codes:
                answer(b"C", code)


if __name__ == "__main__":
    main()
