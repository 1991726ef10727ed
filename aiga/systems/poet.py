"""POET and Enhanced POET: worlds that invent themselves, and agents that move among them.

Wang, Lehman, Clune & Stanley (2019), "Paired Open-Ended Trailblazer", https://arxiv.org/abs/1901.01753, Algorithm 2:

    pairs <- [(a flat or gently sloping world, a first agent)]
    repeat:
        now and then: MUTATE_ENVS
        for each pair:  agent <- agent + a step of OpenAI's ES in its world
        now and then: for each world, its agent <- EVALUATE_CANDIDATES, if that is better

    EVALUATE_CANDIDATES(a world): the best of the agents, and of what a step of ES in this world makes of them
    MUTATE_ENVS:
        children <- mutants of the worlds whose agents do well
        keep those where the parent's agent is neither too bad nor too good; order them by novelty
        admit the first whose EVALUATE_CANDIDATES also meets this minimal criterion, with that agent
        if there are too many pairs, retire the oldest

Enhanced POET, Wang et al. (2020), https://arxiv.org/abs/2003.08536, measures novelty by how all agents rank in a world
(PATA-EC), transfers more strictly and at less cost, and has worlds that are curves of pattern-producing networks.  Both
count ANNECS: worlds that were neither too hard nor too easy for all agents so far, and were then solved.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key, Pool
from aiga.core.trees import take
from aiga.inspect.pairs import again, around, happened, pictured
from aiga.inspect.vine import Individual
from aiga.learners.courses import Courses, curves, obstacles
from aiga.learners.pairs import Pairs, begun, distances, joined, mutant, ranks, repeated, scored, settled, stacked, told
from aiga.learners.trials import Trial, practised
from aiga.learners.trials import begun as begin_trial
from aiga.learners.walkers import Walk, Walkers, layout, strategy_of
from aiga.runs import catalogue
from aiga.runs.claims import Claim
from aiga.runs.events import Cloud
from aiga.runs.pools import Serial
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.strategies.openai_es import OpenAIES

ABOUT = {"papers": (39, 29), "pillar": "environments", "needs": ()}

EXAMINATION = 20
"""Episodes in which an agent is examined after the run."""
NEAREST = 5
"""Worlds, the mean distance to which is novelty."""


class POETState(NamedTuple):
    """Who is there, who was there, and counts."""

    active: Pairs
    retired: Pairs
    trial: Trial
    iteration: Int[np.ndarray, ""]
    transfers: Int[np.ndarray, "2"]
    """Tried, and accepted."""
    episodes: Int[np.ndarray, ""]
    steps: Int[np.ndarray, ""]
    """Of worlds."""


class POET(eqx.Module):
    """The hyperparameters, and the system."""

    courses: Courses
    walk: Walk
    pool: Pool
    strategy: OpenAIES
    """Genomes are vectors."""
    newborn: OpenAIES
    """Makes candidates for a new world, whose optimiser nobody has begun."""
    batch: int
    episodes: int
    criterion: tuple[float, float]
    """The minimal criterion: an agent's score is from the one to the other."""
    reproduce: float
    solved: float
    capacity: int
    mutate_every: int
    children: int
    admitted: int
    novelty_by: str
    transfer_every: int
    transfers: str
    limit: int = 0
    """Steps of worlds; 0: none."""
    control: str = "none"

    def init(self, key: Key) -> POETState:
        world, agent = jax.random.split(key)
        first = begun(self.courses, world, self.strategy.begin(self.strategy.build(agent), (0, 1)))
        none, zero = take(first, slice(0)), np.zeros((), np.int64)
        return POETState(first, none, Trial.none(first), zero, np.zeros(2, np.int64), zero, zero)

    async def step(self, key: Key, state: POETState) -> tuple[POETState, Info]:
        """An iteration of the algorithm; at the limit of steps, a trial."""
        walkers = Walkers(self.walk, self.batch, self.pool, [])
        if self.limit and state.steps >= self.limit:
            return await self.examine(key, state, walkers)
        mutate, optimise, transfer = jax.random.split(key, 3)
        before = state.active if state.iteration else state.retired
        if state.iteration and state.iteration % self.mutate_every == 0:
            state = await self.mutate_worlds(mutate, state, walkers)
        events = happened(before, state.active, "invention")
        active, clouds = await self.optimise(optimise, state, walkers)
        state, events = state._replace(active=active), events | clouds
        before = state.active
        if self.transfers != "none" and state.iteration % self.transfer_every == 0 and len(before.score) > 1:
            state = await self.transfer(transfer, state, walkers)
            events |= happened(before, state.active, "transfer")
        episodes, steps = state.episodes + walkers.episodes, state.steps + walkers.steps
        state = state._replace(iteration=state.iteration + 1, episodes=episodes, steps=steps)
        return state, {**self.report(state), **events}

    async def optimise(self, key: Key, state: POETState, walkers: Walkers) -> tuple[Pairs, dict[str, Cloud]]:
        """A step of ES of every agent in its own world, and the candidates around each."""
        advance, judge = jax.random.split(key)
        pairs = state.active
        cloud, tried = await walkers.advanced(advance, self.strategy, pairs.cloud, pairs.course)
        clouds = around(pairs, tried)
        score = await walkers.judge(judge, cloud.mean, pairs.course, self.episodes)
        recent = np.concatenate([pairs.recent[:, 1:], score[:, None]], axis=1)
        pairs = pairs._replace(cloud=cloud._replace(identity=pairs.cloud.identity), recent=recent)
        return scored(pairs, score, int(state.iteration), self.solved), clouds

    async def transfer(self, key: Key, state: POETState, walkers: Walkers) -> POETState:
        """Every world is offered the agents of all others, and takes the best if that is better than its own."""
        pairs, n, t = state.active, len(state.active.score), int(state.iteration)
        strict = self.transfers == "threshold"
        bar = np.nanmax(pairs.recent, axis=1) if strict else pairs.score
        target, source = np.nonzero(~np.eye(n, dtype=bool))
        guests = take(pairs.cloud, target)._replace(mean=pairs.cloud.mean[source])
        courses, least = take(pairs.course, target), bar[target] if strict else None
        offers = await walkers.evaluate_candidates(key, self.strategy, guests, courses, self.episodes, least)
        moved, accepted = pairs, 0
        for row in range(n):
            better = np.flatnonzero((target[offers.guest] == row) & (offers.score > bar[row]))
            if better.size:
                best = better[offers.score[better].argmax()]
                cloud = self.strategy.begin(jnp.asarray(offers.mean[best]), (t, 2 * (self.admitted + row) + 1))
                giver = take(pairs, source[offers.guest[best]])
                moved, accepted = settled(moved, row, cloud, offers.score[best], giver), accepted + 1
        moved = scored(moved, moved.score, t, self.solved)
        return state._replace(active=moved, transfers=state.transfers + np.array([len(source), accepted]))

    async def mutate_worlds(self, key: Key, state: POETState, walkers: Walkers) -> POETState:
        """MUTATE_ENVS."""
        breed, rank, admit = jax.random.split(key, 3)
        children, number = await self.bred(breed, state, walkers), 0
        for row in np.argsort(-await self.novelty(rank, state, children, walkers), kind="stable"):
            child = await self.met(jax.random.fold_in(admit, row), state, take(children, row[None]), number, walkers)
            state, number = state._replace(active=joined(state.active, child)), number + len(child.score)
            if number == self.admitted:
                break
        surplus = max(0, len(state.active.score) - self.capacity)
        leaving = take(state.active, slice(surplus))._replace(retired=np.full(surplus, state.iteration))
        staying = take(state.active, slice(surplus, None))
        return state._replace(active=staying, retired=joined(state.retired, leaving))

    async def bred(self, key: Key, state: POETState, walkers: Walkers) -> Pairs:
        """Mutants that are not there yet and meet the criterion with the parent's agent."""
        breed, judge = jax.random.split(key)
        pairs = state.active
        able = np.flatnonzero(pairs.score >= self.reproduce)
        children = take(pairs, slice(0))
        for i in range(self.children if able.size else 0):
            choose, change = jax.random.split(jax.random.fold_in(breed, i))
            parent = able[int(jax.random.bits(choose)) % able.size]
            child = mutant(self.courses, change, take(pairs, parent[None]))
            known = (joined(pairs, children).vector == child.vector).all(axis=1).any()
            children = children if known else joined(children, child)
        score = await walkers.judge(judge, children.cloud.mean, children.course, self.episodes)
        return take(children._replace(score=score), self.meets(score))

    def meets(self, score: Any) -> Any:
        """The minimal criterion: neither too hard nor too easy."""
        return (score >= self.criterion[0]) & (score <= self.criterion[1])

    async def novelty(self, key: Key, state: POETState, children: Pairs, walkers: Walkers) -> Float[Any, " n"]:
        """The mean distance of each child to the nearest worlds, of now and before."""
        known, count = joined(state.retired, state.active), len(children.score)
        if self.novelty_by == "genome" or not count:
            return distances(children.vector, known.vector, NEAREST)
        worlds, agents = joined(known, children), known.cloud.mean
        world, agent = np.indices((len(worlds.score), len(agents))).reshape(2, -1)
        score = await walkers.judge(key, agents[agent], take(worlds.course, world), self.episodes)
        places = ranks(np.clip(score, *self.criterion).reshape(-1, len(agents)))
        return distances(places[-count:], places[:-count], NEAREST)

    async def met(self, key: Key, state: POETState, child: Pairs, number: int, walkers: Walkers) -> Pairs:
        """The child with the best agent there is for it, or nothing if that one does not meet the criterion as well."""
        evaluate, look = jax.random.split(key)
        former, t = state.retired.cloud.mean, int(state.iteration)
        parent = (state.active.world == child.parent).all(axis=1)
        hosts = take(state.active, parent) if self.transfers == "none" else state.active
        agents = hosts.cloud.mean
        guests = stacked([self.newborn.begin(jnp.asarray(mean)) for mean in agents])
        courses = repeated(child.course, len(agents))
        offers = await walkers.evaluate_candidates(evaluate, self.newborn, guests, courses, self.episodes)
        best = offers.score.argmax()
        if not self.meets(offers.score[best]):
            return take(child, slice(0))
        before = await walkers.judge(look, former, repeated(child.course, len(former)), self.episodes)
        cloud = self.strategy.begin(jnp.asarray(offers.mean[best]), (t, 2 * number + 1))
        child = settled(child, 0, cloud, offers.score[best], take(hosts, offers.guest[best]))
        fresh = before.max(initial=-np.inf, keepdims=True) <= self.criterion[1]
        return child._replace(world=np.array([(t, 2 * number)]), fresh=fresh)

    async def examine(self, key: Key, state: POETState, walkers: Walkers) -> tuple[POETState, Info]:
        """A part of the trial; in the end, how POET's or the control's best does in the hardest world it solved."""
        practise, judge = jax.random.split(key)
        trial, learning = state.trial, self.control != "none"
        if not len(trial.target.score):
            trial = begin_trial(trial, joined(state.retired, state.active), self.courses, self.control)
        info = {**self.report(state), "target/steps": trial.steps, "target/stage": trial.stage}
        if learning and trial.steps < state.steps:
            goal, times = self.reproduce, self.episodes
            trial = await practised(practise, trial, self.courses, self.strategy, walkers, goal, times)
            return state._replace(trial=trial), info
        pupil = (trial.learner if learning else trial.target).champion
        returned = await walkers.judge(judge, pupil, trial.target.course, EXAMINATION)
        last = {"target/return": returned[0], "target/difficulty": trial.target.difficulty[0], "run/finished": 1}
        return state._replace(trial=trial), {**info, **last}

    def report(self, state: POETState) -> Info:
        """Counts, and how well agents do now."""
        return {
            **told(state.active, state.retired),
            "poet/transfers": state.transfers[1],
            "poet/transfers_tried": state.transfers[0],
            "poet/episodes": state.episodes,
            "poet/env_steps": state.steps,
        }


