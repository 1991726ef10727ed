import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.terrain import (
    CELLS,
    DEPTH,
    HEIGHT,
    STARTPAD,
    STEP,
    VERTICES,
    Choices,
    Obstacles,
    choices,
    course,
    features,
    flat,
    hardcore,
    mutated,
    obstacle_course,
    of_heights,
    of_polyline,
    pieces,
    plain,
    rough,
)

HARD = Obstacles(
    roughness=jnp.array(3.0),
    pit=jnp.array([0.0, 8.0]),
    stump=jnp.array([0.0, 5.0]),
    stump_width=jnp.array([1.0, 3.0]),
    stairs=jnp.array([0.2, 2.0]),
    stair_width=jnp.array([1.0, 3.0]),
    stair_steps=jnp.array([1.0, 10.0]),
)
course_of = jax.jit(course)
courses_of = jax.jit(jax.vmap(obstacle_course, (0, None)))
mutants_of = jax.jit(jax.vmap(mutated))


def ours(**values):
    """Choices that are the same in every cell, on flat grass of seven cells."""
    same = {
        "bump": 0.0,
        "grass": 7,
        "kind": 0,
        "hole": 1.0,
        "width": 1,
        "height": 1.0,
        "rise": 1.0,
        "tread": 4,
        "steps": 2,
    }
    return Choices(**{name: jnp.full(CELLS, value) for name, value in (same | values).items()})


def cells(choices, begin, end):
    """The vertices from one cell to another, in cells, above the starting pad."""
    x, y = pieces(course_of(choices, jnp.zeros(()))).T
    points = np.stack([x / STEP, (y - HEIGHT) / STEP], axis=1)
    return points[(x > STEP * (begin - 1e-3)) & (x < STEP * (end + 1e-3))]


def test_the_first_vertex_of_a_cell_is_the_last_that_is_not_right_of_its_begin():
    x = STEP * np.array([0, 0.5, 1, 1, 2.3, 2.3, 4, 6])  # walls on and between the ends of cells
    ground = of_polyline(jnp.asarray(x), jnp.arange(8.0))
    assert ground.first[:8].tolist() == [0, 2, 2, 4, 6, 6, 7, 7]


def test_ground_is_padded_with_its_last_vertex():
    ground = of_polyline(jnp.array([0.0, 5.0]), jnp.array([1.0, 2.0]))
    assert ground.x.shape == ground.y.shape == (VERTICES,)
    assert (ground.x[1:] == 5).all()
    assert (ground.y[1:] == 2).all()
    assert pieces(ground).tolist() == [[0, 1], [5, 2]]


def test_ground_with_more_vertices_than_there_is_room_for_is_refused():
    with pytest.raises(UsageError, match=f"room for {VERTICES}"):
        of_polyline(jnp.arange(VERTICES + 1.0), jnp.zeros(VERTICES + 1))


def test_heights_are_at_the_begins_of_cells_whatever_the_batch():
    heights = jnp.arange(3.0 * CELLS).reshape(3, CELLS)
    grounds = of_heights(heights)
    assert (grounds.y[:, :CELLS] == heights).all()
    assert (grounds.first == jnp.arange(CELLS)).all()
    np.testing.assert_allclose(grounds.x[:, :CELLS], np.broadcast_to(STEP * np.arange(CELLS), (3, CELLS)), rtol=1e-6)


def test_flat_ground_is_flat():
    np.testing.assert_array_equal(flat().y, np.float32(HEIGHT))
    np.testing.assert_array_equal(obstacle_course(jax.random.key(0), plain()).y, np.float32(HEIGHT))


