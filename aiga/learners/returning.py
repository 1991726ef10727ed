"""Rooms in which a policy returns to a cell that an archive knows, and explores from there.

The return of policy-based Go-Explore: Ecoffet et al. (2021), https://arxiv.org/abs/2004.12919.  A cell is where the
agent is and what it has done, the keys it took and the doors it opened.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.archives.routes import Routes, Walk
from aiga.core.protocols import Key, Transition
from aiga.envs import rooms
from aiga.envs.rooms import Layout, Rooms, State
from aiga.nn.distributions import Categorical
from aiga.nn.policy import Output, Policy


class Chart(NamedTuple):
    """What worlds are told: their genome, and what the archive has."""

    layout: Layout
    routes: Routes


class Seen(NamedTuple):
    """What the policy observes."""

    world: Array
    goal: Array
    """The world as it would look at the goal, and where the goal is from here."""
    temperature: Float[Array, "*b"]
    """What the policy's logits are divided by."""


class Event(NamedTuple):
    """What a step was."""

    left: Int[Array, "*n"]
    """The cell in which it was taken."""
    entered: Int[Array, "*n"]
    """The cell it led to."""
    blind: Bool[Array, "*n"]
    """The action was random."""
    reached: Bool[Array, "*n"]
    """The policy reached its goal."""
    arrived: Bool[Array, "*n"]
    """That goal was the chosen cell."""
    failed: Bool[Array, "*n"]
    """The return was given up."""

    @staticmethod
    def none(cell: Int[Array, ""]) -> "Event":
        """Before the first step."""
        return Event(cell, cell, *[jnp.zeros((), bool)] * 4)


class Quest(NamedTuple):
    """A world on the way to a cell that was chosen, or exploring from there."""

    world: State
    walk: Walk
    score: Float[Array, ""]
    route: Walk
    """The way to the chosen cell, as it was when it was chosen."""
    parent: Int[Array, " 2"]
    """The elite whose way it is."""
    aim: Int[Array, ""]
    """Where on the route the goal is."""
    goal: Int[Array, ""]
    idle: Int[Array, ""]
    """Actions since a goal was reached or, exploring, a cell that the archive did not know."""
    exploring: Bool[Array, ""]
    random: Bool[Array, ""]
    """Exploring, actions are random."""
    habit: Int[Array, ""]
    """The last random action, which may be repeated."""
    event: Event


class Moment(NamedTuple):
    """A step, as the archive sees it."""

    walk: Walk
    score: Float[Array, "*n"]
    parent: Int[Array, "*n 2"]
    event: Event


class Seeker(Policy):
    """A policy whose logits are divided by the temperature that it observes.

    It overrides what it inherits, because a memory leaves no way for a number from the observation to the actor.
    """

    def __call__(self, observation: Seen, carry: PyTree = ()) -> Output:
        return _tempered(super().__call__(observation, carry), observation.temperature)

    def unroll(self, observations: Seen, starts: Bool[Array, "t b"], carry: PyTree) -> Output:
        return _tempered(super().unroll(observations, starts, carry), observations.temperature)


class Slippery(eqx.Module):
    """Rooms where an action is replaced by a random one with some probability, so that no plan can be replayed."""

    env: Rooms
    slip: float = eqx.field(static=True)

    def reset(self, key: Key, params: Layout) -> tuple[State, Array]:
        return self.env.reset(key, params)

    def step(self, key: Key, state: State, action: Int[Array, ""], params: Layout) -> Transition:
        move, slip = jax.random.split(key)
        return self.env.step(move, state, self.deed(slip, action), params)

    def deed(self, key: Key, action: Int[Array, ""]) -> Int[Array, ""]:
        """What is really done."""
        happens, other = jax.random.split(key)
        slips = jax.random.bernoulli(happens, self.slip)
        return jnp.where(slips, jax.random.randint(other, (), 0, self.env.actions), action)


