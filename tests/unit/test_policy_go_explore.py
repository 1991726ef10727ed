from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.rooms import draw
from aiga.learners.returning import Event, Moment, cell_of, stand
from aiga.learners.rollout import Trajectory, advantages
from aiga.runs import loop
from aiga.systems.policy_go_explore import PAPER, PolicyGoExplore, figures, lesson, make

ROOMS = """
###########
#@    #  a#
#         #
#A#########
#        $#
###########
"""


@pytest.fixture(scope="module")
def explored():
    """A few steps in a small maze: the system, the state, and every info."""
    whole = make(worlds=16, length=32)
    assert isinstance(whole, PolicyGoExplore)
    system = eqx.tree_at(lambda s: s.layout, replace(whole, longest=32, capacity=500), draw(ROOMS, 100))
    state, infos = system.init(jax.random.key(0)), []
    for step in range(1, 25):
        state, info = system.step(jax.random.fold_in(jax.random.key(0), step), state)
        infos.append(info)
    return system, state, infos


def test_it_takes_the_key_opens_the_door_and_finds_the_goal(explored):
    _, state, infos = explored
    assert float(infos[-1]["score/best"]) == 1
    assert 0 < int(state.goal) <= int(state.steps) == 24 * 16 * 32
    assert int(infos[-1]["goal/steps"]) == int(state.goal)


def test_every_step_of_every_route_is_one_that_the_world_makes(explored):
    """The archive's books: from each cell of a route its action leads to the next, without slips."""
    system, state, _ = explored
    routes, layout = state.archive, system.layout
    walk = jax.tree.map(lambda x: np.asarray(x)[: int(routes.size)], routes.walk)
    step = jax.jit(jax.vmap(lambda cell, act: make_step(system, cell, act, layout)))
    there = np.arange(walk.cells.shape[1] - 1) < walk.length[:, None] - 1
    after = step(walk.cells[:, :-1][there], walk.actions[:, 1:][there])
    assert there.sum() > 200
    assert (np.asarray(after) == walk.cells[:, 1:][there]).all()
    assert (
        walk.cells[np.arange(len(walk.length)), walk.length - 1] == np.asarray(routes.cell)[: len(walk.length)]
    ).all()


def make_step(system, cell, action, layout):
    """The cell that an action in a cell leads to."""
    env = system.env.slippery.env
    return cell_of(env.step(jax.random.key(0), stand(cell, layout), action, layout).state, layout)


def test_elites_and_the_parents_they_were_found_from_have_recorded_births(explored):
    _, state, infos = explored
    births = [info["born"] for info in infos]
    kept = {tuple(i) for b in births for i in np.asarray(b.id)[np.asarray(b.kept) > 0].tolist()} | {(0, 0)}
    parents = {tuple(p) for b in births for p in np.asarray(b.parents)[:, 0].tolist()}
    elites = {tuple(i) for i in np.asarray(state.archive.identity)[: int(state.archive.size)].tolist()}
    assert elites <= kept
    assert parents <= kept


def test_every_action_is_counted_in_its_cell(explored):
    _, state, _ = explored
    assert int(state.archive.spent.counts.sum()) == int(state.steps)


def test_a_demonstration_earns_1_for_every_cell_of_a_route_and_3_for_the_last(explored):
    system, state, _ = explored
    shown = system.demonstrate(jax.random.key(0), state.archive, state.learner.policy)
    policy_blind = shown._replace(value=jnp.zeros_like(shown.value), next_value=jnp.zeros_like(shown.value))
    returned = advantages(policy_blind, 1.0, 1.0)[0]
    cells = np.asarray(shown.weight).sum(axis=0)
    assert np.asarray(returned)[cells > 0].tolist() == (cells[cells > 0] + 2).tolist()
    assert np.asarray(shown.terminated).sum(axis=0).tolist() == (cells > 0).tolist()


def test_random_actions_are_not_learnt_from_and_an_arrival_ends_what_is():
    """Four steps: a goal, the arrival, and two at random."""
    ones, no = jnp.ones((4, 1)), jnp.zeros((4, 1), bool)
    arrived, blind = jnp.array([[0], [1], [0], [0]]) > 0, jnp.array([[0], [0], [1], [1]]) > 0
    event = Event(ones, ones, blind, arrived, arrived, no)
    reward = jnp.array([[1.0], [3.0], [0.0], [0.0]])
    played = Trajectory((), (), ones, ones, 9 * ones, reward, no, no, no, ones, (), Moment(None, None, None, event))
    learnt = lesson(played)
    assert learnt.weight[:, 0].tolist() == [1, 1, 0, 0]
    assert learnt.terminated[:, 0].tolist() == [False, True, False, False]
    assert learnt.next_value[:, 0].tolist() == [9, 0, 9, 9]
    assert advantages(learnt, 1.0, 1.0)[:2, 0].tolist() == [1 + 9 - 1 + 3 - 1, 3 - 1]


def test_the_papers_settings_a_memory_and_no_compass_fit_together():
    system = make(**PAPER)
    state = eqx.filter_eval_shape(system.init, jax.random.key(0))
    after, _ = eqx.filter_eval_shape(system.step, jax.random.key(1), state)
    assert after.worlds.carry.shape == (256, 512)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_the_control_earns_one_over_the_root_of_visits_and_keeps_no_archive(tmp_path):
    run = loop.run("policy_go_explore", steps=2, out=tmp_path / "run", archive=False, worlds=8, length=16, hidden=8)
    latest = run.latest()
    assert latest["learner/steps"] == 2 * 8 * 16
    assert int(run.state.archive.counts.sum()) == 2 * 8 * 16
    assert latest["archive/cells"] == (np.asarray(run.state.archive.counts) > 0).sum()
    assert [figure.title for figure in figures(run)] == ["The course of the exploration", "The maze"]


def test_the_report_shows_the_maze_and_the_best_way(tmp_path):
    run = loop.run("policy_go_explore", steps=1, out=tmp_path / "run")
    _, maze = figures(run)
    way = maze.content.data[2]
    assert (round(way.x[0]), round(way.y[0])) == (1, 1), "it begins at the start"
    assert f"{len(way.x)} cells" in maze.caption


def test_routes_that_do_not_fill_four_minibatches_are_refused():
    with pytest.raises(UsageError, match="multiple of 4"):
        make(imitated=6)