def make(
    world: Literal["obstacles", "curves"] = "obstacles",
    kinds: tuple[str, ...] = ("roughness", "pit", "stump"),
    novelty: Literal["genome", "pata_ec"] = "genome",
    transfer: Literal["best", "threshold", "none"] = "best",
    criterion: tuple[float, float] = (10.0, 100.0),
    reproduce: float = 55.0,
    solved: float = 65.0,
    capacity: int = 6,
    mutate_every: int = 4,
    children: int = 8,
    admitted: int = 1,
    transfer_every: int = 8,
    horizon: int = 400,
    episodes: int = 5,
    hidden: int = 40,
    pairs: int = 32,
    sigma: tuple[float, float, float] = (0.1, 0.999, 0.01),
    learning_rate: tuple[float, float, float] = (0.01, 0.9999, 0.001),
    l2: float = 0.01,
    start: Literal["scratch", "trained"] = "trained",
    batch: int = 128,
    table: int = 2**20,
    limit: int = 0,
    control: Literal["none", "scratch", "curriculum"] = "none",
    pool: Pool | None = None,
) -> POET:
    """Invent courses for a walker and solve them, letting solutions transfer from one to another.

    Args:
        world: Grass with obstacles, as in POET, or curves of pattern-producing networks, as in Enhanced POET.
        kinds: What mutations of obstacles change: roughness, pit, stump, stairs.
        novelty: Of a world: by its genome, or by how all agents rank in it (PATA-EC).
        transfer: Of the best agent or proposal, as in POET; of proposals from agents that beat a threshold, as in
            Enhanced POET; or none.
        criterion: Between these scores a new world is neither too hard nor too easy.
        reproduce: Score of an agent from which on its world has children.
        solved: Score from which on a world counts as solved.
        capacity: Pairs that are active.
        mutate_every: Iterations between attempts to invent worlds.
        children: Mutants in such an attempt.
        admitted: Worlds that it admits at most.
        transfer_every: Iterations between attempts to transfer agents.
        horizon: Steps of an episode.
        episodes: Episodes by which an agent is judged.
        hidden: Neurons of each of the two hidden layers.
        pairs: Mirrored pairs of candidates in a step of ES.
        sigma: Deviation of the noise: at first, what each step multiplies it with, and the least.
        learning_rate: Of Adam, likewise.
        l2: How strongly weights are pulled to zero.
        start: What the first agent knows: nothing, or how to walk on flat ground.
        batch: Episodes that are simulated together.
        table: Numbers of the noise table.
        limit: Steps of all walkers together after which the run ends, or is followed by the control; 0: none.
        control: What then tries the hardest world that was solved, with as many steps again and from the first agent
            on: ES in that world, or in a curriculum of worlds that lead to it.
        pool: Where episodes run.
    """
    counts = (capacity, mutate_every, children, admitted, transfer_every, horizon, episodes, hidden, pairs, batch)
    _check(counts, world, criterion, capacity, admitted, limit, control)
    courses = obstacles(kinds, horizon) if world == "obstacles" else curves(horizon)
    walk = Walk(courses.env, (courses.features, hidden, hidden, courses.actions), horizon)
    strategy = strategy_of(layout(walk.sizes).size, start, pairs, sigma, learning_rate, l2, table)
    newborn = replace(strategy, optimiser="sgd", learning_rate=learning_rate[0], sigma_decay=1.0)
    return POET(
        courses, walk, pool or Serial(), strategy, newborn, batch, episodes, criterion, reproduce, solved, capacity,
        mutate_every, children, admitted, novelty, transfer_every, transfer, limit, control,
    )  # fmt: skip


