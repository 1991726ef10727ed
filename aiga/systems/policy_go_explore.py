"""Policy-based Go-Explore: a policy that returns.

Ecoffet, Huizinga, Lehman, Stanley & Clune (2021), "First return, then explore", https://arxiv.org/abs/2004.12919, the
variant that can neither restore a state nor rely on actions doing the same again:

    archive <- {cell of the reset: no way at all}
    repeat, in many worlds at once:
        choose a cell, one where few actions were taken more often
        first return  -- a policy is given the cells on the best way there as goals, one after the other;
                         it earns 1 for each and 3 for the last, and gives up when it stops getting on
        then explore  -- half the time act at random, else let the policy pursue goals near by
        for every cell on the way:  keep the way if the cell is new, or the score higher, or the way shorter
        train the policy on what it did (not on what was random), and to imitate ways in the archive
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.archives.routes import Added, Found, Routes, Walk
from aiga.archives.visits import Visits
from aiga.core.errors import UsageError
from aiga.core.protocols import Info, Key, Transition
from aiga.envs.rooms import Layout, Rooms, key_maze, key_rooms
from aiga.inspect import journeys
from aiga.learners.ppo import PPO, Learner
from aiga.learners.returning import (
    Chart,
    Event,
    Moment,
    Returning,
    Seeker,
    Seen,
    Slippery,
    cell_of,
    cells_of,
    stand,
    watch,
)
from aiga.learners.rollout import Trajectory, Worlds, begin, rollout
from aiga.nn.policy import Policy, Row, make_policy
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure

ABOUT = {"papers": (27, 38), "pillar": "environments", "needs": ()}


class Explored(NamedTuple):
    """The state of the system, and of its control."""

    learner: Learner
    worlds: Worlds
    archive: Routes | Visits
    """The control has only the visits of each cell."""
    steps: Int[Array, ""]
    """Taken so far, over all worlds."""
    goal: Int[Array, ""]
    """Steps taken when the goal of the world had been reached; -1: not yet."""

    def metrics(self) -> Info:
        return {"learner/steps": self.steps, "goal/steps": self.goal, **self.worlds.episodes.metrics()}


class PolicyGoExplore(eqx.Module):
    """First return with a policy, then explore."""

    env: Returning
    layout: Layout
    ppo: PPO
    worlds: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    imitated: int = eqx.field(static=True)
    """Routes that are imitated at every update."""
    hidden: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    capacity: int = eqx.field(static=True, default=4096)
    """Cells of the archive."""
    longest: int = eqx.field(static=True, default=256)
    """Cells of a route."""

    @eqx.filter_jit
    def init(self, key: Key) -> Explored:
        weights, first, fresh = jax.random.split(key, 3)
        world, _ = self.env.slippery.reset(first, self.layout)
        root = Walk.begin(cell_of(world, self.layout), self.longest)
        found = Found(root.cells[:1], jnp.zeros(1), jax.tree.map(lambda x: x[None], root))
        routes, _ = Routes.empty(cells_of(self.layout), self.capacity, self.longest).add(found)
        policy = self.build(weights, routes)
        worlds = begin(fresh, self.env, Chart(self.layout, routes), policy, self.worlds)
        zero = jnp.zeros((), jnp.int32)
        return Explored(self.ppo.init(policy), worlds, routes, zero, zero - 1)

    @eqx.filter_jit
    def step(self, key: Key, state: Explored) -> tuple[Explored, Info]:
        play, imitate, learn = jax.random.split(key, 3)
        assert isinstance(state.archive, Routes)
        policy, chart = state.learner.policy, Chart(self.layout, state.archive)
        worlds, trajectory = rollout(play, self.env, chart, policy, state.worlds, self.length, watch=watch)
        moments: Moment = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trajectory.watched)
        event = moments.event
        routes, added = state.archive.add(Found(event.entered, moments.score, moments.walk))
        routes = routes.spend(event.left)
        demonstration = self.demonstrate(imitate, routes, policy) if self.imitated else None
        learner, info = self.ppo.update(learn, state.learner, lesson(trajectory), imitation=demonstration)
        steps = state.steps + self.worlds * self.length
        goal = jnp.where((state.goal < 0) & (moments.score > 0).any(), steps, state.goal)
        after = Explored(learner, worlds, routes, steps, goal)
        news = {
            "archive/new": (added.status == 2).sum(),
            "return/success": event.arrived.sum() / (event.arrived | event.failed).sum(),
            "born": born(added, moments),
        }
        return after, {**info, **routes.metrics(), **after.metrics(), **news}

    def build(self, key: Key, routes: Routes) -> Seeker:
        """The policy to begin with."""
        cell, sight = routes.cell[0], Sight()
        features = sight(self.env.view(stand(cell, self.layout), cell, jnp.ones(()), self.layout)).size
        actions, hidden = self.env.slippery.env.actions, (self.hidden, self.hidden)
        policy = make_policy(key, features, actions, encoder=sight, hidden=hidden, memory=self.memory)
        return Seeker(policy.encoder, policy.core, policy.actor, policy.critic, policy.scale)

    def demonstrate(self, key: Key, routes: Routes, policy: Policy) -> Trajectory:
        """Routes of the archive, as trajectories of a policy that takes one step to each next cell."""
        rows = jax.vmap(routes.choose)(jax.random.split(key, self.imitated))
        walk: Walk = jax.tree.map(lambda x: x[rows], routes.walk)
        places = jnp.arange(self.longest - 1)[:, None]
        final = places == walk.length - 2
        view = jax.vmap(jax.vmap(lambda at, to: self.env.view(stand(at, self.layout), to, jnp.ones(()), self.layout)))
        seen, start = view(walk.cells[:, :-1].T, walk.cells[:, 1:].T), jnp.broadcast_to(places == 0, final.shape)
        carry = jax.tree.map(lambda x: jnp.zeros((self.imitated, *x.shape)), policy.initial())
        value = policy.unroll(seen, start, carry).value
        following = jnp.concatenate([value[1:], jnp.zeros((1, self.imitated))])
        return Trajectory(
            observation=seen,
            action=walk.actions[:, 1:].T,
            log_prob=jnp.zeros(final.shape),
            value=value,
            next_value=jnp.where(final, 0, following),
            reward=jnp.where(final, 3.0, 1.0),
            terminated=final,
            truncated=jnp.zeros(final.shape, bool),
            start=start,
            weight=(places < walk.length - 1).astype(float),
            carry=carry,
        )


class Sight(eqx.Module):
    """What the policy's network is given: the world and the goal, as numbers in a row."""

    def __call__(self, seen: Seen) -> Float[Array, " f"]:
        return Row()((seen.world, seen.goal))


