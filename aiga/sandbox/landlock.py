"""The second rung, where bubblewrap is missing or may not start: Landlock and seccomp, which need no installation.

The program stays among our processes and files, but may open only what bubblewrap would show it, has no sockets, cannot
change the modes or owners of files, and signals nobody outside. It can still learn the names, sizes and times of our
files. `stage.py` does the work in a process of its own.  https://docs.kernel.org/userspace-api/landlock.html
"""

import contextlib
import ctypes
import json
import math
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError
from aiga.sandbox import launch, seccomp, stage
from aiga.sandbox.launch import Launch, Rung
from aiga.sandbox.protocol import Limits

EXECUTE, WRITE, READ, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, stage.READ_FOLDER
MAKE_CHAR, MAKE_SOCKET, MAKE_BLOCK, REFER, TRUNCATE, DEVICES = 1 << 6, 1 << 9, 1 << 11, 1 << 13, 1 << 14, 1 << 15
FIRST = (1 << 13) - 1
"""The rights of version 1."""
PLAIN = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
SEEN = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")
TCP, ABSTRACT_SOCKETS, SIGNALS = 0b11, 1 << 0, 1 << 1
GRACE = 2.0
STAGE = Path(stage.__file__)


def version() -> int:
    """Of the kernel's interface; 0: it has none."""
    return max(0, ctypes.CDLL(None).syscall(stage.CREATE_RULESET, None, 0, 1))


def rung() -> Rung:
    """The rung, if the kernel has it."""
    found = version()
    if found == 0:
        raise UsageError(
            f"kernel {platform.release()} has no Landlock: 5.13 or later has it, with landlock in its lsm=."
        )
    return Rung("landlock+seccomp", wrap, alone=_signals_stay(found))


def _signals_stay(found: int) -> bool:
    """Stopped by Landlock, or because the program's user has no processes but its own."""
    return found >= 6 or os.getuid() == 0


@contextlib.contextmanager
def wrap(
    argv: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    readable: Sequence[Path] = (),
    pass_fds: Sequence[int] = (),
    lasting: bool = False,
) -> Iterator[Launch]:
    """The command behind `stage.py`; `folder` comes from `launch.private_folder`."""
    found = version()
    paths = _paths(folder, readable, found)
    call_filter = seccomp.exposed(signals=_signals_stay(found))
    settings = {
        "landlock": {
            "files": _files(found),
            "network": TCP * (found >= 4),
            "scope": (ABSTRACT_SOCKETS | SIGNALS) * (found >= 6),
            "paths": [(str(path), allowed) for path, allowed in paths.items()],
            "hidden": [str(path) for path in launch.HIDDEN],
        },
        "filter": call_filter.hex(),
        "user": folder.stat().st_uid if os.getuid() == 0 else None,
        "search": not all(map(_open_to_all, paths)),
        "limits": rlimits(limits, lasting),
    }
    yield staged(argv, folder, settings, pass_fds)


def staged(argv: Sequence[str], folder: Path, settings: dict[str, Any], pass_fds: Sequence[int]) -> Launch:
    """A launch by way of `stage.py`."""
    settings |= {"parent": os.getpid(), "self": seccomp.SELF}
    words = (sys.executable, "-I", "-S", str(STAGE), json.dumps(settings))
    inside = str(folder)
    return Launch(
        (*words, *launch.command(argv)), launch.environment(inside, inside), inside, inside, tuple(pass_fds), GRACE
    )


def rlimits(limits: Limits, lasting: bool) -> dict[str, int]:
    """By the names of the module `resource`."""
    common = {
        "RLIMIT_FSIZE": limits.files_mb * 2**20,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": launch.OPEN_FILES,
        "RLIMIT_CORE": 0,
    }
    own = {"RLIMIT_AS": limits.memory_mb * 2**20, "RLIMIT_CPU": math.ceil(limits.seconds) + 1}
    return common | ({} if lasting else own)


def _files(found: int) -> int:
    """All rights that this version can refuse."""
    return FIRST | REFER * (found >= 2) | TRUNCATE * (found >= 3) | DEVICES * (found >= 5)


def _paths(folder: Path, readable: Sequence[Path], found: int) -> dict[Path, int]:
    """What may be opened and how; a folder stands for all that is in it."""
    look = {Path(name).resolve() for name in (*launch.SYSTEM, *launch.SETTINGS, *SEEN)}
    look |= {path.resolve() for path in (*launch.interpreter(), *readable)}
    rights = {path: EXECUTE | READ | READ_FOLDER * path.is_dir() for path in sorted(look) if path.exists()}
    rights |= {Path(name): READ | WRITE for name in PLAIN}
    return rights | {folder: _files(found) & ~(MAKE_CHAR | MAKE_BLOCK | MAKE_SOCKET | DEVICES)}


def _open_to_all(path: Path) -> bool:
    """Whether any user can get there."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)
