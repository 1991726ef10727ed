"""Turn strategies and phases into systems: generations, fused steps, steady state, stages."""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Candidates, Evaluation, Info, Key, Strategy, System
from aiga.core.trees import take

Reducer = Callable[[Array], Array]
"""From the values of the fused steps, stacked along the first axis, to one value."""


class Generational(eqx.Module):
    """Ask, evaluate and tell a whole generation inside one compiled step.

    Where there are several devices, each evaluates a part of the population; the rest of the step is done by all.
    """

    strategy: Strategy
    evaluate: Callable[[Key, PyTree], Evaluation]

    @eqx.filter_jit
    def init(self, key: Key) -> Any:
        return _everywhere(self.strategy.init(key))

    @eqx.filter_jit
    def step(self, key: Key, state: Any) -> tuple[Any, Info]:
        ask, evaluate, tell = jax.random.split(key, 3)
        candidates = self.strategy.ask(ask, state)
        evaluation = self.evaluate(evaluate, _spread(candidates.genomes))
        return _everywhere(self.strategy.tell(tell, state, candidates, _everywhere(evaluation)))


class Scanned(eqx.Module):
    """Fuse `length` steps of a pure system into one compiled step.

    A metric of the fused step is its last value, unless `reducers` gives its key another reduction; events keep all
    their rows.
    """

    system: System
    length: int = eqx.field(static=True)
    reducers: Mapping[str, Reducer] = eqx.field(static=True, default_factory=dict)

    def __check_init__(self) -> None:
        if self.length < 1:
            raise UsageError(f"{self.length} steps cannot be fused into one: give `fuse` 1 or more.")

    def init(self, key: Key) -> Any:
        return self.system.init(key)

    @eqx.filter_jit
    def step(self, key: Key, state: Any) -> tuple[Any, Info]:
        constants = {}

        def body(state: Any, key: Key) -> tuple[Any, Info]:
            state, info = self.system.step(key, state)  # pyright: ignore[reportGeneralTypeIssues]  # pure: not async
            arrays, constants["info"] = eqx.partition(dict(info), eqx.is_array)  # strings cannot leave a scan
            return state, arrays

        state, infos = jax.lax.scan(body, state, jax.random.split(key, self.length))
        reduced = {name: self._reduce(name, values) for name, values in infos.items()}
        return state, eqx.combine(reduced, constants["info"])

    def _reduce(self, name: str, values: Any) -> Any:
        if isinstance(values, tuple):  # an event: a batch of rows per step becomes one batch
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), values)
        return self.reducers.get(name, lambda x: x[-1])(values)


class InFlight(NamedTuple):
    """The state of `SteadyState`: the strategy's, and the candidates whose evaluations have not been told."""

    strategy: PyTree
    key: Key
    candidates: Candidates
    """One row per slot."""
    ids: Int[np.ndarray, " slots"]
    """Order of submission; -1: the slot is free."""
    submitted: Int[np.ndarray, ""]
    told: Int[np.ndarray, ""]


@runtime_checkable
class Journal(Protocol):
    """Remembers which candidate was told at which step."""

    def get(self, step: int) -> int | None:
        """The candidate, if that step was ever taken."""
        ...

    def put(self, step: int, candidate: int) -> None:
        """Remember it; said again when the step is taken again."""
        ...


