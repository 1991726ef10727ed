"""The protocols of the house: a system steps, an archive keeps, an evaluation scores.

Fitness is maximised everywhere.  `key` comes first and is used once.  The batch axis comes first.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

S = TypeVar("S")
P = TypeVar("P", contravariant=True)
T = TypeVar("T")

Key = PRNGKeyArray
Info = Mapping[str, Any]
"""Flat `namespace/name` -> scalar (a metric), or -> an event of `aiga.runs.events` (recorded as that event)."""


class Evaluation(NamedTuple):
    """What the world said of `n` candidates: the one result type."""

    fitness: Float[Array, " n"]
    """Maximised; NaN: the evaluation failed, and the candidate can never become an elite."""
    descriptor: Float[Array, "n d"]
    """Behaviour (the "measures" of pyribs); `d` may be 0."""
    aux: PyTree = None
    """Whatever `tell` needs besides: trajectories, texts, failures."""


class Candidates(NamedTuple):
    """What `ask` proposes: genomes, and where they came from."""

    genomes: PyTree
    """Any pytree whose leaves lead with the batch axis `n`."""
    parents: Int[Array, "n p 2"]
    """Identities of up to `p` parents each; (-1, -1): none."""
    noise: Int[Array, " n"] | None = None
    """Where in the shared noise table each one's noise begins; None: its noise is not of the table."""
    sign: Int[Array, " n"] | None = None
    """Whether the noise was added (1) or subtracted (-1)."""


@runtime_checkable
class System(Protocol[S]):
    """What the loop runs.  Either method may be async."""

    def init(self, key: Key) -> S: ...

    def step(self, key: Key, state: S) -> tuple[S, Info] | Awaitable[tuple[S, Info]]: ...


@runtime_checkable
class Strategy(Protocol[S]):
    """A search in two halves: `ask` reads the state, `tell` writes it."""

    def init(self, key: Key) -> S: ...

    def ask(self, key: Key, state: S) -> Candidates: ...

    def tell(self, key: Key, state: S, candidates: Candidates, evaluation: Evaluation) -> tuple[S, Info]: ...


Evaluate = Callable[[Key, PyTree], Evaluation | Awaitable[Evaluation]]
"""Scores genomes: the only thing that touches the world."""


@runtime_checkable
class Archive(Protocol):
    """What keeps the stepping stones."""

    def add(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Archive", Int[Array, " n"]]:
        """The archive after the offer of `n` candidates, and a status each: 0 rejected, 1 improved, 2 new."""
        ...

    def sample(self, key: Key, n: int) -> PyTree: ...

    def metrics(self) -> Info: ...


class Transition(NamedTuple):
    """One step of an environment; `terminated` and `truncated` are kept apart, and nothing resets by itself."""

    state: PyTree
    observation: PyTree
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


@runtime_checkable
class Env(Protocol[P, S]):
    """A world as pure functions.  `params` are its genome."""

    def reset(self, key: Key, params: P) -> tuple[S, PyTree]: ...

    def step(self, key: Key, state: S, action: PyTree, params: P) -> Transition: ...


@runtime_checkable
class Pool(Protocol):
    """Where work runs: one primitive, the same on a laptop and on a cluster."""

    def submit(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]: ...
