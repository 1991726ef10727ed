import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.protocols import Env
from aiga.envs.craftax import ITEMS, Craftax
from aiga.learners.commands import ItemWorld

WORLD = Craftax(horizon=5)
NOTHING, UP, PLACE_TABLE, MAKE_PICKAXE = 0, 3, 8, 11


@eqx.filter_jit
def begin(key):
    return WORLD.reset(key)[0]


@eqx.filter_jit
def play(key, state, actions):
    """The transitions of a sequence of actions, and those of the library itself with the same keys."""
    from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset

    library = CraftaxClassicSymbolicEnvNoAutoReset()

    def step(states, key_and_action):
        key, action = key_and_action
        ours, theirs = states
        after = WORLD.step(key, ours, action)
        bare = jax.random.wrap_key_data(jax.random.key_data(key))
        observation, theirs, reward, _, _ = library.step_env(bare, theirs, action, library.default_params)
        return (after.state, theirs.replace(state_rng=None)), (after, observation, reward)

    keys = jax.random.split(key, actions.size)
    return jax.lax.scan(step, (state, state.game), (keys, actions))[1]


def key(number: int = 0):
    return jax.random.key(number)


@pytest.fixture(scope="module")
def rich():
    """Somebody with plenty of wood, facing grass."""
    state = begin(key())
    inventory = state.game.inventory.replace(wood=jnp.int32(9))
    return eqx.tree_at(lambda s: s.game, state, state.game.replace(inventory=inventory))


def test_craftax_is_an_environment_of_items_in_the_order_of_the_library():
    from craftax.craftax_classic.constants import Achievement

    assert isinstance(WORLD, Env)
    assert isinstance(WORLD, ItemWorld)
    assert [achievement.name.lower() for achievement in Achievement] == list(ITEMS)


def test_observations_and_rewards_are_the_librarys(rich):
    after, observation, reward = play(key(1), rich, jnp.array([UP, PLACE_TABLE, MAKE_PICKAXE, PLACE_TABLE, NOTHING]))
    np.testing.assert_array_equal(after.observation, observation)
    np.testing.assert_allclose(after.reward, reward, atol=1e-6)
    assert after.observation.shape == (5, WORLD.features)
    assert float(after.reward.sum()) >= 1


def test_an_item_is_obtained_as_often_as_it_is_made_and_unlocked_once(rich):
    after, _, _ = play(key(2), rich, jnp.array([PLACE_TABLE, UP, MAKE_PICKAXE, MAKE_PICKAXE, NOTHING]))
    table, pickaxe = ITEMS.index("place_table"), ITEMS.index("make_wood_pickaxe")
    assert after.state.obtained[:, table].tolist() == [True, False, False, False, False]
    assert after.state.obtained[:, pickaxe].sum() == 2
    assert after.state.unlocked[-1, [table, pickaxe]].all()
    assert float(after.reward[3]) == pytest.approx(0)


def test_an_episode_that_runs_out_of_time_is_truncated_and_one_that_ends_in_death_is_terminated(rich):
    after, _, _ = play(key(3), rich, jnp.zeros(5, int))
    assert after.truncated.tolist() == [False, False, False, False, True]
    assert not after.terminated.any()
    dying = eqx.tree_at(lambda s: s.game, rich, rich.game.replace(player_health=jnp.int32(0)))
    after, _, _ = play(key(3), dying, jnp.zeros(5, int))
    assert after.terminated[0]
    assert not after.truncated[0]


def test_the_state_is_made_of_arrays_without_random_keys():
    leaves = jax.tree.leaves(begin(key(4)))
    assert all(eqx.is_array(leaf) for leaf in leaves)
    assert not any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves)


def test_without_survival_nobody_hungers_sleeps_or_plants_and_all_else_is_as_before(rich):
    world = Craftax(survival=False)
    weak = rich.game.replace(player_health=jnp.int32(1), player_food=jnp.int32(0), player_energy=jnp.int32(1))
    tired = eqx.tree_at(lambda s: s.game, rich, weak)
    assert world.actions == WORLD.actions - 2
    assert isinstance(world, ItemWorld)
    step = eqx.filter_jit(lambda action: world.step(key(1), tired, action))
    after = step(jnp.array(7))  # the place of the table among the fifteen
    assert after.state.game.player_health >= 8
    assert after.state.game.player_food >= 8
    assert after.state.obtained[ITEMS.index("place_table")]
    assert not any(step(jnp.array(action)).state.game.is_sleeping for action in range(15))