class Returning(eqx.Module):
    """First return, then explore, as a world.

    The reward: 1 for a goal, 3 if it was the last, and the world's own within 2.  While returning, goals are the cells
    of the route one after the other; exploring, cells near by.
    """

    slippery: Slippery
    window: int = eqx.field(static=True)
    """To reach one of so many next cells of the route will do."""
    patience: int = eqx.field(static=True)
    """Actions without reaching a goal after which the return is given up."""
    curiosity: int = eqx.field(static=True)
    """Actions without reaching a goal or a new cell after which exploring ends."""
    blind: float = eqx.field(static=True)
    """How often exploring is random."""
    repeat: float = eqx.field(static=True)
    """How often a random action is repeated, in the mean."""
    near: int = eqx.field(static=True)
    """How far away goals are while exploring, in squares."""
    compass: int = eqx.field(static=True)
    """Up to so many squares the policy is told how far the goal is; 0: only where it is."""
    heat: float = eqx.field(static=True)
    """How fast the temperature rises when a goal is overdue."""

    def reset(self, key: Key, params: Chart) -> tuple[Quest, Seen]:
        choose, fresh, depart = jax.random.split(key, 3)
        world, _ = self.slippery.reset(fresh, params.layout)
        row, cell = params.routes.choose(choose), cell_of(world, params.layout)
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        quest = Quest(
            world=world,
            walk=Walk.begin(cell, params.routes.walk.cells.shape[1]),
            score=jnp.zeros(()),
            route=jax.tree.map(lambda x: x[row], params.routes.walk),
            parent=params.routes.identity[row],
            aim=zero,
            goal=cell,
            idle=zero,
            exploring=no,
            random=no,
            habit=zero,
            event=Event.none(cell),
        )
        quest = self.proceed(depart, quest, params)
        return quest, self.observe(quest, params)

    def step(self, key: Key, state: Quest, action: Int[Array, ""], params: Chart) -> Transition:
        act, move, aim = jax.random.split(key, 3)
        blind, layout = state.exploring & state.random, params.layout
        habit, deed = self.act(act, state, action)
        after = self.slippery.env.step(move, state.world, deed, layout)
        event = Event.none(cell_of(state.world, layout))._replace(entered=cell_of(after.state, layout), blind=blind)
        walk, score = state.walk.enter(event.entered, deed), state.score + after.reward
        quest = state._replace(world=after.state, walk=walk, score=score, habit=habit, event=event)
        quest = self.proceed(aim, quest, params)
        event = quest.event
        earned = jnp.where(event.arrived, 3.0, event.reached) + jnp.clip(after.reward, -2, 2)
        over = after.terminated | event.failed | (quest.exploring & (quest.idle > self.curiosity))
        return Transition(quest, self.observe(quest, params), earned, over, after.truncated & ~over)

    def act(self, key: Key, quest: Quest, action: Int[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The random action of the moment; and what is really done: that, or the policy's action, unless it slips."""
        again, other, slip = jax.random.split(key, 3)
        fresh = jax.random.randint(other, (), 0, self.slippery.env.actions)
        habit = jnp.where(jax.random.bernoulli(again, 1 / self.repeat), fresh, quest.habit)
        return habit, self.slippery.deed(slip, jnp.where(quest.exploring & quest.random, habit, action))

    def proceed(self, key: Key, quest: Quest, params: Chart) -> Quest:
        """Note what was reached, and set the next goal."""
        toss, near = jax.random.split(key)
        route, cell, exploring = quest.route, quest.event.entered, quest.exploring
        places, moved = jnp.arange(len(route.cells)), cell != quest.event.left
        ahead = (places >= quest.aim) & (places < jnp.minimum(quest.aim + self.window, route.length))
        met = ahead & (route.cells == cell) & ~exploring
        aim = jnp.where(met.any(), jnp.max(jnp.where(met, places, 0)) + 1, quest.aim)
        arrived = met.any() & (aim >= route.length)
        reached = met.any() | (exploring & moved & (cell == quest.goal))
        found = exploring & moved & ~params.routes.knows(cell)
        idle = jnp.where(reached | found, 0, quest.idle + 1)
        stuck = exploring & (idle % self.patience == self.patience - 1)
        onward = jnp.where(exploring, quest.goal, route.cells[aim])
        goal = jnp.where(arrived | stuck | (exploring & reached), self.whim(near, quest.world, params.layout), onward)
        return quest._replace(
            aim=aim,
            goal=goal,
            idle=idle,
            exploring=exploring | arrived,
            random=jnp.where(arrived, jax.random.bernoulli(toss, self.blind), quest.random),
            event=quest.event._replace(
                reached=reached & ~quest.event.blind, arrived=arrived, failed=~exploring & (idle > self.patience)
            ),
        )

    def whim(self, key: Key, world: State, layout: Layout) -> Int[Array, ""]:
        """A cell near by, with the same things done; it may be in a wall."""
        step = jax.random.randint(key, (2,), -self.near, self.near + 1)
        corner = jnp.array(layout.walls.shape) - 1
        return cell_of(world._replace(position=jnp.clip(world.position + step, 0, corner)), layout)

    def observe(self, quest: Quest, params: Chart) -> Seen:
        """The policy gets warmer when a goal is overdue: a return by `window` actions, exploring by 50."""
        over = jnp.maximum(quest.idle - jnp.where(quest.exploring, 50, self.window), 0)
        return self.view(quest.world, quest.goal, 1 + (self.heat * over.astype(float)) ** 2, params.layout)

    def view(self, world: State, goal: Int[Array, ""], temperature: Float[Array, ""], layout: Layout) -> Seen:
        """What the policy observes of a world and its goal."""
        there, observe = stand(goal, layout), self.slippery.env.observe
        offset = jnp.clip(there.position - world.position, -self.compass, self.compass)
        compass = (offset[:, None] == jnp.arange(-self.compass, self.compass + 1)).ravel().astype(float)
        return Seen(observe(world, layout), jnp.concatenate([observe(there, layout).ravel(), compass]), temperature)


def watch(transition: Transition) -> Moment:
    """What the archive is to know of a step."""
    quest: Quest = transition.state
    return Moment(quest.walk, quest.score, quest.parent, quest.event)


def cell_of(world: State, layout: Layout) -> Int[Array, ""]:
    """The number of the cell."""
    return rooms.progress(world) * layout.walls.size + rooms.place(world, layout)


def stand(cell: Int[Array, ""], layout: Layout) -> State:
    """The world with the agent in the cell, at the beginning of an episode."""
    progress, place = jnp.divmod(cell, layout.walls.size)
    keys, doors = len(layout.keys), len(layout.doors)
    done = (progress >> np.arange(keys + doors)) & 1 == 1
    position = jnp.stack(jnp.divmod(place, layout.walls.shape[1]))
    return State(position, done[:keys], done[keys:], jnp.zeros((), jnp.int32))


def cells_of(layout: Layout) -> int:
    """How many cells could be told apart."""
    return layout.walls.size * 2 ** (len(layout.keys) + len(layout.doors))


def _tempered(output: Output, temperature: Float[Array, "*b"]) -> Output:
    assert isinstance(output.distribution, Categorical)
    return output._replace(distribution=Categorical(output.distribution.logits / temperature[..., None]))
