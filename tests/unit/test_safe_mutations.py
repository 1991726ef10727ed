import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.nn.recurrent import reader
from aiga.runs import loop
from aiga.systems.safe_mutations import TOYS, Parity, SafeMutations, Toy, figures, make

SMALL = {"hidden": 4, "population": 6, "batch": 3, "fuse": 2, "tournament": 2}


def search(population=4, tournament=2, batch=3):
    return SafeMutations(Toy(jnp.array(TOYS["easy"])), "plain", 0.1, 1.0, population, tournament, batch)


def two_steps(system):
    state = system.init(jax.random.key(0))
    infos = []
    for i in (1, 2):
        state, info = system.step(jax.random.key(i), state)
        infos.append(info)
    return state, infos


def test_a_hill_climber_keeps_a_child_only_if_it_is_better():
    climber = search(population=1, tournament=5, batch=1)
    for child, survivor in ((2.0, 1), (1.0, 0), (0.5, 0), (np.nan, 0)):
        rows = climber._survivors(jax.random.key(0), jnp.array([1.0]), jnp.array([child]))
        assert rows.tolist() == [survivor], child


def test_children_are_added_one_after_the_other_and_the_worst_of_all_leaves():
    everyone = search(population=3, tournament=9, batch=3)
    rows = everyone._survivors(jax.random.key(0), jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 4.0, 2.5]))
    # 0.5 leaves at once; 4.0 drives out 1.0; 2.5 drives out 2.0
    assert rows.tolist() == [4, 5, 2]


def test_a_failed_network_is_the_first_to_leave_and_no_parent():
    everyone = search(population=2, tournament=9, batch=1)
    rows = everyone._survivors(jax.random.key(0), jnp.array([np.nan, -5.0]), jnp.array([-9.0]))
    assert rows.tolist() == [2, 1]


def test_who_leaves_is_drawn_from_the_population_and_the_child():
    drawn = search(population=3, tournament=2, batch=500)._draw(jax.random.key(0), 4)
    assert (drawn.sum(axis=1) == 2).all()
    assert np.abs(np.asarray(drawn.mean(axis=0)) - 0.5).max() < 0.07


@pytest.mark.parametrize(
    ("world", "weights"), [("easy", (0.3, 10.0)), ("medium", (0.01, 10.0)), ("washout", (0.01, 10.0))]
)
def test_a_toy_is_solved_by_the_weights_that_give_what_goes_in(world, weights):
    toy = Toy(jnp.array(TOYS[world]))
    lives = toy.live(jax.random.key(0), jnp.array([weights, (0.02, 10.0), (0.01, 9.0)]))
    assert lives.solved.tolist() == [True, world == "easy", False]
    strong, weak = {"easy": (0, 2), "medium": (1, 1), "washout": (2, 2)}[world]
    np.testing.assert_allclose(lives.fitness[1:], [-strong * 1.0, -weak * 0.01], atol=1e-5)


def test_parity_asks_whether_the_ones_of_four_bits_are_odd():
    world = Parity("rnn", 2)
    genomes = jax.vmap(world.build)(jax.random.split(jax.random.key(1), 3))
    lives = world.live(jax.random.key(0), genomes)
    strings = np.asarray(lives.experiences[0, :, :, 0])
    assert strings.shape == (16, 4)
    assert strings[5].tolist() == [0, 1, 0, 1]
    assert len(np.unique(strings, axis=0)) == 16
    assert (np.abs(np.asarray(lives.fitness) + np.log(2)) < 0.3).all()
    assert not lives.solved.any()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_networks_read_bits_in_order(cell):
    network = reader(jax.random.key(0), 1, 5, 2, cell)
    bits = jnp.array([[1.0], [0.0], [0.0], [1.0], [1.0]])
    assert network(bits).shape == (2,)
    assert not np.allclose(network(bits), network(bits[::-1]))


def test_children_remember_their_parents_and_the_first_population_is_nobodys():
    state, infos = two_steps(make(**SMALL))
    first, second = (info["born"] for info in infos)
    assert first.id.tolist() == [[step, i] for step in (0, 1) for i in range(3)]
    assert (np.asarray(first.parents)[:3] == -1).all()
    born = {tuple(row) for row in np.concatenate([first.id, second.id]).tolist()} | {(-1, -1)}
    assert {tuple(row) for row in np.asarray(second.parents).reshape(-1, 2).tolist()} <= born
    alive = {tuple(row) for row in np.asarray(state.identity).tolist()} - {(-1, -1)}
    kept = np.concatenate([first.kept, second.kept]) > 0
    assert alive <= {tuple(row) for row in np.concatenate([first.id, second.id])[kept].tolist()}


def test_the_run_ends_with_the_first_solution():
    system = make(world="easy", magnitude=0.1, population=1, batch=1, fuse=50)
    state, steps, info = system.init(jax.random.key(0)), 0, {}
    while "run/finished" not in info:
        steps += 1
        assert steps < 10
        state, info = system.step(jax.random.key(steps), state)
    assert int(info["search/solved"]) == 1
    assert 1 < int(info["search/solved_after"]) <= 50 * steps + 1
    assert float(info["population/best"]) > -1e-3


def test_deep_networks_are_evolved_in_the_maze_and_the_report_shows_the_population(tmp_path):
    options = {"layers": 2, "experiences": 10, "clip": 0.2, **SMALL}
    run = loop.run("safe_mutations", steps=2, out=tmp_path / "maze", world="maze", **options)
    assert run.state.lives.experiences.shape == (6, 10, 11)
    assert (run.state.lives.experiences[..., 0] == 1).all(), "the bias of an observation"
    assert -700 < run.latest()["population/best"] < 0
    assert run.latest()["search/evaluations"] == 6 + 2 * 2 * 3
    [figure] = figures(run)
    _, ends, way, *_ = figure.content.data
    assert (len(ends.x), way.x[0], way.y[0]) == (6, 36, 184)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 0}, "--population 0"),
        ({"magnitude": 0.0}, "--magnitude is 0.0"),
        ({"experiences": 135}, "1 to 134 observations"),
    ],
)
def test_impossible_options_are_usage_errors(options, message):
    with pytest.raises(UsageError, match=message):
        make(**options)
