"""A planar robot arm that must reach everywhere, with joints as evenly bent as possible.

The redundant arm of Cully et al. (2015), "Robots that can adapt like animals", https://arxiv.org/abs/1407.3501, and
of Vassiliades & Mouret (2018), https://arxiv.org/abs/1804.03906: the fitness is minus the variance of the joint
angles, the descriptor is where the arm ends.  As in the code of Fontaine & Nikolaidis (2021),
https://github.com/icaros-usc/dqd, angles are in radians and unbounded, each relative to the link before it.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Evaluation, Key


class Arm(eqx.Module):
    """Bend an arm of `joints` equal links and total length 1/2, fixed at the middle of the unit square.

    The points that it can reach are a disc: pi/4 = 78.5 % of the square.
    """

    joints: int = eqx.field(static=True, default=10)
    offset: float = eqx.field(static=True, default=-1.0)
    """The fitness that counts as nothing in a QD score."""

    @property
    def start(self) -> Float[Array, " g"]:
        """The genome that search starts from: the straight arm."""
        return jnp.zeros(self.joints)

    @property
    def low(self) -> tuple[float, ...]:
        """The smallest descriptor."""
        return (0.0, 0.0)

    @property
    def high(self) -> tuple[float, ...]:
        """The largest descriptor."""
        return (1.0, 1.0)

    def __call__(self, key: Key, genomes: Float[Array, "n g"]) -> Evaluation:
        del key
        return Evaluation(-jnp.var(genomes, axis=1), self.joint_positions(genomes)[:, -1])

    def joint_positions(self, genomes: Float[Array, "n g"]) -> Float[Array, "n g 2"]:
        """Where each link ends."""
        heading = jnp.cumsum(genomes, axis=1)
        steps = jnp.stack([jnp.cos(heading), jnp.sin(heading)], axis=-1)
        return 0.5 + jnp.cumsum(steps, axis=1) / (2 * self.joints)