class SteadyState:
    """Keep `workers` evaluations in flight; one step is one completed evaluation.

    For evaluations that take seconds to hours and vary in length, as foundation-model calls do: nothing waits for the
    slowest of a generation.  The strategy asks for one candidate at a time.  A candidate's randomness depends on its
    place in the order of submission alone, and of several completed evaluations the earliest submitted is told first.
    Candidates in flight are part of the state, so a resumed run evaluates the same ones.

    Evaluations end in the order of the clock, and the next candidate depends on it.  With a journal the order is
    written down, and a run that is resumed from before its end goes through the same again: it asks the same questions.
    """

    def __init__(
        self,
        strategy: Strategy,
        evaluate: Callable[[Key, PyTree], Awaitable[Evaluation]],
        workers: int = 4,
        journal: Journal | None = None,
    ) -> None:
        self.strategy, self.evaluate, self.workers, self.journal = strategy, evaluate, workers, journal
        self._tasks: dict[int, asyncio.Task[Evaluation]] = {}

    def init(self, key: Key) -> InFlight:
        start, ask, stream = jax.random.split(key, 3)
        strategy = self.strategy.init(start)
        example = self.strategy.ask(ask, strategy)
        slots = jax.tree.map(lambda x: np.zeros((self.workers, *x.shape[1:]), x.dtype), example)
        zero = np.zeros((), int)
        return InFlight(strategy, stream, slots, np.full(self.workers, -1), zero, zero)

    async def step(self, key: Key, state: InFlight) -> tuple[InFlight, Info]:
        self._forget_others(state)
        state = self._fill(state)
        done = await self._next(int(state.told))
        candidate = take(state.candidates, state.ids == done)
        evaluation = self._tasks.pop(done).result()
        if self.journal is not None:
            self.journal.put(int(state.told), done)
        strategy, info = self.strategy.tell(key, state.strategy, candidate, evaluation)
        ids = np.where(state.ids == done, -1, state.ids)
        return state._replace(strategy=strategy, ids=ids, told=state.told + 1), info

    async def _next(self, step: int) -> int:
        """The candidate to tell: the one that the journal has for this step, else the first that is done."""
        known = None if self.journal is None else self.journal.get(step)
        if known is not None:
            assert known in self._tasks, "the journal is that of another run"
            await asyncio.wait([self._tasks[known]])
            return known
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        return min(i for i, task in self._tasks.items() if task.done())

    def _fill(self, state: InFlight) -> InFlight:
        """Ask for a candidate per free slot, and start every candidate that is not being evaluated."""
        ids, slots = state.ids.copy(), jax.tree.map(np.array, state.candidates)
        free = np.flatnonzero(ids < 0)
        for i, slot in enumerate(free, start=int(state.submitted)):
            fresh = self.strategy.ask(self._keys(state, i)[0], state.strategy)
            jax.tree.map(lambda rows, row, slot=slot: rows.__setitem__(slot, row[0]), slots, fresh)
            ids[slot] = i
        for i in sorted(set(ids.tolist()) - self._tasks.keys()):
            genome = take(slots.genomes, ids == i)
            self._tasks[i] = asyncio.ensure_future(self.evaluate(self._keys(state, i)[1], genome))
        return state._replace(candidates=slots, ids=ids, submitted=state.submitted + free.size)

    def _keys(self, state: InFlight, i: int) -> tuple[Key, Key]:
        """The keys with which candidate `i` is asked and evaluated."""
        ask, evaluate = jax.random.split(jax.random.fold_in(state.key, i))
        return ask, evaluate

    def _forget_others(self, state: InFlight) -> None:
        """Drop evaluations that belong to another run or another event loop."""
        loop = asyncio.get_running_loop()
        for i in [i for i, task in self._tasks.items() if task.get_loop() is not loop or i not in state.ids]:
            self._tasks.pop(i).cancel()


class Stage(NamedTuple):
    """A phase of a paper."""

    name: str
    system: System
    finished: Callable[[Any], bool] = lambda state: False
    """Whether the phase is over, from its state."""
    inherit: Callable[[Any, Any], Any] = lambda own, previous: own
    """The phase's first state, from its initial one and the last of the phase before."""


class Phases(NamedTuple):
    """The state of `Stages`: which stage runs, and the state of each."""

    current: Int[np.ndarray, ""]
    states: tuple[PyTree, ...]


class Stages:
    """Run the stages of a paper one after the other; the last step of the last stage ends the run."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)

    def init(self, key: Key) -> Phases:
        keys = jax.random.split(key, len(self.stages))
        return Phases(np.zeros((), int), tuple(s.system.init(k) for s, k in zip(self.stages, keys, strict=True)))

    async def step(self, key: Key, state: Phases) -> tuple[Phases, Info]:
        current = int(state.current)
        stage, states = self.stages[current], list(state.states)
        states[current], info = await maybe(stage.system.step(key, states[current]))
        info = dict(info) | {"stage/name": stage.name}
        if stage.finished(states[current]):
            if current + 1 == len(self.stages):
                info["run/finished"] = 1
            else:
                current += 1
                states[current] = self.stages[current].inherit(states[current], states[current - 1])
        return Phases(np.array(current), tuple(states)), info


def _spread(population: PyTree) -> PyTree:
    """The population with its rows divided among the devices, or among groups of them if only so they divide it."""
    n, devices = jax.tree.leaves(population)[0].shape[0], np.array(jax.devices())
    parts = math.gcd(n, devices.size)
    if parts == 1:
        return population
    mesh = Mesh(devices.reshape(parts, -1), ("population", "copies"))
    return jax.lax.with_sharding_constraint(population, NamedSharding(mesh, PartitionSpec("population")))


def _everywhere(tree: PyTree) -> PyTree:
    """The arrays of a tree, whole on every device."""
    devices = jax.devices()
    if len(devices) == 1:
        return tree
    arrays, rest = eqx.partition(tree, eqx.is_array)
    whole = NamedSharding(Mesh(np.array(devices), ("copies",)), PartitionSpec())
    return eqx.combine(jax.lax.with_sharding_constraint(arrays, whole), rest)


async def maybe(value: Any) -> Any:
    """The value, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value