def test_a_pit_is_as_wide_as_asked_for_and_four_cells_deep():
    # after one cell of its near bank; its far wall is 2.6 cells on, between the ends of cells
    found = cells(ours(kind=3, hole=2.6), STARTPAD, STARTPAD + 4)
    expected = [(20, 0), (21, 0), (21, -DEPTH), (23.6, -DEPTH), (23.6, 0)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_pit_without_width_is_none():
    np.testing.assert_allclose(cells(ours(kind=3, hole=0.0), 0, CELLS)[:, 1], 0, atol=1e-4)


def test_a_stump_stands_on_the_ground():
    found = cells(ours(kind=1, width=2, height=1.5), STARTPAD, STARTPAD + 3)
    np.testing.assert_allclose(found, [(20, 0), (20, 1.5), (22, 1.5), (22, 0), (23, 0)], atol=1e-4)


def test_stairs_up_rise_between_steps():
    found = cells(ours(kind=2, rise=0.5, steps=3), STARTPAD, STARTPAD + 13)
    expected = [(20, 0), (24, 0), (24, 0.5), (28, 0.5), (28, 1), (33, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_stairs_down_fall_after_every_step():
    found = cells(ours(kind=2, rise=-0.5, steps=2), STARTPAD, STARTPAD + 9)
    expected = [(20, 0), (24, 0), (24, -0.5), (28, -0.5), (28, -1), (29, -1)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_grass_of_the_chosen_length_lies_between_obstacles():
    x, y = cells(ours(kind=1, height=1.0, grass=6), 0, CELLS).T
    begins = x[:-1][(np.diff(x) == 0) & (np.diff(y) > 0)]
    np.testing.assert_allclose(begins, STARTPAD + 7 * np.arange(len(begins)), atol=1e-3)


def test_grass_follows_its_bumps():
    bump = np.zeros(CELLS)
    bump[21] = 1
    y = np.asarray(course_of(ours()._replace(bump=jnp.asarray(bump)), jnp.array(2.0)).y)
    np.testing.assert_allclose(y[:21], HEIGHT)
    # a segment of grass ends at cell 20: that cell begins the next one, level
    first = 1 / 30
    second = 0.8 * first - 0.01
    np.testing.assert_allclose(y[21:23] - HEIGHT, [2 * first, 2 * (first + second)], rtol=1e-4)


def test_sizes_are_within_their_intervals():
    only = plain()._replace(pit=jnp.array([0.4, 1.2]))
    widths, depths = [], []
    for x, y in _polylines(courses_of(jax.random.split(jax.random.key(0), 20), only)):
        down = np.flatnonzero(y < HEIGHT - 0.1)
        down = down[x[down] < 190 * STEP]
        widths += list((x[down[1::2]] - x[down[: len(down) // 2 * 2 : 2]]) / STEP)
        depths += list((HEIGHT - y[down]) / STEP)
    assert 0.4 <= min(widths) < 0.45
    assert 1.15 < max(widths) <= 1.2 + 1e-4
    np.testing.assert_allclose(depths, DEPTH, rtol=1e-4)


def test_each_kind_that_occurs_is_as_frequent():
    for absent in ("pit", "stump", "stairs"):
        found = Obstacles(*HARD)._replace(**{absent: jnp.zeros(2)})
        kinds = np.asarray(_kinds(jax.random.split(jax.random.key(1), 20), found))
        shares = np.bincount(kinds.ravel(), minlength=4) / kinds.size
        expected = {"stump": [0, 0, 0.5, 0.5], "stairs": [0, 0.5, 0, 0.5], "pit": [0, 0.5, 0.5, 0]}[absent]
        np.testing.assert_allclose(shares, expected, atol=0.03)


def test_courses_never_go_back_and_reach_the_end_within_their_room():
    one, two, three = jax.random.split(jax.random.key(2), (3, 300))
    for grounds in (courses_of(one, HARD), jax.jit(jax.vmap(hardcore))(two), jax.jit(jax.vmap(rough))(three)):
        x, y, first = (np.asarray(leaf) for leaf in grounds)
        assert np.isfinite(y).all()
        assert (np.diff(x, axis=1) >= 0).all()
        assert (x[:, -1] > STEP * (CELLS - 2)).all()  # the far wall of a pit may be the last that there is
        assert (y[:, :STARTPAD] == np.float32(HEIGHT)).all()
        begins = np.asarray(STEP * jnp.arange(CELLS))
        here = np.take_along_axis(x, first, axis=1)
        assert (here <= begins).all()
        assert (here[:, :-2] > begins[:-2] - 20 * STEP).all()


def test_the_closest_walls_fit():
    """A wall in every cell of a stairway: no course has more vertices."""
    found = cells(ours(kind=2, tread=1, steps=1000), 0, CELLS)
    assert len(found) == 2 * (CELLS - STARTPAD - 1) + STARTPAD + 1
    assert found[-1, 0] == pytest.approx(CELLS - 1)


def test_a_batch_of_courses_is_what_each_would_be():
    together = courses_of(jax.random.split(jax.random.key(3), 3), HARD)
    for i, key in enumerate(jax.random.split(jax.random.key(3), 3)):
        alone = courses_of(key[None], HARD)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[0], b[i], atol=1e-5), alone, together)


def test_a_course_depends_on_its_key():
    one, other = courses_of(jax.random.split(jax.random.key(4)), HARD).y
    assert (one != other).any()


def test_mutation_introduces_obstacles_at_their_least_size():
    found = mutated(jax.random.key(0), plain(), ("roughness", "pit", "stump", "stairs"))
    assert 0 <= found.roughness <= 0.6
    expected = [(0, 0.8), (0, 0.4), (1, 2), (0, 0.4), (4, 5), (1, 2)]
    np.testing.assert_allclose(np.stack(found[1:]), expected, rtol=1e-6)


def test_mutation_leaves_other_kinds_alone():
    found = mutated(jax.random.key(0), HARD, ("pit",))
    assert (found.pit != HARD.pit).any()
    assert all((a == b).all() for a, b in zip(found._replace(pit=HARD.pit), HARD, strict=True))


def test_mutation_moves_the_ends_of_intervals_by_a_step_in_every_allowed_way():
    parent = plain()._replace(pit=jnp.array([0.4, 0.8]), stump=jnp.array([0.0, 0.4]))
    parents = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (300, *leaf.shape)), parent)
    mutants = mutants_of(jax.random.split(jax.random.key(1), 300), parents)
    tenths = {tuple(pair) for pair in np.rint(10 * np.asarray(mutants.pit)).astype(int).tolist()}
    assert tenths == {(0, 8), (0, 12), (4, 12), (8, 8), (8, 12)}  # the upper end is never below 0.8
    tenths = {tuple(pair) for pair in np.rint(10 * np.asarray(mutants.stump)).astype(int).tolist()}
    assert tenths == {(0, 6), (2, 4), (2, 6)}


def test_mutation_stays_within_its_limits_and_on_tenths():
    obstacles = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (100, *leaf.shape)), plain())
    for key in jax.random.split(jax.random.key(5), 60):
        obstacles = mutants_of(jax.random.split(key, 100), obstacles)
        for name, most in (("roughness", 10), ("pit", 8), ("stump", 5)):
            found = np.asarray(getattr(obstacles, name))
            assert found.min() >= 0
            assert found.max() <= most
            np.testing.assert_array_equal(found, np.rint(10 * found).astype(np.float32) / np.float32(10))
        assert (obstacles.pit[:, 0] <= obstacles.pit[:, 1]).all()


def test_a_kind_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="'lava'"):
        mutated(jax.random.key(0), plain(), ("pit", "lava"))


def test_features_are_roughness_pits_and_stumps():
    assert features(HARD).tolist() == [3, 0, 8, 0, 5]


def _polylines(grounds):
    return [pieces(type(grounds)(*(leaf[i] for leaf in grounds))).T for i in range(len(grounds.x))]


def _kinds(keys, obstacles):
    return jax.jit(jax.vmap(lambda key: choices(key, obstacles).kind))(keys)