def lesson(trajectory: Trajectory) -> Trajectory:
    """What to learn from: the return, which ends with the arrival, and what the policy did after it."""
    event: Event = trajectory.watched.event
    return trajectory._replace(
        terminated=trajectory.terminated | event.arrived,
        next_value=jnp.where(event.arrived, 0, trajectory.next_value),
        weight=jnp.where(event.blind, 0.0, trajectory.weight),
    )


def born(added: Added, moments: Moment) -> Born:
    """The births of a step; the parent is the elite that was returned to."""
    return Born(
        id=added.identity,
        parents=moments.parent[:, None],
        operator="explore",
        kept=added.status,
        fitness=moments.score,
        cell=moments.event.entered,
        replaced=added.replaced,
    )


class CountBonus(eqx.Module):
    """The control without an archive: the same learner earns bonus / sqrt(visits) for every cell it is in.

    Visits are counted over all of training: Bellemare et al. (2016), https://arxiv.org/abs/1606.01868, with the true
    counts of the very cells that the archive tells apart.
    """

    env: Slippery
    layout: Layout
    ppo: PPO
    bonus: float
    worlds: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Explored:
        weights, first, fresh = jax.random.split(key, 3)
        features = self.env.reset(first, self.layout)[1].size
        hidden = (self.hidden, self.hidden)
        policy = make_policy(weights, features, self.env.env.actions, hidden=hidden, memory=self.memory)
        worlds = begin(fresh, self.env, self.layout, policy, self.worlds)
        zero = jnp.zeros((), jnp.int32)
        return Explored(self.ppo.init(policy), worlds, Visits.none(cells_of(self.layout)), zero, zero - 1)

    @eqx.filter_jit
    def step(self, key: Key, state: Explored) -> tuple[Explored, Info]:
        play, learn = jax.random.split(key)
        assert isinstance(state.archive, Visits)

        def where(transition: Transition) -> Int[Array, ""]:
            return cell_of(transition.state, self.layout)

        policy = state.learner.policy
        worlds, trajectory = rollout(play, self.env, self.layout, policy, state.worlds, self.length, watch=where)
        visits, _ = state.archive.visit(trajectory.watched.ravel())
        rare = self.bonus / jnp.sqrt(visits.counts[trajectory.watched])
        learner, info = self.ppo.update(learn, state.learner, trajectory._replace(reward=trajectory.reward + rare))
        steps = state.steps + self.worlds * self.length
        goal = jnp.where((state.goal < 0) & (trajectory.reward > 0).any(), steps, state.goal)
        after = Explored(learner, worlds, visits, steps, goal)
        counted = {"archive/cells": (visits.counts > 0).sum(), "score/best": (goal >= 0).astype(float)}
        return after, {**info, **after.metrics(), **counted}


