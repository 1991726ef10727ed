"""Proximal policy optimisation, advantage actor-critic as a case of it, and self-imitation.

Schulman et al. (2017), https://arxiv.org/abs/1707.06347, with the details that Engstrom et al. (2020),
https://arxiv.org/abs/2005.12729, found to matter:

    repeat:
        trajectory <- play a few steps in many worlds
        advantage  <- how much better than expected every action turned out
        for a few epochs, for every minibatch:
            raise the probability of good actions, but not beyond what the data can vouch for; improve the critic
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.protocols import Env, Info, Key
from aiga.learners.rollout import Trajectory, Worlds, advantages, begin, rollout
from aiga.nn.policy import Policy, Scale


class Moments(NamedTuple):
    """Running mean of what is seen and of its square, the past forgotten exponentially."""

    mean: Float[Array, ""]
    square: Float[Array, ""]
    weight: Float[Array, ""]

    @staticmethod
    def none() -> "Moments":
        return Moments(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    def after(self, x: Array, keep: float) -> "Moments":
        seen = Moments(x.mean(), (x**2).mean(), jnp.ones(()))
        return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, self, seen)

    def scale(self) -> Scale:
        mean, square = self.mean / self.weight, self.square / self.weight
        return Scale(mean, jnp.sqrt(jnp.maximum(square - mean**2, 1e-4)))


class Learner(NamedTuple):
    """A policy that learns."""

    policy: Policy
    optimiser: PyTree
    returns: Moments
    updates: Int[Array, ""]


class Batch(NamedTuple):
    """What the loss is computed from: steps of worlds, `t b` as in a trajectory."""

    observation: PyTree
    action: PyTree
    log_prob: Float[Array, "t b"]
    value: Float[Array, "t b"]
    advantage: Float[Array, "t b"]
    target: Float[Array, "t b"]
    """What the critic should have said."""
    start: Bool[Array, "t b"]
    weight: Float[Array, "t b"]
    carry: PyTree


class PPO(eqx.Module):
    """The hyperparameters, and the update they define.  The defaults are those of the paper's Atari experiments,
    but for the clipping of gradients."""

    learning_rate: optax.ScalarOrSchedule = 2.5e-4
    """Or a schedule of optax over the minibatches so far."""
    discount: float = 0.99
    trace: float = 0.95
    """The paper's lambda."""
    clip: float = 0.1
    value_clip: bool = True
    """Also clip how far the critic moves; in the units of its output."""
    epochs: int = 3
    minibatches: int = 4
    """Of whole episodes' steps at random; with a memory, of whole worlds."""
    entropy: float = 0.01
    value_weight: float = 0.5
    """Of half the squared error."""
    gradient_norm: float = 0.5
    normalise_advantages: bool = True
    normalise_values: bool = False
    """The critic answers in deviations from the mean of its targets, which are tracked over some `value_memory`."""
    value_memory: float = 0.99
    prior_weight: float = 0.0
    """Of the divergence of the policy from a given prior, KL(prior || policy), as in Baker et al. (2022),
    https://arxiv.org/abs/2206.11795."""
    imitation_weight: float = 0.1
    """Of self-imitation, when `update` is given what to imitate."""
    imitation_value: float = 0.01
    optimiser: Literal["adam", "rmsprop"] = "adam"

    def init(self, policy: Policy) -> Learner:
        """A learner that begins with `policy`."""
        return Learner(policy, self._rule().init(_trained(policy)), Moments.none(), jnp.zeros((), int))

    def update(
        self,
        key: Key,
        learner: Learner,
        trajectory: Trajectory,
        *,
        imitation: Trajectory | None = None,
        prior: Policy | None = None,
    ) -> tuple[Learner, Info]:
        """Improve the policy from what it just did.

        Args:
            key: How minibatches are drawn.
            learner: What played the trajectory.
            trajectory: What it did.
            imitation: What it should do again where that brought more than the critic expects: own deeds or
                demonstrations, whose `value` and `next_value` are the present critic's.
            prior: The policy to stay near, weighted by `prior_weight`; it must have no memory.
        """
        gain = advantages(trajectory, self.discount, self.trace)
        learner = self._rescale(learner, gain + trajectory.value)
        batches = [self._batch(trajectory, gain, learner.policy)]
        if imitation is not None:
            batches.append(self._batch(imitation, advantages(imitation, self.discount, 1.0), learner.policy))

        numbers, rest = eqx.partition(learner, eqx.is_array)

        def minibatch(numbers: PyTree, rows: list[Array]) -> tuple[PyTree, Info]:
            learner: Learner = eqx.combine(numbers, rest)
            parts = [columns(batch, chosen) for batch, chosen in zip(batches, rows, strict=True)]
            gradient, info = jax.grad(self.loss, has_aux=True)(_trained(learner.policy), learner.policy, parts, prior)
            return eqx.filter(self._descend(learner, gradient), eqx.is_array), info

        rows = [self._shuffled(k, b) for k, b in zip(jax.random.split(key, len(batches)), batches, strict=True)]
        numbers, infos = jax.lax.scan(minibatch, numbers, rows)
        learner = eqx.combine(numbers, rest)._replace(updates=learner.updates + 1)
        return learner, jax.tree.map(jnp.mean, infos) | {"learner/updates": learner.updates}

    def loss(
        self, trained: PyTree, policy: Policy, parts: list[Batch], prior: Policy | None
    ) -> tuple[Float[Array, ""], Info]:
        """The clipped objective (Eq. 7 and 9), negated, with what else is asked for; and what to report."""
        policy = eqx.combine(trained, policy)
        batch = parts[0]
        output = policy.unroll(batch.observation, batch.start, batch.carry)
        weight = batch.weight / jnp.maximum(batch.weight.sum(), 1)
        advantage = _standardised(batch.advantage, weight) if self.normalise_advantages else batch.advantage
        change = output.distribution.log_prob(batch.action) - batch.log_prob
        ratio = jnp.exp(change)
        clipped = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        surrogate = (jnp.minimum(ratio * advantage, clipped * advantage) * weight).sum()
        error = (self._value_error(output.value, batch, policy.scale) * weight).sum()
        entropy = (output.distribution.entropy() * weight).sum()
        total = self.value_weight * error - surrogate - self.entropy * entropy
        info = {
            "loss/policy": -surrogate,
            "loss/value": error,
            "policy/entropy": entropy,
            "policy/kl": ((ratio - 1 - change) * weight).sum(),
            "policy/clipped": ((jnp.abs(ratio - 1) > self.clip) * weight).sum(),
        }
        if prior is not None:
            divergence = prior.unroll(batch.observation, batch.start, ()).distribution.kl(output.distribution)
            info["policy/prior_kl"] = (divergence * weight).sum()
            total += self.prior_weight * info["policy/prior_kl"]
        for imitated in parts[1:]:
            info["loss/imitation"] = self_imitation(policy, imitated, self.imitation_value)
            total += self.imitation_weight * info["loss/imitation"]
        return total, info

    def _value_error(self, value: Array, batch: Batch, scale: Scale) -> Float[Array, "t b"]:
        error = ((value - batch.target) / scale.deviation) ** 2
        if self.value_clip:
            reach = self.clip * scale.deviation
            near = batch.value + jnp.clip(value - batch.value, -reach, reach)
            error = jnp.maximum(error, ((near - batch.target) / scale.deviation) ** 2)
        return 0.5 * error

    def _rescale(self, learner: Learner, targets: Array) -> Learner:
        """The critic in the units of its targets.  Unlike in PopArt, its output jumps a little when they change."""
        if not self.normalise_values:
            return learner
        returns = learner.returns.after(targets, self.value_memory)
        policy = eqx.tree_at(lambda p: p.scale, learner.policy, returns.scale())
        return learner._replace(policy=policy, returns=returns)

    def _batch(self, trajectory: Trajectory, gain: Array, policy: Policy) -> Batch:
        """The trajectory as a batch; without a memory steps need no order, and all stand beside each other."""
        record = trajectory
        batch = Batch(
            record.observation, record.action, record.log_prob, record.value, gain, gain + record.value, record.start,
            record.weight, record.carry,
        )  # fmt: skip
        if policy.core:
            return batch
        return jax.tree.map(lambda x: x.reshape(1, -1, *x.shape[2:]), batch)

    def _shuffled(self, key: Key, batch: Batch) -> Int[Array, "m c"]:
        """Which columns each minibatch of all epochs has."""
        n = batch.start.shape[1]
        if n % self.minibatches:
            raise ValueError(
                f"`minibatches` is {self.minibatches}, which does not divide {n}: steps or, with a memory, worlds."
            )
        orders = jnp.argsort(jax.random.bits(key, (self.epochs, n)), axis=1)  # half the time of `permutation`
        return orders.reshape(self.epochs * self.minibatches, -1)

    def _descend(self, learner: Learner, gradient: PyTree) -> Learner:
        trained = _trained(learner.policy)
        change, optimiser = self._rule().update(gradient, learner.optimiser, trained)
        policy = eqx.combine(optax.apply_updates(trained, change), learner.policy)
        return learner._replace(policy=policy, optimiser=optimiser)

    def _rule(self) -> optax.GradientTransformation:
        rate = self.learning_rate
        rule = optax.adam(rate, eps=1e-5) if self.optimiser == "adam" else optax.rmsprop(rate, decay=0.99, eps=1e-5)
        return optax.chain(optax.clip_by_global_norm(self.gradient_norm), rule)


