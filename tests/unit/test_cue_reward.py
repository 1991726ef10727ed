import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.cue_reward import CueReward

ENV = CueReward(cues=4, bits=6, length=60, pause=0.0)
PAUSING = CueReward(cues=3, bits=4, length=200, pause=0.5)


def life(env, answer, seed=0):
    """The states, observations and rewards of a life in which `answer` says what to do in a state."""
    reset, go = jax.random.split(jax.random.key(seed))

    def step(now, key):
        after = env.step(key, now[0], answer(now[0]), ())
        return (after.state, after.observation), (*now, after.reward, after.truncated)

    return jax.lax.scan(step, env.reset(reset, ()), jax.random.split(go, env.length))[1]


def test_who_knows_the_target_is_rewarded_at_every_question():
    states, seen, reward, over = life(ENV, lambda state: (state.pair == state.target).any().astype(int))
    assert isinstance(ENV, Env)
    np.testing.assert_array_equal(reward, np.tile([0, 0, 1], 20))
    np.testing.assert_array_equal(over, np.arange(60) == 59)
    asked = np.asarray(seen[:, ENV.bits])
    np.testing.assert_array_equal(asked, np.tile([0, 0, 1], 20))
    assert np.all(seen[asked == 1][:, : ENV.bits] == 0)
    for slot in (0, 1):
        cue = jax.vmap(lambda cues, pair, slot=slot: cues[pair[slot]])(states.cues, states.pair)
        np.testing.assert_array_equal(seen[slot::3, : ENV.bits], cue[slot::3])


def test_a_wrong_answer_costs_as_much_as_a_right_one_brings_and_is_seen_in_the_next_step():
    _, seen, reward, _ = life(ENV, lambda state: 1 - (state.pair == state.target).any().astype(int))
    assert reward.sum() == -20
    np.testing.assert_array_equal(seen[3::3, ENV.bits + 3], -np.ones(19))


def test_the_target_is_among_the_two_in_half_of_the_trials_and_they_differ():
    pairs = jax.vmap(lambda key: ENV.drawn(key, jnp.array(2)))(jax.random.split(jax.random.key(0), 2000))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert np.mean((pairs == 2).any(axis=1)) == pytest.approx(0.5, abs=0.05)
    assert np.mean(pairs[:, 0] == 2) == pytest.approx(0.25, abs=0.05)


def test_pauses_show_nothing_and_delay_what_comes():
    _, seen, _, _ = life(PAUSING, lambda state: jnp.zeros((), int), seed=1)
    blank = (seen[:, : PAUSING.bits + 1] == 0).all(axis=1)
    assert np.mean(blank) == pytest.approx(0.5, abs=0.1)
    shown = np.asarray(seen[~blank][:, PAUSING.bits])
    np.testing.assert_array_equal(shown, (np.arange(len(shown)) % 3 == 2).astype(float))


def test_two_cues_cannot_be_without_the_target():
    with pytest.raises(UsageError, match="`cues` is 2: give 3 or more"):
        CueReward(cues=2)
