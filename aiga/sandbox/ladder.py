"""Which sandbox this machine has: the rungs are tried from the best down, and the last is to refuse.

    bubblewrap + seccomp  ->  Landlock + seccomp  ->  UsageError, unless AIGA_SANDBOX names a container

A rung counts when a small hostile program, run on it once per boot, has been held.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiga.core.errors import UsageError
from aiga.sandbox import bubblewrap, commands, container, landlock, launch, trial
from aiga.sandbox.launch import Launch, Rung
from aiga.sandbox.pool import Pool
from aiga.sandbox.protocol import USUAL, Limits, Result, Serve

VARIABLE = "AIGA_SANDBOX"
RUNGS: dict[str, Callable[[], Rung]] = {"bubblewrap": bubblewrap.rung, "landlock": landlock.rung}
MEND = (
    "install bubblewrap (apt install bubblewrap), name a container by AIGA_SANDBOX=docker:IMAGE, or run what nobody "
    "has read with your own rights by --unsafe-no-sandbox; `aiga doctor` says more"
)

MENDS = {
    "bubblewrap": "apt install bubblewrap (or dnf, pacman)",
    "landlock": "use a kernel of 5.13 or later, started with landlock in its lsm= list",
}
RESTRICTION = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
APPARMOR = "allow them to bwrap by a profile (docs/sandbox.md has it)"


class Confined:
    """A `Sandbox` on a rung: a process for each command, a pool for functions."""

    def __init__(self, rung: Rung) -> None:
        self.level = rung.level
        self._rung, self._pool = rung, Pool(rung)

    async def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, str | bytes],
        limits: Limits = USUAL,
        collect: Sequence[str] = (),
        serve: Serve | None = None,
    ) -> Result:
        """A command in a folder of its own that holds `files`; `collect` names (globs) what comes back."""
        return await commands.run(self._rung, argv, files=files, limits=limits, collect=collect, serve=serve)

    async def call(
        self,
        code: str,
        function: str = "main",
        arguments: Sequence[Any] = (),
        *,
        limits: Limits = USUAL,
        serve: Serve | None = None,
    ) -> Result:
        """A function of a Python program, in a fork of a process that stays."""
        return await self._pool.call(code, function, arguments, limits=limits, serve=serve)

    def close(self) -> None:
        """End the pool's processes; at the end of ours, they end by themselves."""
        self._pool.close()


def best() -> Confined:
    """The first rung that holds; UsageError if there is none. `AIGA_SANDBOX` names the only one to be tried."""
    return _confined(os.environ.get(VARIABLE, ""))


@functools.cache
def _confined(name: str) -> Confined:
    found = list(examine(name))
    if found and found[-1].rung:
        launch.sweep()
        return Confined(found[-1].rung)
    words = "; ".join(f"{finding.name}: {finding.fault}" for finding in found) or f"{VARIABLE}=none"
    raise UsageError(f"no sandbox holds programs here ({words}): {MEND}.")


class Finding(NamedTuple):
    """A rung that was tried."""

    name: str
    rung: Rung | None
    """None: it does not hold."""
    fault: str = ""
    mend: str = ""


def examine(name: str, afresh: bool = False) -> Iterator[Finding]:
    """Try the rungs until one holds; `afresh`: even if it held before."""
    for word, make in _candidates(name).items():
        try:
            rung = make()
        except UsageError as error:
            yield Finding(word, None, str(error).rstrip("."), MENDS.get(word, MEND))
            continue
        if fault := _fault(rung, afresh):
            yield Finding(word, None, fault, _mend(word))
            continue
        yield Finding(word, rung)
        return


def _candidates(name: str) -> dict[str, Callable[[], Rung]]:
    if name == "none":
        return {}
    if name in RUNGS:
        return {name: RUNGS[name]}
    if name.partition(":")[0] in container.ENGINES:
        return {name: functools.partial(container.rung, name)}
    if name:
        allowed = ", ".join([*RUNGS, *(f"{engine}:IMAGE" for engine in container.ENGINES), "none"])
        raise UsageError(f"{VARIABLE}={name} is no sandbox; these are: {allowed}.")
    return dict(RUNGS)


def _mend(word: str) -> str:
    """For a rung that is there and does not start, or does not hold."""
    if word == "bubblewrap" and RESTRICTION.exists() and RESTRICTION.read_text().strip() == "1":
        return f"AppArmor restricts user namespaces: {APPARMOR}, or sysctl -w kernel.{RESTRICTION.name}=0"
    if word == "bubblewrap":
        return "sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1"
    return MENDS.get(word, f"see what `{word.partition(':')[0]} run` says of the image; it needs `python`")


def _fault(rung: Rung, afresh: bool) -> str:
    """Why the rung does not hold; what held is not tried again until the machine starts anew."""
    memory, key = _memory(), _key(rung)
    if not afresh and _remembered(memory).get(rung.level) == key:
        return ""
    if missed := trial.escapes(rung):
        return f"the self-test failed ({', '.join(missed)})"
    with contextlib.suppress(OSError):  # it is tried again next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(_remembered(memory) | {rung.level: key}))
    return ""


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aiga" / "sandbox.json"


def _remembered(memory: Path) -> dict[str, str]:
    try:
        return json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}


def _key(rung: Rung) -> str:
    """Changes with the boot, the user, the interpreter and our own files."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    digest = hashlib.sha256(f"{rung.level} {os.getuid()} {sys.prefix} {trial.PATIENCE}".encode())
    digest.update(boot.read_bytes() if boot.exists() else b"")
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def unsafe() -> Confined:
    """No confinement: a command's rights are yours. Only the limits of processes, and the end of what it started."""
    return Confined(Rung("none", _unconfined, alone=False))


@contextlib.contextmanager
def _unconfined(
    argv: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    readable: Sequence[Path] = (),
    pass_fds: Sequence[int] = (),
    lasting: bool = False,
) -> Iterator[Launch]:
    del readable  # everything is
    settings = {"landlock": None, "filter": "", "user": None, "search": False}
    yield landlock.staged(argv, folder, settings | {"limits": landlock.rlimits(limits, lasting)}, pass_fds)
