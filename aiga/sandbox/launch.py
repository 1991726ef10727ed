"""How a confined process is started and ended: what each rung of the ladder gives, whatever holds the program."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aiga.sandbox.protocol import Limits
from aiga.sandbox.wipe import wipe

OPEN_FILES = 128
PREFIX = "aiga-sandbox-"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32")
"""What programs and their libraries are made of."""
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
HIDDEN = (Path(__file__).resolve().parents[1],)
"""Our own package, where the interpreter's folders hold it: what programs are measured by lies there."""


class Launch(NamedTuple):
    """One confined process, ready to be started once."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """All of it: nothing of our environment is in it."""
    cwd: str
    inside: str
    """Where the program finds its folder."""
    pass_fds: tuple[int, ...] = ()
    grace: float = 0.0
    """Seconds between SIGTERM and SIGKILL at the end."""
    undo: tuple[str, ...] = ()
    """A command that ends what signals do not reach (a container)."""

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments to start it with: no `preexec_fn`, which is unsafe beside threads."""
        return {"env": self.env, "cwd": self.cwd, "pass_fds": self.pass_fds, "start_new_session": True}


class Wrap(Protocol):
    """Puts a command into confinement."""

    def __call__(
        self,
        argv: Sequence[str],
        folder: Path,
        limits: Limits,
        *,
        readable: Sequence[Path] = (),
        pass_fds: Sequence[int] = (),
        lasting: bool = False,
    ) -> AbstractContextManager[Launch]:
        """`readable`: more paths to be seen; `lasting`: it limits memory and processor time of its children itself.

        The process ends with the thread that starts it. Leave the context when it has started.
        """
        ...


class Rung(NamedTuple):
    """One way to hold programs."""

    level: str
    wrap: Wrap
    alone: bool
    """Whether a signal to everybody reaches only what runs inside; if not, no signals can be sent at all."""
    writable: tuple[str, ...] = ()
    """Where a program can write besides its folder, until the launch ends."""


def environment(inside: str, temporary: str) -> dict[str, str]:
    """What a program may know. Its libraries start no threads: processes are few."""
    path = ":".join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    places = {"PATH": path, "HOME": inside, "TMPDIR": temporary, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return places | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def command(argv: Sequence[str]) -> list[str]:
    """The words of a command; `python` is our interpreter, whatever it is called."""
    return [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]


def interpreter() -> list[Path]:
    """The folders of our interpreter that are no system folders."""
    own = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(sys.executable).absolute().parents[1]}
    return sorted(path for path in own if not path.is_relative_to("/usr") and path != Path("/"))


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """An empty folder for one program, deleted at the end; made by root, it belongs to a user that nobody else is."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_namespace()}-{os.getpid()}-"))
    try:
        if os.getuid() == 0:
            user = stranger()
            os.chown(folder, user, user)
        yield folder
    finally:
        wipe(str(folder))
        folder.rmdir()


def sweep() -> None:
    """Remove the folders of processes that were killed before they could; what they ran has ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{_namespace()}-*-*"):
        number = folder.name.split("-")[-2]
        with contextlib.suppress(OSError):  # another user's
            if number.isdigit() and not _alive(int(number)):
                wipe(str(folder))
                folder.rmdir()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _namespace() -> int:
    """Where process numbers are ours; a folder may be seen from several places, such as containers."""
    place = Path("/proc/self/ns/pid")
    return place.stat().st_ino if place.exists() else 0


def stranger() -> int:
    """A user without a name, one for each folder: limits on processes are counted by user, and root has none."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    end = min(max(int(first) + int(count) for first, _, count in map(str.split, lines)), 2_000_000_000)
    return end - 10 - secrets.randbelow(min(end // 10, 1_000_000))


def end(process: "subprocess.Popen[bytes]", launch: Launch) -> None:
    """End the process and all that it started."""
    if launch.undo:
        subprocess.run(launch.undo, capture_output=True, check=False, timeout=30)
    with contextlib.suppress(ProcessLookupError):
        if launch.grace and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(launch.grace)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
