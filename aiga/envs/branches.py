"""A model of a learner, on chains of items with side branches: tasks that can be learned and lead nowhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from aiga.core.protocols import Info, Key
from aiga.envs.chains import Attempts, Chains


class Branches(eqx.Module):
    """Tasks: obtain item `i` of chain `c`, or do so in one of several other ways, or something that does not exist.

    As `Chains`, with one more skill for each other way.  Such a task succeeds when its item is obtained, through the
    chain's skills, and then its own skill suffices; success practises them all.  The next item needs the item before
    it and none of its other ways.  Tasks come in this order: all items, all other ways, what does not exist.
    """

    chains: Chains
    variants: int = eqx.field(static=True, default=6)
    """Other ways of every item."""

    @property
    def items(self) -> int:
        return self.chains.possible

    @property
    def possible(self) -> int:
        return self.items * (1 + self.variants)

    @eqx.filter_jit
    def begin(self, key: Key) -> tuple[Float[Array, "c l w"], Attempts]:
        """A novice, and how it fares; of each item's skills the first leads on."""
        skills = jnp.full((self.chains.chains, self.chains.length, 1 + self.variants), self.chains.novice, float)
        return skills, self.chains.examined(key, self.chances(skills), self.chains.tries)

    def chances(self, skills: Float[Array, "c l w"]) -> Float[Array, " n"]:
        """The success probability of every task."""
        obtained = jnp.cumprod(skills[:, :, 0], axis=1)
        others = obtained[:, :, None] * skills[:, :, 1:]
        return jnp.concatenate([obtained.ravel(), others.ravel(), jnp.zeros(self.chains.impossible)])

    @eqx.filter_jit
    def practise(
        self, key: Key, skills: Float[Array, "c l w"], probabilities: Float[Array, " n"], bonus: Float[Array, " n"]
    ) -> tuple[Float[Array, "c l w"], Attempts, Float[Array, " n"], Info]:
        """Some updates at commanded tasks: the skills, what is known of them, true chances, and what to report."""
        del bonus
        practise, examine = jax.random.split(key)

        def update(skills: Array, key: Key) -> tuple[Array, None]:
            command, walk = jax.random.split(key)
            goals = jax.random.choice(command, probabilities.size, (self.chains.batch,), p=probabilities)
            return self.attempt(walk, skills, goals)[0], None

        skills, _ = jax.lax.scan(update, skills, jax.random.split(practise, self.chains.updates))
        chances = self.chances(skills)
        return skills, self.chains.examined(examine, chances, self.chains.tries), chances, {}

    def attempt(
        self, key: Key, skills: Float[Array, "c l w"], goals: Int[Array, " b"]
    ) -> tuple[Float[Array, "c l w"], Attempts]:
        """One update, from a batch of attempts; and their outcomes."""
        length, items = self.chains.length, self.items
        item = jnp.where(goals < items, goals, (goals - items) // max(self.variants, 1))
        way = jnp.where(goals < items, 0, 1 + (goals - items) % max(self.variants, 1))
        chain, last = item // length, item % length
        wanted = (jnp.arange(length) <= last[:, None])[:, :, None] & (jnp.arange(1 + self.variants) == 0)
        wanted = wanted.at[jnp.arange(goals.size), last, way].set(True)
        managed = jax.random.uniform(key, wanted.shape) < skills[chain]
        success = (goals < self.possible) & (managed | ~wanted).all(axis=(1, 2))
        rewards = jnp.zeros_like(skills).at[chain].add(wanted * success[:, None, None])
        outcome = Attempts.tally(self.possible + self.chains.impossible, goals, jnp.ones_like(success), success)
        return self.chains.practised(skills, rewards), outcome
