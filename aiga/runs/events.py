"""The events of a run: a small closed set.  (Calls of foundation models have a table of their own, `Run.calls`.)

Each kind is an immutable NamedTuple, hence a pytree: a compiled step can return a batch of them as a value of its
info, and a reader needs no jax.  Array fields lead with the batch axis; an identity is a pair (birth step, index
within that step), and (-1, -1) is nobody.
"""

from typing import Any, NamedTuple


class Metrics(NamedTuple):
    """Scalars measured at a step."""

    values: dict[str, float]


class Born(NamedTuple):
    """Candidates that an archive took in; rows whose `kept` is zero are not recorded."""

    id: Any
    """(n, 2)"""
    parents: Any
    """(n, p, 2)"""
    operator: str
    kept: Any
    """(n,): the archive's status, 0 rejected, 1 improved, 2 new."""
    fitness: Any
    """(n,)"""
    cell: Any = None
    """(n,): the place in the archive."""
    replaced: Any = None
    """(n, 2): the elite that had to leave."""
    noise: Any = None
    """(n,): index into the shared noise table."""
    sign: Any = None
    """(n,)"""
    blob: Any = None
    """A blob id for each candidate whose genome is text, code or an image."""


class Cloud(NamedTuple):
    """Generations of pseudo-offspring around their parents: what VINE shows, and can run again.

    Wang, Clune & Stanley (2018), https://arxiv.org/abs/1805.01141.  A batch of `g` generations of `n` individuals; the
    name of the event in the info is the series that they belong to.
    """

    parent: Any
    """(g, 2): the identity of the parent, as far as the lineage knows it."""
    generation: Any
    """(g,): of the line that the parent is in; where it does not grow, another line begins."""
    behaviour: Any
    """(g, n, d); NaN: unknown."""
    fitness: Any
    """(g, n)"""
    noise: Any
    """(g, n): index into the shared noise table."""
    sign: Any
    """(g, n)"""
    key: Any
    """(g, k): words of four bytes from which the system drew and evaluated the generation."""
    sigma: Any = None
    """(g,): deviation of the noise."""
    genome: Any = None
    """(g, p): the parameters of the parent, or of each parent in a row; None: the lineage leads to them."""
    context: Any = None
    """(g, c): what episodes depend on besides genomes, such as statistics of observations."""
    parent_behaviour: Any = None
    """(g, d); None or NaN: the parent was not evaluated."""
    parent_fitness: Any = None
    """(g,)"""
    parents: Any = None
    """(g, n, 2): where individuals have parents of their own; `parent` then is the elite."""
    kept: Any = None
    """(g,): generations whose `kept` is false are not recorded; None: all are."""
    names: tuple[str, ...] = ()
    """Of the dimensions of behaviour."""


class Replaced(NamedTuple):
    """`id` made room for `by` without a birth."""

    id: tuple[int, int]
    by: tuple[int, int]


class Rejected(NamedTuple):
    """A candidate that was not kept, and why."""

    id: tuple[int, int]
    reason: str
    parent: tuple[int, int] | None = None
    """Whose child it was, where it had one."""
    blob: str | None = None
    """The id of its text, where that is kept."""


class Transferred(NamedTuple):
    """An agent moved from one world to another."""

    id: tuple[int, int]
    source: tuple[int, int]
    target: tuple[int, int]


class Extinct(NamedTuple):
    """`id` left the archive for good."""

    id: tuple[int, int]


class Stage(NamedTuple):
    """A phase of the run begins."""

    name: str


class Approved(NamedTuple):
    """A candidate may be evaluated."""

    id: tuple[int, int]
    by: str


class Denied(NamedTuple):
    """A candidate may not be evaluated."""

    id: tuple[int, int]
    by: str
    reason: str


class Failed(NamedTuple):
    """Something that was tried did not work: a value, not an exception."""

    what: str
    reason: str


Event = Metrics | Born | Cloud | Replaced | Rejected | Transferred | Extinct | Stage | Approved | Denied | Failed
KINDS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in (Metrics, Born, Cloud, Replaced, Rejected, Transferred, Extinct, Stage, Approved, Denied, Failed)
}