def a2c(**options: Any) -> PPO:
    """Advantage actor-critic: one step along the gradient of all that was just played.

    Mnih et al. (2016), https://arxiv.org/abs/1602.01783, synchronous.  Whatever else `options` say, a single pass
    makes the ratio of PPO's objective one, so that its gradient is the policy gradient: Huang et al. (2022),
    https://arxiv.org/abs/2205.09123.
    """
    defaults = {
        "learning_rate": 7e-4, "trace": 1.0, "epochs": 1, "minibatches": 1, "value_clip": False,
        "normalise_advantages": False, "optimiser": "rmsprop",
    }  # fmt: skip
    return PPO(**(defaults | options))


def self_imitation(policy: Policy, batch: Batch, value_weight: float) -> Float[Array, ""]:
    """The loss that repeats what turned out better than the critic expects.

    Oh et al. (2018), https://arxiv.org/abs/1806.05635, Eq. 2 and 3; `target` is the return.
    """
    output = policy.unroll(batch.observation, batch.start, batch.carry)
    weight = batch.weight / jnp.maximum(batch.weight.sum(), 1)
    better = jax.nn.relu(batch.target - output.value)
    again = -output.distribution.log_prob(batch.action) * jax.lax.stop_gradient(better)
    return ((again + value_weight * 0.5 * better**2) * weight).sum()