def _check(counts: tuple, world: str, criterion: tuple, room: int, admitted: int, limit: int, control: str) -> None:
    if min(counts) < 1:
        raise UsageError("counts of pairs, worlds, iterations, steps, episodes and neurons begin at 1: raise them.")
    if len(criterion) != 2 or not criterion[0] < criterion[1]:
        raise UsageError(f"`criterion` is {criterion}: give two scores, the lower first.")
    if admitted > room:
        raise UsageError(f"`admitted` is {admitted}, but there is room for {room} pairs: raise `capacity`.")
    if limit < 0 or (control != "none" and not limit):
        raise UsageError(f"`limit` is {limit}: give the steps of all walkers after which the control begins.")
    if control == "curriculum" and world == "curves":
        raise UsageError("`control` curriculum needs worlds between two others: give it with `world` obstacles.")


def make_enhanced(
    world: Literal["obstacles", "curves"] = "curves", kinds: tuple[str, ...] = ("roughness", "pit", "stump"),
    novelty: Literal["genome", "pata_ec"] = "pata_ec", transfer: Literal["best", "threshold", "none"] = "threshold",
    criterion: tuple[float, float] = (10.0, 100.0), reproduce: float = 55.0, solved: float = 65.0, capacity: int = 6,
    mutate_every: int = 4, children: int = 8, admitted: int = 1, transfer_every: int = 8, horizon: int = 400,
    episodes: int = 5, hidden: int = 40, pairs: int = 32, sigma: tuple[float, float, float] = (0.1, 0.999, 0.01),
    learning_rate: tuple[float, float, float] = (0.01, 0.9999, 0.001), l2: float = 0.01,
    start: Literal["scratch", "trained"] = "trained", batch: int = 128, table: int = 2**20, limit: int = 0,
    control: Literal["none", "scratch", "curriculum"] = "none", pool: Pool | None = None,
) -> POET:  # fmt: skip
    """Invent courses by the rules of Enhanced POET."""
    return make(**locals())


