"""Proximal policy optimisation: its gradient, its options, and that it learns and resumes."""

from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aiga
from aiga.core import trees
from aiga.learners.ppo import PPO, Training, _trained, a2c, self_imitation
from aiga.learners.rollout import advantages, begin, rollout
from aiga.nn.policy import make_policy
from tests.toys.recall import Line, Recall


def training(ppo=None, memory=0, **options):
    build = partial(make_policy, features=2, actions=2, hidden=(16,), memory=memory)
    return Training(Recall(), None, ppo or PPO(), build, **({"worlds": 8, "length": 16} | options))


def played(policy, n=8, length=16, env=None, params=None):
    env = env or Recall()
    worlds = begin(jax.random.key(7), env, params, policy, n)
    return rollout(jax.random.key(8), env, params, policy, worlds, length)[1]


def test_the_first_gradient_is_the_policy_gradient():
    """A single pass without normalisation, entropy or critic: the mean of advantage times the score."""
    policy = make_policy(jax.random.key(0), 2, 2, hidden=(4,))
    trajectory = played(policy)
    ppo = a2c(entropy=0.0, value_weight=0.0)
    gain = advantages(trajectory, ppo.discount, ppo.trace)
    batch = ppo._batch(trajectory, gain, policy)

    def expected(trained):
        output = eqx.combine(trained, policy).unroll(trajectory.observation, trajectory.start, ())
        return -(output.distribution.log_prob(trajectory.action) * gain).mean()

    ours = jax.grad(lambda trained: ppo.loss(trained, policy, [batch], None)[0])(_trained(policy))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(jax.grad(expected)(_trained(policy))), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_far_from_the_data_the_objective_has_no_gradient():
    """Eq. 7: a ratio beyond the clip, in the direction of the advantage, is not pushed further."""
    policy = make_policy(jax.random.key(0), 2, 2, hidden=(4,))
    trajectory = played(policy)
    ppo = PPO(entropy=0.0, value_weight=0.0, normalise_advantages=False)
    gain = jnp.ones_like(trajectory.value)
    batch = ppo._batch(trajectory._replace(log_prob=trajectory.log_prob - 1), gain, policy)
    gradient = jax.grad(lambda trained: ppo.loss(trained, policy, [batch], None)[0])(_trained(policy))
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))