class Trained(NamedTuple):
    """The state of `Training`."""

    learner: Learner
    worlds: Worlds
    steps: Int[Array, ""]
    """Taken so far, over all worlds."""


class Training(eqx.Module):
    """Plain training in one kind of world: a system whose step is one rollout and one update."""

    env: Env
    params: PyTree
    ppo: PPO
    build: Callable[[Key], Policy]
    """From a key to the policy to begin with."""
    worlds: int = 8
    length: int = 128
    resets: int | None = None
    """Worlds begun anew at once; see `rollout`."""

    @eqx.filter_jit
    def init(self, key: Key) -> Trained:
        weights, fresh = jax.random.split(key)
        policy = self.build(weights)
        worlds = begin(fresh, self.env, self.params, policy, self.worlds)
        return Trained(self.ppo.init(policy), worlds, jnp.zeros((), int))

    @eqx.filter_jit
    def step(self, key: Key, state: Trained) -> tuple[Trained, Info]:
        play, learn = jax.random.split(key)
        policy = state.learner.policy
        worlds, trajectory = rollout(play, self.env, self.params, policy, state.worlds, self.length, resets=self.resets)
        learner, info = self.ppo.update(learn, state.learner, trajectory)
        steps = state.steps + self.length * self.worlds
        return Trained(learner, worlds, steps), {**info, **worlds.episodes.metrics(), "learner/steps": steps}


def columns(batch: Batch, rows: Int[Array, " c"]) -> Batch:
    """The given columns, of all steps."""
    return jax.tree.map(lambda x: x[:, rows], batch._replace(carry=()))._replace(
        carry=jax.tree.map(lambda x: x[rows], batch.carry)
    )


def _trained(policy: Policy) -> PyTree:
    """What the optimiser may change: all numbers but the scale of values."""
    numbers = eqx.filter(policy, eqx.is_inexact_array)
    return eqx.tree_at(lambda p: p.scale, numbers, replace=Scale(None, None))  # pyright: ignore[reportArgumentType]


def _standardised(x: Array, weight: Array) -> Array:
    """`x` less its weighted mean, in deviations."""
    mean = (x * weight).sum()
    deviation = jnp.sqrt((((x - mean) ** 2) * weight).sum())
    return (x - mean) / (deviation + 1e-8)
