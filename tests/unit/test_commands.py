import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_world import ItemShelf

from aiga.core import trees
from aiga.core.protocols import Env
from aiga.learners.commands import Apprentice, Commands, ItemWorld, Orders
from aiga.learners.ppo import PPO
from aiga.selection.learning_progress import Curriculum
from aiga.systems.simon_says import SimonSays

CUP, PLATE, BOWL, NOTHING = range(4)


def always(goal: int, bonus: tuple[float, ...] = (0, 0, 0, 0)) -> Orders:
    return Orders(jax.nn.one_hot(goal, 4), jnp.array(bonus, float))


def world(**options) -> Commands:
    return Commands(**({"env": ItemShelf(), "impossible": 1, "timeout": 3, "share": 0.0} | options))


def play(commands: Commands, orders: Orders, actions: list[int]):
    """The transitions of a sequence of actions, stacked."""
    start, key = jax.random.split(jax.random.key(0))
    state, _ = commands.reset(start, orders)

    def step(state, key_and_action):
        key, action = key_and_action
        after = commands.step(key, state, action, orders)
        return after.state, after

    keys = jax.random.split(key, len(actions))
    return jax.lax.scan(step, state, (keys, jnp.array(actions)))[1]


def test_a_world_of_items_and_a_world_of_commands_follow_their_protocols():
    assert isinstance(ItemShelf(), ItemWorld)
    assert isinstance(world(), Env)


def test_the_commanded_item_is_rewarded_as_often_as_it_is_commanded():
    after = play(world(), always(PLATE), [CUP, PLATE, PLATE, BOWL])
    assert after.reward.tolist() == [0, 1, 1, 0]
    assert after.state.verdict.over.tolist() == [False, True, True, False]
    assert after.state.verdict.success.tolist() == [False, True, True, False]


def test_a_command_is_over_when_its_time_is_up():
    after = play(world(timeout=3), always(CUP), [NOTHING, PLATE, BOWL, NOTHING, CUP])
    assert after.state.verdict.over.tolist() == [False, False, True, False, True]
    assert after.state.verdict.success.tolist() == [False, False, False, False, True]
    assert after.state.waited.tolist() == [1, 2, 0, 1, 0]


def test_a_command_is_over_when_the_episode_is():
    after = play(world(env=ItemShelf(horizon=2)), always(CUP), [NOTHING, NOTHING])
    assert after.truncated.tolist() == [False, True] == after.state.verdict.over.tolist()


def test_the_first_of_each_item_in_an_episode_pays_a_bonus():
    after = play(world(timeout=100), always(NOTHING, bonus=(0.5, 0.0, 0.25, 9.0)), [CUP, PLATE, CUP, BOWL, BOWL])
    assert after.reward.tolist() == [0.5, 0, 0, 0.25, 0]


def test_the_policy_sees_the_command_and_how_long_it_has_tried():
    after = play(world(timeout=4), always(BOWL), [NOTHING, NOTHING])
    assert after.observation.tolist() == [[1, 0, 0, 1, 0, 0.25], [1, 0, 0, 1, 0, 0.5]]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_episodes_that_are_examinations_command_all_tasks_alike(share):
    after = play(world(share=share, timeout=1), always(CUP), [NOTHING] * 400)
    goals, counts = np.unique(np.asarray(after.state.goal), return_counts=True)
    assert goals.tolist() == ([CUP, PLATE, BOWL, NOTHING] if share else [CUP])
    assert counts.min() > 60
    assert np.asarray(after.state.examined).mean() == share


def test_an_episode_is_an_examination_or_it_is_not():
    commands, orders = world(share=0.5, timeout=1), always(CUP)
    states, _ = jax.vmap(commands.reset, (0, None))(jax.random.split(jax.random.key(0), 200), orders)
    after = jax.vmap(commands.step, (0, 0, None, None))(
        jax.random.split(jax.random.key(1), 200), states, jnp.array(NOTHING), orders
    )
    assert 0.35 < float(states.examined.mean()) < 0.65
    assert after.state.examined.tolist() == states.examined.tolist() == after.state.verdict.examined.tolist()
    assert not np.asarray(after.state.goal)[~np.asarray(states.examined)].any()


def wanting(*needs, **options) -> Commands:
    return world(needs=jnp.array(needs), impossible=0, timeout=9, **options)


def test_a_command_may_want_an_item_several_times_counted_from_the_command_on():
    orders = Orders(jnp.array([1.0]), jnp.zeros(3))
    after = play(wanting([2, 0, 0]), orders, [CUP, PLATE, CUP, CUP, CUP])
    assert after.reward.tolist() == [0, 0, 1, 0, 1]


def test_a_command_may_want_several_items_in_any_order():
    orders = Orders(jnp.array([0.0, 1.0]), jnp.zeros(3))
    after = play(wanting([1, 0, 0], [1, 0, 1]), orders, [BOWL, BOWL, CUP, CUP, BOWL])
    assert after.reward.tolist() == [0, 0, 1, 0, 1]


def test_an_item_of_the_episode_before_does_not_count():
    orders, commands = Orders(jnp.array([1.0]), jnp.zeros(3)), wanting([2, 0, 0])
    after = play(commands, orders, [CUP])
    assert after.state.had.tolist() == [[0, 0, 0]]
    assert commands.reset(jax.random.key(1), orders)[0].visits.counts.tolist() == [0, 0, 0]


def test_the_policy_may_see_a_code_in_the_place_of_a_number():
    commands = world(codes=jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.0]]))
    assert commands.features == 1 + 2 + 1
    assert play(commands, always(BOWL), [NOTHING]).observation.tolist() == [[1, 1, 1, pytest.approx(1 / 3)]]


def test_examinations_may_leave_out_what_nothing_fulfils():
    after = play(world(share=1.0, timeout=1, examine_impossible=False), always(NOTHING), [NOTHING] * 100)
    assert set(np.asarray(after.state.goal).tolist()) == {CUP, PLATE, BOWL}


@pytest.fixture(scope="module")
def system() -> SimonSays:
    ppo = PPO(learning_rate=3e-3, minibatches=4, epochs=4)
    learner = Apprentice(world(share=0.5), ppo, worlds=16, length=16, hidden=16, memory=0, novitiate=2)
    return SimonSays(learner, Curriculum(tries=5), "none", 0.0, 0.1)


@pytest.fixture(scope="module")
def states(system: SimonSays):
    """After every step of a training, and its last metrics."""
    states, info = [system.init(jax.random.key(0))], {}
    for step in range(25):
        state, info = system.step(jax.random.key(step + 1), states[-1])
        states.append(state)
    return states, info


def test_an_apprentice_learns_to_follow_commands(states):
    states, info = states
    assert 0.1 < float(states[0].progress.random[:3].mean()) < 0.9
    assert float(states[0].progress.random[3]) == 0.0
    assert int(info["simon_says/learned"]) == 3
    assert all(float(info[f"success/{item}"]) > 0.7 for item in ItemShelf().items)
    assert float(info["success/impossible"]) == float(info["probability/impossible"]) == 0


def test_an_apprenticeship_that_was_saved_goes_on_as_if_nothing_had_happened(system, states, tmp_path):
    states, _ = states
    trees.save(tmp_path / "state.npz", states[3])
    restored, _ = trees.load(tmp_path / "state.npz", states[0])
    resumed, _ = system.step(jax.random.key(4), restored)
    for one, other in zip(jax.tree.leaves(resumed), jax.tree.leaves(states[4]), strict=True):
        assert not eqx.is_array(one) or np.array_equal(one, other, equal_nan=True)
