"""The first rung: a file system, processes, users and a network of a program's own, by bubblewrap.

Only the system's programs and our interpreter are there to be read, only the program's folder to be written; the
system calls of `seccomp` are refused, and nothing can gain privileges. Started by root, the program is a user without
a name: root's number of processes has no limit.  https://github.com/containers/bubblewrap
"""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiga.core.errors import UsageError
from aiga.sandbox import launch, seccomp
from aiga.sandbox.launch import Launch, Rung
from aiga.sandbox.protocol import Limits

INSIDE = "/box"
MEMORY = ("/tmp", "/dev/shm")
NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup-try")


PACKAGES = {"bwrap": "bubblewrap", "prlimit": "util-linux", "setpriv": "util-linux"}


def rung() -> Rung:
    """The rung, if its programs are installed; whether it holds is for the self-test."""
    for program in PACKAGES:
        _found(program)
    return Rung("bubblewrap+seccomp", wrap, alone=True, writable=MEMORY)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise UsageError(f"no `{program}`: apt install {PACKAGES[program]} (or dnf, pacman).")
    return path


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
    """The command inside bubblewrap; `folder` comes from `launch.private_folder`."""
    filter_fd = os.memfd_create("filter")
    try:
        os.write(filter_fd, seccomp.contained())
        os.lseek(filter_fd, 0, os.SEEK_SET)
        words = [
            _found("bwrap"),
            "--die-with-parent",
            "--new-session",
            "--seccomp",
            str(filter_fd),
            "--hostname",
            "sandbox",
        ]
        words += [*_namespaces(), *_files(None if lasting else folder, limits, readable)]
        words += ["--", *_drop(folder), *_limits(limits, lasting)]
        fds = (*pass_fds, filter_fd)
        yield Launch((*words, *launch.command(argv)), launch.environment(INSIDE, "/tmp"), str(folder), INSIDE, fds)
    finally:
        os.close(filter_fd)


def _namespaces() -> Iterator[str]:
    """Without root, a user namespace as well; with root, the capabilities to become a nobody."""
    yield from (f"--unshare-{name}" for name in NAMESPACES)
    if os.getuid() != 0:
        yield from ("--unshare-user", "--uid", "65534", "--gid", "65534")
        return
    yield from ("--cap-drop", "ALL")
    for name in ("SETUID", "SETGID", "SETPCAP", "DAC_READ_SEARCH"):  # the last to enter the folder
        yield from ("--cap-add", f"CAP_{name}")


def _files(folder: Path | None, limits: Limits, readable: Sequence[Path]) -> Iterator[str]:
    """What can be seen; without `folder`, its place is memory as well."""
    for path in map(Path, launch.SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path), str(path))
    for setting in launch.SETTINGS:
        yield from ("--ro-bind-try", setting, setting)
    size = str(max(limits.files_mb, 1) * 2**20)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for place in MEMORY if folder else (*MEMORY, INSIDE):
        yield from ("--perms", "1777", "--size", size, "--tmpfs", place)
    yield from _shown(launch.interpreter())
    hidden = [str(path) for path in _hidden()]
    for path in hidden:
        yield from ("--perms", "0755", "--tmpfs", path)
    yield from _shown(readable)
    if folder:
        yield from ("--bind", str(folder), INSIDE)
    for path in (*hidden, "/dev", "/"):
        yield from ("--remount-ro", path)
    yield from ("--chdir", INSIDE)


def _shown(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        for parent in reversed(path.parents[:-1]):
            yield from ("--perms", "0755", "--dir", str(parent))
        yield from ("--ro-bind", str(path), str(path))


def _hidden() -> Iterator[Path]:
    """Where in what is shown that lies which is not to be."""
    for root in {*map(Path, launch.SYSTEM), *launch.interpreter()}:
        for path in launch.HIDDEN:
            if path.is_relative_to(root.resolve()) and not root.is_symlink():
                yield root / path.relative_to(root.resolve())


def _drop(folder: Path) -> Iterator[str]:
    """Become the folder's owner, for good."""
    if os.getuid() == 0:
        owner = str(folder.stat().st_uid)
        yield from (_found("setpriv"), "--reuid", owner, "--regid", owner, "--clear-groups")
        yield from ("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--")


def _limits(limits: Limits, lasting: bool) -> Iterator[str]:
    """Set inside, where the number of processes is counted for this program alone."""
    yield _found("prlimit")
    if not lasting:
        yield from (f"--cpu={math.ceil(limits.seconds) + 1}", f"--as={limits.memory_mb * 2**20}")
    yield from (f"--fsize={limits.files_mb * 2**20}", f"--nproc={limits.processes}")
    yield from (f"--nofile={launch.OPEN_FILES}", "--core=0", "--")
