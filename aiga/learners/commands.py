"""A policy that learns to follow commands: obtain this, then that."""

from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.archives.visits import Visits
from aiga.core.protocols import Info, Key, Transition
from aiga.envs.chains import Attempts
from aiga.learners.ppo import PPO, Learner
from aiga.learners.rollout import Trajectory, Worlds, begin, rollout
from aiga.nn.mlp import mlp, relu
from aiga.nn.policy import Policy, make_policy


@runtime_checkable
class ItemWorld(Protocol):
    """An `Env` without parameters in which items can be obtained."""

    @property
    def items(self) -> tuple[str, ...]: ...

    @property
    def features(self) -> int: ...

    @property
    def actions(self) -> int: ...

    def reset(self, key: Key, params: None) -> tuple[PyTree, Array]: ...

    def step(self, key: Key, state: PyTree, action: Array, params: None) -> Transition: ...

    def obtained(self, state: PyTree) -> Bool[Array, " items"]:
        """Which items the step that led here brought."""
        ...


class Orders(NamedTuple):
    """What the commander goes by: the parameters of `Commands`."""

    probabilities: Float[Array, " n"]
    bonus: Float[Array, " n"]
    """For the first of each item in an episode."""


class Verdict(NamedTuple):
    """What became of the command."""

    goal: Int[Array, ""]
    over: Bool[Array, ""]
    success: Bool[Array, ""]
    examined: Bool[Array, ""]
    """It was given in an examination."""


class Commanded(NamedTuple):
    """The state of `Commands`."""

    world: PyTree
    goal: Int[Array, ""]
    waited: Int[Array, ""]
    """Steps since the command."""
    examined: Bool[Array, ""]
    """The episode is an examination."""
    visits: Visits
    """Items of this episode."""
    had: Int[Array, " items"]
    """How often each had been obtained when the command was given."""
    verdict: Verdict


class Commands(eqx.Module):
    """A world of items in which the reward is for what is commanded: an item, or several, so many times."""

    env: ItemWorld
    impossible: int = eqx.field(static=True)
    """Commands that nothing fulfils."""
    timeout: int = eqx.field(static=True)
    """Steps for a command."""
    share: float = eqx.field(static=True)
    """Of episodes that are examinations: each of their commands is for any task, all equally probable."""
    needs: Int[Array, "m items"] | None = None
    """How often each possible task wants each item, counted from the command on; None: a task for each item, once."""
    codes: Float[Array, "n w"] | None = None
    """What the policy sees of each task; None: its number, one-hot."""
    examine_impossible: bool = eqx.field(static=True, default=True)
    """Whether examinations command what nothing fulfils."""

    @property
    def possible(self) -> int:
        return len(self.env.items) if self.needs is None else len(self.needs)

    @property
    def tasks(self) -> int:
        return self.possible + self.impossible

    @property
    def features(self) -> int:
        return self.env.features + (self.tasks if self.codes is None else self.codes.shape[1]) + 1

    def reset(self, key: Key, params: Orders) -> tuple[Commanded, Float[Array, " f"]]:
        fresh, examine, command = jax.random.split(key, 3)
        world, observation = self.env.reset(fresh, None)
        examined = jax.random.bernoulli(examine, self.share)
        goal = self._command(command, params, examined)
        zero, no = jnp.zeros((), int), jnp.zeros((), bool)
        visits, had = Visits.none(len(self.env.items)), jnp.zeros(len(self.env.items), jnp.int32)
        state = Commanded(world, goal, zero, examined, visits, had, Verdict(zero, no, no, no))
        return state, self._observed(observation, state)

    def step(self, key: Key, state: Commanded, action: Int[Array, ""], params: Orders) -> Transition:
        play, command = jax.random.split(key)
        after = self.env.step(play, state.world, action, None)
        obtained = self.env.obtained(after.state)
        visits, first = state.visits.visit(jnp.where(obtained, jnp.arange(obtained.size), -1))
        counts = jnp.asarray(visits.counts)
        success = self._fulfilled(state.goal, counts - state.had)
        over = success | (state.waited + 1 >= self.timeout)
        verdict = Verdict(state.goal, over | after.terminated | after.truncated, success, state.examined)
        goal = jnp.where(over, self._command(command, params, state.examined), state.goal)
        waited, had = jnp.where(over, 0, state.waited + 1), jnp.where(over, counts, state.had)
        state = Commanded(after.state, goal, waited, state.examined, visits, had, verdict)
        reward = success + jnp.where(first, params.bonus[: obtained.size], 0).sum()
        observation = self._observed(after.observation, state)
        return Transition(state, observation, reward, after.terminated, after.truncated)

    def _fulfilled(self, goal: Int[Array, ""], got: Int[Array, " items"]) -> Bool[Array, ""]:
        needs = jnp.eye(got.size, dtype=int) if self.needs is None else self.needs
        return (goal < self.possible) & (got >= needs[goal]).all()

    def _command(self, key: Key, params: Orders, examined: Bool[Array, ""]) -> Int[Array, ""]:
        choose, draw = jax.random.split(key)
        chosen = jax.random.choice(choose, self.tasks, p=params.probabilities)
        known = self.tasks if self.examine_impossible else self.possible
        return jnp.where(examined, jax.random.randint(draw, (), 0, known), chosen)

    def _observed(self, observation: Float[Array, " o"], state: Commanded) -> Float[Array, " f"]:
        goal = jax.nn.one_hot(state.goal, self.tasks) if self.codes is None else self.codes[state.goal]
        return jnp.concatenate([observation, goal, state.waited[None] / self.timeout])


