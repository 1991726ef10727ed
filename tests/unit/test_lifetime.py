import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.cue_reward import CueReward
from aiga.envs.hidden_goal import HiddenGoal
from aiga.learners.lifetime import Lifetime, Lives, actor_critic, returns


def test_returns_are_discounted_sums_to_the_end_of_the_life():
    reward = jnp.array([[0.0, 1.0], [2.0, 0.0], [4.0, -1.0]])
    np.testing.assert_allclose(returns(reward, 0.5), [[2, 0.75], [4, -0.5], [4, -1]])


def test_the_baseline_of_every_life_is_its_own_value():
    """With the value of the first life as everybody's, as in the authors' code, the second advantage would be 7."""
    value, reward = jnp.array([[1.0, 5.0]]), jnp.array([[3.0, 8.0]])

    def loss(log_prob):
        return actor_critic(Lives(log_prob, value, jnp.zeros((1, 2)), reward), 0.9, 0.0, 0.0)

    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros((1, 2))), [[-(3 - 1) / 2, -(8 - 5) / 2]])


def test_the_loss_is_policy_value_and_certainty():
    lives = Lives(jnp.array([[-0.5]]), jnp.array([[1.0]]), jnp.array([[0.7]]), jnp.array([[3.0]]))
    assert actor_critic(lives, 0.9, 0.1, 0.03) == pytest.approx(0.5 * 2 + 0.1 * 4 + 0.03 * 0.7)
    slope = jax.grad(lambda value: actor_critic(lives._replace(value=value), 0.9, 0.1, 0.0))(lives.value)
    assert slope[0, 0] == pytest.approx(-0.1 * 2 * 2), "the value learns from its own error alone"


@pytest.mark.parametrize("env", [CueReward(cues=3, bits=3, length=12, pause=0.1), HiddenGoal(side=5, length=8)])
@pytest.mark.parametrize("rule", ["retroactive", "none"])
def test_lives_are_as_long_as_the_worlds_and_teach_all_that_can_be_learned(env, rule):
    task = Lifetime(env, batch=4, scale=0.3)
    network = task.build(jax.random.key(0), 5, rule, "connection")
    lives = eqx.filter_jit(task.live)(jax.random.key(1), network)
    assert lives.reward.shape == lives.value.shape == (env.length, 4)
    assert (lives.log_prob < 0).all()
    assert ((lives.certainty > 1 / env.actions - 1e-6) & (lives.certainty <= 1)).all()
    assert jnp.abs(lives.reward).max() > 0
    slope, (_, info) = eqx.filter_jit(eqx.filter_grad(lambda net: task.loss(jax.random.key(2), net, ()), has_aux=True))(
        network
    )
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope) if leaf.size)
    assert info.keys() == {"life/reward", "life/late", "life/certainty"}