make_enhanced.__doc__ = "\n".join([*(make_enhanced.__doc__ or "").splitlines(), *(make.__doc__ or "").splitlines()[1:]])

PAPER = {
    "criterion": (25.0, 340.0), "reproduce": 200.0, "solved": 230.0, "capacity": 25, "mutate_every": 200,
    "transfer_every": 25, "horizon": 2000, "pairs": 256, "start": "scratch", "batch": 4096, "table": 250_000_000,
}  # fmt: skip
"""Of the authors' code; `solved` is in none of it, and 230 is what is said of the paper."""
PAPER_ENHANCED = {**PAPER, "capacity": 40, "mutate_every": 150}
OFTEN = {"transfer_every": 4}
DIRECTLY, LONG = {**OFTEN, "limit": 1_500_000}, {**OFTEN, "limit": 3_000_000}
CLAIM = (
    Claim(
        statement="POET solves worlds to which a curriculum does not lead with as many steps again.",
        source="Wang et al. 2019, direct-path curriculum control; `scratch`: direct optimisation",
        metric="target/return",
        treatment=DIRECTLY,
        control={**DIRECTLY, "control": "curriculum"},
        others={"scratch": {**DIRECTLY, "control": "scratch"}},
        precondition="In the hardest world that POET solves, ES from the first agent on is on a plateau.",
        also=("target/difficulty", "poet/solved", "poet/env_steps"),
    ),
    Claim(
        statement="Without transfer, fewer and easier worlds are solved in as many steps.",
        source="Wang et al. 2019, POET without transfer",
        metric="poet/difficulty_solved",
        treatment=LONG,
        control={**LONG, "transfer": "none"},
        also=("poet/solved", "poet/hardest_solved", "poet/env_steps"),
    ),
)
CLAIM_ENHANCED = Claim(
    statement="Enhanced POET makes and solves more new worlds than POET in as many steps.",
    source="Wang et al. 2020, ANNECS",
    metric="poet/annecs",
    treatment=LONG,
    control={**LONG, "world": "obstacles", "novelty": "genome", "transfer": "best"},
    also=("poet/worlds", "poet/solved", "poet/env_steps"),
)


def figures(run: Run) -> Iterable[Figure]:
    """The tree of worlds, an agent in the hardest world that is solved, who went where, and curves."""
    system = catalogue.find(run.system).make(**{**run.options, "table": 2**16})  # nobody learns here
    return pictured(run, joined(run.state.retired, run.state.active), system.walk, system.solved)


def replay(run: Run, individual: Individual) -> Iterable[Figure]:
    """A candidate, or an agent, in its world."""
    system, everyone = catalogue.find(run.system).make(**run.options), joined(run.state.retired, run.state.active)
    return again(run, everyone, individual, system.walk, system.strategy, system.batch)


if __name__ == "__main__":
    import aiga

    aiga.run("poet", minutes=10)