class Marks(NamedTuple):
    """Recent examinations, the past forgotten."""

    passed: Float[Array, " n"]
    sat: Float[Array, " n"]

    @property
    def success(self) -> Float[Array, " n"]:
        """The share of passed examinations; 0 where none was sat."""
        return self.passed / jnp.maximum(self.sat, 1e-6)


class Apprenticeship(NamedTuple):
    """The state of an `Apprentice`."""

    learner: Learner
    worlds: Worlds
    marks: Marks
    steps: Int[Array, ""]
    """Taken so far, over all worlds, after the novitiate."""


class Apprentice(eqx.Module):
    """A policy that learns to follow commands."""

    env: Commands
    ppo: PPO
    worlds: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    """Steps of each world between two updates."""
    hidden: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    novitiate: int = eqx.field(static=True, default=16)
    """Rollouts that tell how a random policy fares."""
    remembered: float = 50.0
    """Updates for which an examination counts."""

    @property
    def groups(self) -> tuple[str, ...]:
        return (*self.env.env.items, *("impossible",) * self.env.impossible)

    def begin(self, key: Key) -> tuple[Apprenticeship, Attempts]:
        """A policy that acts at random, and how it fares."""
        build, key = jax.random.split(key)
        policy, n = self._policy(build), self.env.tasks
        even = Orders(jnp.ones(n) / n, jnp.zeros(n))
        fresh, *plays = jax.random.split(key, 1 + self.novitiate)
        worlds, none = self._fresh(fresh, policy, even), jnp.zeros(n)
        attempts = Attempts(none.astype(int), none.astype(int))
        for play in plays:  # not compiled as a whole: `_play` takes long to compile, and practice uses it too
            worlds, _, verdicts = self._play(play, policy, worlds, even)
            attempts = Attempts(*map(jnp.add, attempts, self._attempts(verdicts, verdicts.over)))
        return Apprenticeship(self.ppo.init(policy), worlds, Marks(none, none), jnp.zeros((), int)), attempts

    def practise(
        self, key: Key, state: Apprenticeship, probabilities: Float[Array, " n"], bonus: Float[Array, " n"]
    ) -> tuple[Apprenticeship, Attempts, Float[Array, " n"], Info]:
        """A rollout and an update: the state, the attempts, success in recent examinations, and what to report."""
        play, learn = jax.random.split(key)
        orders = Orders(probabilities, bonus)
        worlds, trajectory, verdicts = self._play(play, state.learner.policy, state.worlds, orders)
        return self._learn(learn, state._replace(worlds=worlds), trajectory, verdicts)

    @eqx.filter_jit
    def _fresh(self, key: Key, policy: Policy, orders: Orders) -> Worlds:
        return begin(key, self.env, orders, policy, self.worlds)

    @eqx.filter_jit
    def _play(self, key: Key, policy: Policy, worlds: Worlds, orders: Orders) -> tuple[Worlds, Trajectory, Verdict]:
        worlds, trajectory = rollout(
            key, self.env, orders, policy, worlds, self.length, resets=2, watch=lambda after: after.state.verdict
        )
        return worlds, trajectory._replace(watched=()), trajectory.watched

    @eqx.filter_jit
    def _learn(
        self, key: Key, state: Apprenticeship, trajectory: Trajectory, verdicts: Verdict
    ) -> tuple[Apprenticeship, Attempts, Float[Array, " n"], Info]:
        learner, info = self.ppo.update(key, state.learner, trajectory)
        examined = self._attempts(verdicts, verdicts.over & verdicts.examined)
        marks = Marks(*((1 - 1 / self.remembered) * old + new for old, new in zip(state.marks, examined, strict=True)))
        steps = state.steps + self.worlds * self.length
        info = {**info, **state.worlds.episodes.metrics(), "learner/steps": steps}
        state = Apprenticeship(learner, state.worlds, marks, steps)
        return state, self._attempts(verdicts, verdicts.over), marks.success, info

    @eqx.filter_jit
    def _attempts(self, verdicts: Verdict, which: Bool[Array, "t b"]) -> Attempts:
        return Attempts.tally(self.env.tasks, verdicts.goal.ravel(), which.ravel(), verdicts.success.ravel())

    @eqx.filter_jit
    def _policy(self, key: Key) -> Policy:
        encode, decide = jax.random.split(key)
        encoder = mlp(encode, (self.env.features, self.hidden), relu, last=relu)
        return make_policy(decide, self.hidden, self.env.env.actions, encoder=encoder, hidden=(64,), memory=self.memory)
