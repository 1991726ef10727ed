"""Pairs of a hard and an easy task, where learning the hard one breaks the easy one for a while.

In the spirit of the analytic function of Huizinga & Clune (2018), https://arxiv.org/abs/1807.03392; the formulas are
ours.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Evaluation, Key

BREAK, MEND = 0.1, 0.9
"""Between these skills in the hard task, the easy one cannot be done."""


class HardEasy(eqx.Module):
    """As many pairs of tasks; a genome has two numbers from -1 to 1 a pair.

    Brought to the range from 0 to 1, the first number, x, is the score in the hard task.  The score in the easy task is
    1 - |y - target|, and nothing at all while x is between `BREAK` and `MEND`; the target is 0 for a beginner in the
    hard task and 1 for a master.  So all tasks are solved by ones, every genome with small first numbers is close to
    solving half of them, and whoever learns the rest loses the easy tasks on the way and must learn them anew.
    """

    pairs: int = eqx.field(static=True, default=3)
    by: Literal["mean", "product"] = eqx.field(static=True, default="mean")

    @property
    def tasks(self) -> int:
        return 2 * self.pairs

    @property
    def behaviour(self) -> int:
        """Numbers of a descriptor: the scores."""
        return self.tasks

    def build(self, key: Key) -> Float[Array, "p 2"]:
        """A random beginner."""
        beginner = jnp.array([-1 + 2 * BREAK, 1.0])
        return jax.random.uniform(key, (self.pairs, 2), minval=-1, maxval=beginner)

    def __call__(self, key: Key, genomes: Float[Array, "n p 2"]) -> Evaluation:
        del key
        x, y = jnp.moveaxis((genomes + 1) / 2, -1, 0)
        target = jnp.where(x < 0.5, 0.0, 1.0)
        broken = (x > BREAK) & (x < MEND)
        scores = jnp.concatenate([x, jnp.where(broken, 0, 1 - jnp.abs(y - target))], axis=1)
        return Evaluation(scores.mean(axis=1), scores, scores)
