"""Agents that are rewritten: what they are measured on, and where that is done.

An agent is a set of files.  It is measured on the tasks of a domain, and a workshop lets one agent rewrite another, or
itself.  What scores lives here, outside of what an agent may edit, and what an agent hands in is text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from aiga.data.puzzles import Sealed

Files = Mapping[str, bytes]
"""An agent: the files of its program, by name."""

Failure = Literal["", "empty", "format", "context", "time", "budget", "model", "crash", "tampered"]
"""Nothing handed in; not what was asked; the model's window, the time, or the calls or tokens of an attempt used up;
the model gave no usable reply; the agent's program raised or was ended; it edited what it must not."""


class Attempt(NamedTuple):
    """What an agent left when it had worked in a folder."""

    changes: str = ""
    """The folder's, as a diff; empty: none."""
    answer: Any = None
    """What the agent returned, JSON."""
    transcript: str = ""
    """Everything that it said to the model, and the model to it."""
    failure: Failure = ""
    why: str = ""
    """The failure in a sentence."""
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """Of the agent itself; the time of the model does not count."""


class Outcome(NamedTuple):
    """How an agent did on one task."""

    task: str
    score: float
    """From 0 to 1."""
    handed_in: str = ""
    """Its diff or answer."""
    log: str = ""
    """Its transcript; no label, no hidden test."""
    verdict: str = ""
    """What the tests said and what would have been right: for a diagnosis, only ever of tasks of `search`."""
    failure: Failure = ""
    usd: float = 0.0
    tokens: int = 0


class Splits(NamedTuple):
    """Names of tasks: to search with, to choose with, and to report with."""

    search: tuple[str, ...]
    select: tuple[str, ...]
    report: Sealed[str]


@runtime_checkable
class Domain(Protocol):
    """Tasks, and what scores the agents that attempt them."""

    @property
    def name(self) -> str: ...

    @property
    def splits(self) -> Splits: ...

    def statement(self, task: str) -> str:
        """A task as an agent is shown it."""
        ...

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        """How an agent does on some tasks, in their order; an agent's failure is a score of 0."""
        ...


class Order(NamedTuple):
    """What a modification is asked for."""

    instruction: str
    """What is to be done, in words."""
    material: Files = {}
    """Files that the agent may read besides, such as earlier evaluations without labels."""
    facts: Any = None
    """What a simulated workshop goes by; no model ever sees it."""


@runtime_checkable
class Workshop(Protocol):
    """Where agents are rewritten."""

    async def modify(self, agent: Files, target: Files, order: Order, *, seed: int) -> Attempt:
        """What `agent` makes of the files `target` (its own, or another's): its `changes` are the diff."""
        ...

    async def sound(self, agent: Files, *, seed: int) -> str:
        """Why an agent cannot be kept: it does not compile, or can no longer edit; empty: it can be kept."""
        ...