def test_steps_without_weight_change_nothing():
    policy = make_policy(jax.random.key(0), 2, 2, hidden=(4,))
    trajectory = played(policy)
    half = trajectory._replace(weight=trajectory.weight.at[:, 4:].set(0))
    odd = half._replace(reward=half.reward.at[:, 4:].set(99))
    ppo = a2c()
    learner = ppo.init(policy)
    one, _ = ppo.update(jax.random.key(1), learner, half)
    other, _ = ppo.update(jax.random.key(1), learner, odd)
    for a, b in zip(jax.tree.leaves(_trained(one.policy)), jax.tree.leaves(_trained(other.policy)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("memory", [0, 8])
def test_every_column_is_used_once_an_epoch(memory):
    policy = make_policy(jax.random.key(0), 2, 2, memory=memory)
    ppo = PPO(epochs=2, minibatches=4)
    trajectory = played(policy)
    batch = ppo._batch(trajectory, trajectory.value, policy)
    rows = ppo._shuffled(jax.random.key(0), batch)
    columns = 8 if memory else 128
    assert rows.shape == (8, columns // 4)
    np.testing.assert_array_equal(np.sort(rows[:4].ravel()), np.arange(columns))
    np.testing.assert_array_equal(np.sort(rows[4:].ravel()), np.arange(columns))


def test_minibatches_have_to_divide_the_rollout():
    with pytest.raises(ValueError, match="`minibatches` is 3"):
        training(PPO(minibatches=3)).step(jax.random.key(0), training().init(jax.random.key(1)))


def test_normalised_values_are_still_told_in_units_of_reward():
    """Every step costs 1 and five are left: values near -100 need no other learning rate than values near -1."""
    reached = []
    for cost in (1.0, 100.0):
        env = Expensive(cost)
        build = partial(make_policy, features=1, actions=2, hidden=(16,))
        ppo = PPO(learning_rate=3e-3, normalise_values=True, entropy=0.0)
        system = Training(env, jnp.array(3.0), ppo, build, worlds=8, length=32)
        state = system.init(jax.random.key(0))
        for i in range(60):
            state, info = system.step(jax.random.key(i), state)
        reached.append(float(state.learner.policy(jnp.array([3.0])).value) / cost)
        assert float(info["episode/length"]) < 3.6
    np.testing.assert_allclose(reached, -3, atol=0.5)


class Expensive(eqx.Module):
    """The line, whose steps cost more."""

    cost: float
    line: Line = Line()

    def reset(self, key, params):
        return self.line.reset(key, params)

    def step(self, key, state, action, params):
        after = self.line.step(key, state, action, params)
        return after._replace(reward=self.cost * after.reward)


def test_self_imitation_repeats_what_was_better_than_expected_only():
    """Oh et al. (2018), Eq. 2: the gradient is that of -log p (R - V), and nothing where R <= V."""
    policy = make_policy(jax.random.key(0), 2, 2, hidden=(4,))
    ppo, trajectory = PPO(), played(make_policy(jax.random.key(0), 2, 2, hidden=(4,)))
    batch = ppo._batch(trajectory, trajectory.value, policy)
    worse = batch._replace(target=batch.value - 1)
    better = batch._replace(target=batch.value + 2)
    assert float(self_imitation(policy, worse, 0.01)) == 0
    expected = -2 * trajectory.log_prob.mean() + 0.01 * 0.5 * 4
    np.testing.assert_allclose(self_imitation(policy, better, 0.01), expected, rtol=1e-5)


def test_imitation_makes_its_actions_more_likely():
    policy = make_policy(jax.random.key(0), 2, 2)
    trajectory = played(policy)
    deeds = trajectory._replace(action=jnp.ones_like(trajectory.action), reward=trajectory.reward + 1)
    ppo = PPO(imitation_weight=1.0, entropy=0.0)
    learner, info = ppo.update(jax.random.key(1), ppo.init(policy), trajectory, imitation=deeds)
    before = policy.unroll(deeds.observation, deeds.start, ()).distribution.log_prob(deeds.action).mean()
    after = learner.policy.unroll(deeds.observation, deeds.start, ()).distribution.log_prob(deeds.action).mean()
    assert float(after) > float(before) + 0.01
    assert float(info["loss/imitation"]) > 0


def test_a_prior_holds_the_policy_back():
    policy, prior = (make_policy(jax.random.key(seed), 2, 2) for seed in (0, 1))
    trajectory = played(policy)
    distances = []
    for weight in (0.0, 10.0):
        ppo = PPO(prior_weight=weight, epochs=10, learning_rate=1e-2)
        learner, info = ppo.update(jax.random.key(2), ppo.init(policy), trajectory, prior=prior)
        theirs = prior.unroll(trajectory.observation, trajectory.start, ()).distribution
        ours = learner.policy.unroll(trajectory.observation, trajectory.start, ()).distribution
        distances.append(float(theirs.kl(ours).mean()))
        assert "policy/prior_kl" in info
    assert distances[1] < distances[0] / 2


def test_memory_recalls_what_no_reflex_can():
    """Half of the cues are guessed without a memory; all are recalled with one."""
    reached = {}
    for memory in (0, 16):
        system = training(PPO(learning_rate=3e-3, clip=0.2), memory, worlds=32)
        state = system.init(jax.random.key(0))
        returns = []
        for i in range(100):
            state, info = system.step(jax.random.key(i), state)
            returns.append(float(info["episode/return"]))
        reached[memory] = np.mean(returns[-20:])
    assert reached[0] < 0.65
    assert reached[16] > 0.95


def test_training_is_a_system_that_resumes_bit_for_bit(tmp_path):
    system = training(memory=4)
    whole = system.init(jax.random.key(0))
    for i in range(4):
        if i == 2:
            trees.save(tmp_path / "half.npz", whole)
        whole, _ = system.step(jax.random.key(10 + i), whole)
    resumed, _ = trees.load(tmp_path / "half.npz", system.init(jax.random.key(1)))
    for i in (2, 3):
        resumed, _ = system.step(jax.random.key(10 + i), resumed)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        if eqx.is_array(a):
            np.testing.assert_array_equal(a, b)


def test_training_runs_in_the_loop(tmp_path):
    toy = str(Path(__file__).parents[1] / "toys" / "recall.py")
    done = aiga.run(toy, steps=3, out=tmp_path / "run")
    assert done.latest()["learner/steps"] == 3 * 8 * 16


def test_the_second_step_needs_no_other_program():
    system = training(memory=4)
    before = system.init(jax.random.key(0))
    after, _ = system.step(jax.random.key(1), before)
    kinds = [
        [jax.typeof(leaf) for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array))] for state in (before, after)
    ]
    assert kinds[0] == kinds[1]
