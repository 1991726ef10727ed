"""VINE: any individual of a run, run again.

Wang, Clune & Stanley (2018), https://arxiv.org/abs/1805.01141.  A system's module says how, in a function
`replay(run, individual) -> Iterable[Figure]`.
"""

from typing import NamedTuple

from aiga.inspect.clouds import Member
from aiga.runs.record import Run
from aiga.runs.report import Figure


class Individual(NamedTuple):
    """Who is to be run again."""

    name: str
    identity: tuple[int, int] | None
    """Birth step and index, of who is in the lineage."""
    member: Member | None
    """Of a generation of pseudo-offspring; None: it is in the lineage."""


def replayable(run: Run, name: str) -> bool:
    """Whether an individual can be run again, as far as can be said without jax."""
    del run, name
    return False


def replay(run: Run, name: str) -> list[Figure]:
    """The individual run again: figures of its life."""
    del run, name
    return []