def make(
    world: Literal["key_maze", "key_rooms"] = "key_maze",
    archive: bool = True,
    slip: float = 0.1,
    window: int = 10,
    patience: int = 50,
    curiosity: int = 100,
    blind: float = 0.5,
    repeat: float = 4.0,
    near: int = 3,
    compass: int = 3,
    heat: float = 0.1,
    imitated: int = 4,
    imitation_weight: float = 0.1,
    bonus: float = 0.1,
    worlds: int = 64,
    length: int = 64,
    learning_rate: float = 1e-3,
    discount: float = 0.99,
    entropy: float = 0.01,
    hidden: int = 64,
    memory: int = 0,
) -> PolicyGoExplore | CountBonus:
    """Find the goal of a maze of keys and doors by returning with a policy and exploring from there.

    Args:
        world: The maze: four keys, 178 steps; or two keys, 62 steps.
        archive: Return and explore.  Without, as a control, the learner gets a bonus for cells it rarely visited.
        slip: How often an action is replaced by a random one.
        window: While returning, any of so many next cells of the way counts as the goal.
        patience: Actions without reaching a goal after which a return is given up.
        curiosity: Actions without reaching a goal or a new cell after which exploring ends.
        blind: How often exploring is random; else the policy pursues goals near by.
        repeat: How often a random action is repeated, in the mean.
        near: While exploring, goals are at most so many squares away.
        compass: The policy is told where its goal is and, up to so many squares, how far away; 0: only where.
        heat: How fast the temperature of the policy rises when a goal is overdue.
        imitated: Ways of the archive that are imitated at every update.
        imitation_weight: Weight of the imitation in the loss.
        bonus: Of the control, for the first visit of a cell.
        worlds: Worlds that are played at once.
        length: Steps in each of them between updates.
        learning_rate: Of Adam.
        discount: Of a reward by each step that it is away.
        entropy: Weight of the policy's entropy in the loss.
        hidden: Units of the two hidden layers of the actor and of the critic.
        memory: Units of a recurrent layer; 0: none.
    """
    if imitated % 4:
        raise UsageError(f"--imitated is {imitated}: give a multiple of 4, a share for each of four minibatches.")
    ppo = PPO(
        learning_rate=learning_rate,
        discount=discount,
        clip=0.2,
        entropy=entropy,
        normalise_values=True,
        imitation_weight=imitation_weight,
    )
    layout, slippery = {"key_maze": key_maze, "key_rooms": key_rooms}[world](), Slippery(Rooms("vector"), slip)
    if not archive:
        return CountBonus(slippery, layout, ppo, bonus, worlds, length, hidden, memory)
    env = Returning(slippery, window, patience, curiosity, blind, repeat, near, compass, heat)
    return PolicyGoExplore(env, layout, ppo, worlds, length, imitated, hidden, memory)


PAPER = {
    "worlds": 256,
    "length": 128,
    "learning_rate": 2.5e-4,
    "patience": 1000,
    "compass": 0,
    "heat": 0.01,
    "repeat": 20.0,
    "hidden": 512,
    "memory": 512,
}
"""The authors' settings where a maze has a use for them; see the page for what differs from Atari's pixels."""

CLAIM = Claim(
    statement="Returning with a policy, then exploring, finds a goal that a bonus for rarely visited cells does not.",
    source="Ecoffet et al. 2021, abstract",
    metric="score/best",
    treatment={},
    control={"archive": False, "entropy": 0.001},
    steps=150,
    margin=0.5,
    others={"without compass": {"compass": 0}, "recurrent": {"memory": 64}},
    also=("goal/steps", "archive/cells", "learner/steps"),
)
"""The score is 1 if the goal was reached.  The control's options were chosen on seeds 100 and 101."""


def figures(run: Run) -> list[Figure]:
    """Cells over time, and the maze: where actions were taken, and the best way."""
    state, layout = run.state, make(**run.options).layout
    if isinstance(state.archive, Visits):
        return [journeys.course(run), journeys.maze(layout, state.archive)]
    routes = state.archive
    score, length = np.asarray(routes.score), np.asarray(routes.walk.length)
    best = int(np.lexsort((length if score.max() > 0 else -length, -score))[0])
    way = np.asarray(routes.walk.cells)[best, : length[best]]
    return [journeys.course(run), journeys.maze(layout, routes.spent, way)]


if __name__ == "__main__":
    import aiga

    aiga.run("policy_go_explore", steps=150)
