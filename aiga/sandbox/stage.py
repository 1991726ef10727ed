"""Run as `python -I -S stage.py SETTINGS COMMAND ...`: confines a command by Landlock, seccomp and limits.

One process watches: orphans become its children, and all of them are killed when the command has ended, when SIGTERM
comes, or when whoever started it is gone. The other takes on the confinement and becomes the command. Standard library
only, in a process without threads.  https://docs.kernel.org/userspace-api/landlock.html
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 1, 8, 22, 36
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, AMBIENT_RAISE, FILTER = 38, 47, 2, 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, CAPSET = 444, 445, 446, {"x86_64": 126, "aarch64": 91}
BENEATH = 1
READ_FOLDER = 1 << 3
DAC_READ_SEARCH = 2
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Start the command, watch it, end what is left of it, and leave with its code (128 + signal, as a shell does)."""
    settings, argv = json.loads(sys.argv[1]), sys.argv[2:]
    signals = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _check(LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    _check(LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0))
    if os.getppid() != settings["parent"]:
        sys.exit("whoever started this is gone.")
    watcher, crowd = os.getpid(), _crowd(settings["user"])
    command = os.fork()
    if command == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        become(argv, settings, watcher, crowd)
    code = watch(command, signals)
    sweep(settings["user"])
    sys.exit(code)


def watch(command: int, signals: set[signal.Signals]) -> int:
    """Reap whatever ends until the command does, or until we are told to end it."""
    while signal.sigwait(signals) == signal.SIGCHLD:
        while found := _reap():
            if found[0] == command:
                return found[1] if found[1] >= 0 else 128 - found[1]
    return 128 + signal.SIGTERM


def sweep(user: int | None) -> None:
    """Kill all descendants, until there are none."""
    while True:
        while found := _reap():
            if found[0] < 0:
                return
        if user is not None:
            _kill_all_of(user)
        else:
            for pid in _descendants():
                _kill(pid)


def _reap() -> tuple[int, int] | None:
    """A process that ended, and its code; (-1, 0): there are none at all; None: none has ended."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return -1, 0
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill_all_of(user: int) -> None:
    """By one system call, which no fork escapes: the user is of this command alone."""
    killer = os.fork()
    if killer == 0:
        os.setresuid(user, user, user)
        os.kill(-1, signal.SIGKILL)  # and not itself
        os._exit(0)
    os.waitpid(killer, 0)


def _descendants() -> list[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{name}/stat", "rb") as file:
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def _crowd(user: int | None) -> int:
    """How many threads our own user has already: the limit counts them; a user of the command alone has none."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc") if user is None else ()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if os.stat(f"/proc/{name}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def become(argv: list[str], settings: dict[str, Any], watcher: int, crowd: int) -> NoReturn:
    """Take on the confinement and execute the command."""
    os.setsid()
    ruleset = create(settings["landlock"]) if settings["landlock"] else None
    if settings["user"] is not None:
        drop(settings["user"], settings["search"])
    _check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != watcher:
        os._exit(1)
    for name, most in settings["limits"].items():
        most += crowd * (name == "RLIMIT_NPROC")
        resource.setrlimit(getattr(resource, name), (most, most))
    if ruleset is not None:
        _check(LIBC.syscall(RESTRICT_SELF, ruleset, 0))
        os.close(ruleset)
    if settings["filter"]:
        own = struct.pack("=I", os.getpid())
        refuse(bytes.fromhex(settings["filter"]).replace(struct.pack("=I", settings["self"]), own))
    try:
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127)


def create(rules: dict[str, Any]) -> int:
    """The ruleset, as a descriptor: all that is `handled` is refused, but for `paths`."""
    attributes = struct.pack("=3Q", rules["files"], rules["network"], rules["scope"])
    ruleset = _check(LIBC.syscall(CREATE_RULESET, attributes, len(attributes), 0))
    for root, rights in rules["paths"]:
        for path, allowed in around(root, rights, rules["hidden"]):
            place = os.open(path, os.O_PATH)
            _check(LIBC.syscall(ADD_RULE, ruleset, BENEATH, struct.pack("=Qi", allowed, place), 0))
            os.close(place)
    return ruleset


def around(path: str, allowed: int, hidden: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The same rule for all beneath `path` but what is hidden, of which it allows the names alone."""
    if not any(other == path or other.startswith(f"{path}/") for other in hidden):
        yield path, allowed
    elif path not in hidden:
        yield path, allowed & READ_FOLDER
        for entry in os.scandir(path):
            if not entry.is_symlink():  # its target has a rule of its own, or none
                yield from around(entry.path, allowed if entry.is_dir() else allowed & ~READ_FOLDER, hidden)


def drop(user: int, search: bool) -> None:
    """Become a user without a name; with `search`, one that may pass folders as root may, and Landlock decides."""
    _check(LIBC.prctl(PR_SET_KEEPCAPS, int(search), 0, 0, 0))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if search:
        header, kept = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[1 << DAC_READ_SEARCH] * 3, 0, 0, 0)
        _check(LIBC.syscall(CAPSET[os.uname().machine], header, kept))
        _check(LIBC.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, DAC_READ_SEARCH, 0, 0))


def refuse(program: bytes) -> None:
    """Filter our system calls from now on."""
    code = ctypes.create_string_buffer(program)
    length = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _check(LIBC.prctl(PR_SET_SECCOMP, FILTER, length, 0, 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main()
