"""What it means to run a program that nobody has read: the protocol `Sandbox` and its values."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

Serve = Callable[[Any], Awaitable[Any]]
"""Answers what a program asks of us, JSON both ways: the only way out of the sandbox."""


class Limits(NamedTuple):
    """What a program may use."""

    seconds: float = 10.0
    """Of the clock; the time that `serve` takes to answer does not count."""
    memory_mb: int = 512
    """Address space."""
    files_mb: int = 16
    """Written files, all together."""
    processes: int = 16
    output_kb: int = 256
    """Each of the two outputs, and the value; more is cut off."""


USUAL = Limits()


class Result(NamedTuple):
    """What came out, raw: no score, which a program could forge."""

    outcome: Literal["ok", "error", "timeout", "memory", "killed", "forged"]
    """`error`: an exception or an exit code; `killed`: by a signal or by itself; `forged`: the value is not JSON."""
    value: Any = None
    """What a called function returned, JSON."""
    stdout: str = ""
    stderr: str = ""
    code: int = 0
    """Exit code; -9: killed by signal 9."""
    seconds: float = 0.0
    files: Mapping[str, bytes] = {}
    """Those that were collected."""
    cached: bool = False


@runtime_checkable
class Sandbox(Protocol):
    """Runs programs apart from us and from each other."""

    @property
    def level(self) -> str:
        """What holds them, such as `bubblewrap+seccomp`."""
        ...

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
        ...

    async def call(
        self,
        code: str,
        function: str = "main",
        arguments: Sequence[Any] = (),
        *,
        limits: Limits = USUAL,
        serve: Serve | None = None,
    ) -> Result:
        """A function of a Python program, JSON in and out, in a process of its own; the fast way for many."""
        ...
