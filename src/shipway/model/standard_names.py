"""The top-level names of the standard library, in CPython 2.7 and 3.0 to 3.14, as data.

They are those of the module index of each version's documentation and, from 3.10 on, of `sys.stdlib_module_names`, on whatever
platform, as the package stdlib-list 0.12.0 keeps them; 3.0 and 3.1 have no others.  `__main__` is left out: every interpreter makes
its own.  A new version of Python adds its names here; none is ever taken away.
"""

from __future__ import annotations

OF_BOTH = frozenset(
    """
    __future__ _abcoll _ast _bisect _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw
    _collections _csv _ctypes _ctypes_test _curses _curses_panel _elementtree _functools _hashlib _heapq _io _json
    _locale _lsprof _md5 _multibytecodec _multiprocessing _osx_support _pyio _random _sha256 _sha512 _socket _sqlite3
    _sre _ssl _strptime _struct _symtable _sysconfigdata _testcapi _threading_local _tkinter _warnings _weakref
    _weakrefset abc aifc antigravity argparse array ast asynchat asyncore atexit audioop base64 bdb binascii binhex
    bisect bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall
    contextlib copy crypt csv ctypes curses datetime dbm decimal difflib dis distutils doctest dummy_threading email
    encodings ensurepip errno fcntl filecmp fileinput fnmatch formatter fpectl fractions ftplib functools gc
    genericpath getopt getpass gettext glob grp gzip hashlib heapq hmac idlelib imageop imaplib imghdr imp importlib
    inspect io itertools json keyword lib2to3 linecache locale logging macpath macurl2path mailbox mailcap marshal
    math md5 mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib ntpath nturl2path numbers
    opcode operator optparse os os2emxpath ossaudiodev parser pdb pickle pickletools pipes pkgutil platform plistlib
    poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat quopri random re
    readline resource rlcompleter runpy sched select shelve shlex shutil signal site smtpd smtplib sndhdr socket spwd
    sqlite3 sre_compile sre_constants sre_parse ssl stat string stringprep struct subprocess sunau symbol symtable sys
    sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap this threading time timeit token
    tokenize trace traceback tty turtle types unicodedata unittest urllib uu uuid warnings wave weakref webbrowser
    winsound wsgiref xdrlib xml xxsubtype zipfile zipimport zlib
    """.split()
)
"""Names that Python 2.7 and some Python 3 have."""

OF_2 = frozenset(
    """
    AL BaseHTTPServer Bastion CGIHTTPServer Canvas Carbon ColorPicker ConfigParser Cookie DEVICE Dialog
    DocXMLRPCServer EasyDialogs FL FileDialog FixTk FrameWork GL HTMLParser MacOS MimeWriter MiniAEFrame Nav
    PixMapWrapper Queue SUNAUDIODEV ScrolledText SimpleDialog SimpleHTTPServer SimpleXMLRPCServer SocketServer
    StringIO Tix Tkconstants Tkdnd Tkinter UserDict UserList UserString _LWPCookieJar _MozillaCookieJar __builtin__
    _bsddb _hotshot _sha _winreg aepack aetools aetypes al anydbm applesingle audiodev autoGIL bsddb buildtools
    cPickle cStringIO cd cfmfile commands compiler cookielib copy_reg dbhash dircache dl dumbdbm dummy_thread
    exceptions findertools fl flp fm fpformat future_builtins gdbm gensuitemodule gl hotshot htmlentitydefs htmllib
    httplib ic icopen ihooks imgfile imputil jpeg linuxaudiodev macerrors macostools macresource markupbase mhlib
    mimetools mimify multifile mutex new popen2 posixfile repr rexec rfc822 robotparser sets sgmllib sha sre statvfs
    stringold strop sunaudio sunaudiodev thread tkColorChooser tkCommonDialog tkFileDialog tkFont tkMessageBox
    tkSimpleDialog toaiff ttk urllib2 urlparse user videoreader whichdb xmllib xmlrpclib
    """.split()
)
"""Names that only Python 2.7 has."""

OF_3 = frozenset(
    """
    __phello__ _abc _aix_support _android_support _apple_support _ast_unparse _asyncio _blake2 _bootlocale
    _bootsubprocess _bz2 _collections_abc _colorize _compat_pickle _compression _contextvars _crypt _datetime _dbm
    _decimal _dummy_thread _frozen_importlib _frozen_importlib_external _gdbm _hmac _imp _interpchannels _interpqueues
    _interpreters _ios_support _lzma _markupbase _msi _opcode _opcode_metadata _operator _overlapped _peg_parser
    _pickle _posixshmem _posixsubprocess _py_abc _py_warnings _pydatetime _pydecimal _pylong _pyrepl _queue
    _remote_debugging _scproxy _sha1 _sha2 _sha3 _signal _sitebuiltins _stat _statistics _string _suggestions
    _sysconfig _testbuffer _testimportmultiple _testinternalcapi _testmultiphase _thread _tokenize _tracemalloc _types
    _typing _uuid _winapi _wmi _xxsubinterpreters _xxtestfuzz _zoneinfo _zstd annotationlib asyncio builtins
    compression concurrent configparser contextvars copyreg dataclasses enum faulthandler graphlib html http ipaddress
    lzma nt pathlib queue reprlib secrets selectors socketserver statistics tkinter tomllib tracemalloc turtledemo
    typing venv winreg xmlrpc xxlimited zipapp zoneinfo
    """.split()
)
"""Names that only some Python 3 has."""
