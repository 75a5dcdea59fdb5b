"""The walls of a jail, put up by the process inside before it reads a submission: limits, Landlock, a filter of calls.

What is put up here holds for the rest of the process, whatever it does: the kernel enforces it. Only the standard
library is used, since the process has nothing else to trust.
"""

import contextlib
import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from pathlib import Path

from losslab.arena import calls

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, CAPSET = 444, 445, 446, {"x86_64": 126, "aarch64": 91}
NEW_NAMESPACES = 0x10000000 | 0x40000000 | 0x08000000  # user, network, System V IPC
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute (libraries), read files, list folders
LIST = 1 << 3
OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # rights that a rule for a single file may name
FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # all, by version
REMOVE = 1 << 4 | 1 << 5  # folders and files: what is written stays in sight, where it is counted
SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 13  # making devices, sockets and pipes, moving between folders
DEVICES = "/dev/null", "/dev/zero", "/dev/urandom"
LAST_SIGNAL = 9

_libc = ctypes.CDLL(None, use_errno=True)


def namespaces() -> bool:
    """Leave the network and the shared memory of the machine, where that is allowed; while there is one thread."""
    unshare = getattr(_libc, "unshare", None)
    return unshare is not None and unshare(NEW_NAMESPACES) == 0


def limits(memory_bytes: int, file_bytes: int, seconds: int) -> None:
    """Bounds that the kernel keeps: memory beyond what is held now, the size of a file, open files, processor time."""
    held = _address_space()
    for name, most in (("RLIMIT_AS", held + memory_bytes if held else 0), ("RLIMIT_FSIZE", file_bytes),
                       ("RLIMIT_CPU", seconds), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 64), ("RLIMIT_NPROC", 64),
                       ("RLIMIT_MEMLOCK", 0), ("RLIMIT_MSGQUEUE", 0)):
        if hasattr(resource, name) and (most or name in ("RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE")):
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with contextlib.suppress(ValueError, OSError):  # macOS knows limits that it does not keep
                resource.setrlimit(kind, (most, most))


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def no_privileges() -> bool:
    """Give up what the system lets only some processes do, for good; end when the host ends."""
    if not hasattr(_libc, "prctl"):
        return False
    _libc.prctl(PR_SET_PDEATHSIG, LAST_SIGNAL, 0, 0, 0)
    done = _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if os.uname().machine in CAPSET:
        header, nothing = struct.pack("<Ii", 0x20080522, 0), bytes(24)
        done &= _libc.syscall(CAPSET[os.uname().machine], header, nothing) == 0
    return done


def landlock_version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    return max(0, _libc.syscall(CREATE_RULESET, None, 0, 1)) if os.uname().sysname == "Linux" else 0


def landlock(readable: Sequence[str], listed: Sequence[str], writable: Sequence[str]) -> int:
    """See no file but those beneath these folders, change none but those in `writable`; the version, 0 for nothing.

    Args:
        readable: folders and files that may be read.
        listed: folders of which only the names in them may be read.
        writable: folders in which files may be made and written, and none removed.
    """
    version = landlock_version()
    if not version:
        return 0
    every = FS_RIGHTS[max(known for known in FS_RIGHTS if known <= version)]
    net, scoped = (0b11 if version >= 4 else 0), (0b11 if version >= 6 else 0)
    rules = struct.pack("<QQQ", every, net, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(CREATE_RULESET, rules, len(rules), 0)
    if ruleset < 0:
        return 0
    try:
        device = 1 << 1 | 1 << 2
        allowed = [*((path, READ) for path in readable), *((path, LIST) for path in listed),
                   *((path, every & ~REMOVE & ~SPECIAL) for path in writable), *((path, device) for path in DEVICES)]
        for path, rights in allowed:
            with contextlib.suppress(FileNotFoundError):
                _allow(ruleset, path, rights & every)
        return version if _libc.syscall(RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights &= ~0 if os.path.isdir(path) else OF_A_FILE
        if _libc.syscall(ADD_RULE, ruleset, 1, struct.pack("<Qi", rights, place), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(place)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filtered() -> bool:
    """Let the kernel refuse calls that start processes, open connections, reach other processes, or undo the walls."""
    program = calls.program(os.uname().machine, os.getpid())
    if not program or not hasattr(_libc, "prctl"):
        return False
    raw = b"".join(program)
    given = _Program(len(program), raw)
    return _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0) == 0


def num_threads() -> int:
    """Threads of this process: Landlock binds the one that asks for it, and those that it starts later."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1
