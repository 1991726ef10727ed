"""A model of a learner, on chains of items of which each needs the one before."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Info, Key


class Attempts(NamedTuple):
    """How often each of `n` tasks was tried, and how often with success."""

    successes: Int[Array, " n"]
    tried: Int[Array, " n"]

    @staticmethod
    def tally(n: int, goals: Int[Array, " a"], over: Bool[Array, " a"], success: Bool[Array, " a"]) -> "Attempts":
        """The attempts among `a` moments: those at which one was over."""
        none, goals = jnp.zeros(n, int), jnp.where(over, goals, n)  # out of range: dropped by the scatter
        return Attempts(none.at[jnp.where(success, goals, n)].add(1, mode="drop"), none.at[goals].add(1, mode="drop"))


class Chains(eqx.Module):
    """Tasks: obtain item `i` of chain `c`, or something that does not exist.

    The learner has a skill for each item: the probability of obtaining it once it has the one before.  An attempt
    walks down a chain until the wanted item is obtained or one is missed; whoever wants what does not exist walks down
    some chain.  Practised is what was rewarded: all items of a walk that ended in success and, as far as a bonus is
    worth, every obtained item that pays one.  An update is of limited size, which all rewards of its batch share.
    Examinations neither practise nor cost anything.
    """

    chains: int = eqx.field(static=True, default=6)
    length: int = eqx.field(static=True, default=10)
    impossible: int = eqx.field(static=True, default=600)
    batch: int = eqx.field(static=True, default=64)
    """Attempts in an update."""
    updates: int = eqx.field(static=True, default=10)
    """Before each examination."""
    tries: int = eqx.field(static=True, default=20)
    """At each task in an examination; 0: none, and what was practised tells how well."""
    novice: float = 0.05
    """The skill of someone untrained."""
    rate: float = 0.1
    """How much of what a skill lacks a reward adds."""
    capacity: float = 32.0
    """Rewards of which an update can make full use."""
    forgetting: float = 0.003
    """How much of what a skill is above a novice's every update takes away."""

    @property
    def possible(self) -> int:
        return self.chains * self.length

    @property
    def groups(self) -> tuple[str, ...]:
        """The kind of every task: which item of its chain."""
        return tuple(f"item_{i + 1}" for _ in range(self.chains) for i in range(self.length)) + ("impossible",) * (
            self.impossible
        )

    @eqx.filter_jit
    def begin(self, key: Key) -> tuple[Float[Array, "c l"], Attempts]:
        """A novice, and how it fares."""
        skills = jnp.full((self.chains, self.length), self.novice, float)
        return skills, self.examined(key, self.chances(skills), self.tries or 20)

    def chances(self, skills: Float[Array, "c l"]) -> Float[Array, " n"]:
        """The success probability of every task."""
        return jnp.concatenate([jnp.cumprod(skills, axis=1).ravel(), jnp.zeros(self.impossible)])

    @eqx.filter_jit
    def practise(
        self, key: Key, skills: Float[Array, "c l"], probabilities: Float[Array, " n"], bonus: Float[Array, " n"]
    ) -> tuple[Float[Array, "c l"], Attempts, Float[Array, " n"], Info]:
        """Some updates at commanded tasks: the skills, what is known of them, true chances, and what to report."""
        practise, examine = jax.random.split(key)

        def update(skills: Array, key: Key) -> tuple[Array, Attempts]:
            command, walk = jax.random.split(key)
            goals = jax.random.choice(command, probabilities.size, (self.batch,), p=probabilities)
            return self.attempt(walk, skills, goals, bonus)

        skills, attempts = jax.lax.scan(update, skills, jax.random.split(practise, self.updates))
        chances = self.chances(skills)
        known = self.examined(examine, chances, self.tries) if self.tries else Attempts(*(x.sum(0) for x in attempts))
        return skills, known, chances, {}

    def attempt(
        self, key: Key, skills: Float[Array, "c l"], goals: Int[Array, " b"], bonus: Float[Array, " n"]
    ) -> tuple[Float[Array, "c l"], Attempts]:
        """One update, from a batch of attempts; and their outcomes."""
        wander, walk = jax.random.split(key)
        possible = goals < self.possible
        chain = jnp.where(possible, goals // self.length, jax.random.randint(wander, goals.shape, 0, self.chains))
        last = jnp.where(possible, goals % self.length, self.length - 1)
        managed = jax.random.uniform(walk, (goals.size, self.length)) < skills[chain]
        obtained = jnp.cumprod(managed, axis=1) * (jnp.arange(self.length) <= last[:, None])
        success = possible & (obtained.sum(axis=1) == last + 1)
        paid = bonus[: self.possible].reshape(self.chains, self.length)[chain]
        rewards = jnp.zeros_like(skills).at[chain].add(obtained * (success[:, None] + paid))
        outcome = Attempts.tally(self.possible + self.impossible, goals, jnp.ones_like(success), success)
        return self.practised(skills, rewards), outcome

    def practised(self, skills: Float[Array, "*s"], rewards: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The skills after one update with so many rewards for each."""
        doses = rewards * jnp.minimum(1, self.capacity / jnp.maximum(rewards.sum(), 1))
        skills = 1 - (1 - skills) * (1 - self.rate) ** doses
        return skills - self.forgetting * (skills - self.novice)

    def examined(self, key: Key, chances: Float[Array, " n"], tries: int) -> Attempts:
        """An examination of so many tries at each task."""
        passed = jax.random.uniform(key, (chances.size, tries)) < chances[:, None]
        return Attempts(passed.sum(axis=1), jnp.full(chances.size, tries))
