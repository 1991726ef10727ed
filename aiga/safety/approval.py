"""A gate between what an agent wrote and its evaluation: someone or something says whether it may go on."""

from typing import NamedTuple, Protocol, runtime_checkable


class Proposed(NamedTuple):
    """What is to be allowed or denied."""

    name: str
    """Which candidate of the run, such as `child 12.0`."""
    changes: str
    """What it changes, as a diff."""
    purpose: str = ""
    """What was asked for."""


class Decision(NamedTuple):
    """Whether it may go on."""

    allowed: bool
    by: str
    """`auto`, `rules`, or who said so."""
    reason: str = ""


@runtime_checkable
class Approval(Protocol):
    """Decides, one after the other."""

    @property
    def name(self) -> str: ...

    async def decide(self, proposed: Proposed) -> Decision: ...


class Auto:
    """Allows everything; the sandbox holds what is allowed."""

    name = "auto"

    async def decide(self, proposed: Proposed) -> Decision:
        return Decision(True, self.name)
