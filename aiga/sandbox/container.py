"""The third rung: a container, if the user names one by `AIGA_SANDBOX=docker:IMAGE` or `podman:IMAGE`.

The image has `python`. Its isolation is the engine's; what is asked of it is here.
"""

import contextlib
import math
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiga.core.errors import UsageError
from aiga.sandbox import launch
from aiga.sandbox.launch import Launch, Rung
from aiga.sandbox.protocol import Limits

ENGINES = ("docker", "podman")
INSIDE = "/box"


def rung(name: str) -> Rung:
    """The rung `ENGINE:IMAGE`, if the engine is installed."""
    engine, _, image = name.partition(":")
    if engine not in ENGINES or not image:
        raise UsageError(f"a container is named docker:IMAGE or podman:IMAGE, not {name!r}.")
    if shutil.which(engine) is None:
        raise UsageError(f"no `{engine}` for the container {name}; install it.")

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
        if pass_fds:
            raise UsageError("a command in a container cannot ask questions: use bubblewrap, or call a function.")
        label = f"aiga-{secrets.token_hex(8)}"
        words = [engine, "run", "--rm", "--interactive", "--name", label, *confine(folder, limits, lasting)]
        for path in readable:
            words += ["--volume", f"{path}:{path}:ro"]
        undo = (engine, "kill", label)
        env = launch.environment(INSIDE, "/tmp")
        for variable in env.keys() - {"PATH"}:  # the image has its own
            words += ["--env", f"{variable}={env[variable]}"]
        yield Launch((*words, image, *argv), env, str(folder), INSIDE, undo=undo)

    return Rung(name, wrap, alone=True, writable=("/tmp", "/dev/shm"))


def confine(folder: Path, limits: Limits, lasting: bool) -> Iterator[str]:
    """No network, no privileges, nothing to write but memory and the folder."""
    owner, size = folder.stat().st_uid, f"{max(limits.files_mb, 1)}m"
    yield from ("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    yield from ("--user", f"{owner}:{owner}", "--pids-limit", str(limits.processes), "--workdir", INSIDE)
    yield from ("--tmpfs", f"/tmp:size={size},mode=1777", "--shm-size", size)
    yield from ("--ulimit", f"fsize={limits.files_mb << 20}", "--ulimit", f"nofile={launch.OPEN_FILES}")
    yield from ("--ulimit", "core=0")
    if lasting:
        yield from ("--tmpfs", f"{INSIDE}:size={size},mode=1777")
        return
    memory = f"{limits.memory_mb}m"
    yield from ("--memory", memory, "--memory-swap", memory, "--ulimit", f"cpu={math.ceil(limits.seconds) + 1}")
    yield from ("--volume", f"{folder}:{INSIDE}")
