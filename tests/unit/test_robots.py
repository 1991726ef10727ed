import jax
import jax.numpy as jnp
import numpy as np

from aiga.archives.grid import Grid, GridCells
from aiga.core.protocols import Evaluation
from aiga.core.trees import Layout
from aiga.learners.robots import Network, Observed, observed, recovered
from aiga.nn.normaliser import Normaliser


def test_a_policy_begins_with_neurons_of_length_one_and_hardly_acts():
    network = Network((3, 5, 2))(jax.random.key(0))
    assert np.allclose(jnp.linalg.norm(network.layers[0].weight, axis=1), 1)
    assert np.allclose(jnp.linalg.norm(network.layers[1].weight, axis=1), 0.01)
    assert not any(layer.bias.any() for layer in network.layers)
    assert jnp.abs(network(jnp.ones(3))).max() < 0.03


def test_an_episode_with_a_number_that_is_not_finite_teaches_the_normaliser_nothing():
    total = jnp.array([[2.0, 4.0], [jnp.nan, 0.0], [4.0, 8.0]])
    after = observed(Normaliser.none((2,)), Observed(jnp.array([1.0, 7.0, 2.0]), total, total**2))
    assert float(after.seen) == 3
    assert after.mean.tolist() == [2, 4]
    assert observed(None, None) is None


def test_a_damaged_body_recovers_with_the_elite_that_still_works():
    division = GridCells((0.0,), (3.0,), (3,))
    genomes, sound = jnp.arange(3.0)[:, None], jnp.array([3.0, 2.0, 1.0])
    grid, _ = Grid.empty(jnp.zeros(1), division, parents=1).add(genomes, Evaluation(sound, genomes + 0.5))

    def only_one_works(key, genomes, body, normaliser) -> Evaluation:
        del key, normaliser
        return Evaluation(jnp.where(genomes[:, 0] == body, 3 - body, 0.0), genomes)

    # In body b only elite b works, as it did in the sound one; without a search, every body takes elite 0.
    fared = recovered(jax.random.key(0), only_one_works, Layout.of(jnp.zeros(1)), grid, jnp.arange(3.0))
    assert np.allclose(fared, [(3 + 2 + 1) / 3, 1, 3 / 3])
