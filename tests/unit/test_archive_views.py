import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import Birth, name, written

from aiga.archives.grid import Grid, GridCells
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import UsageError
from aiga.inspect import archives, cells
from aiga.inspect.cells import Boxes, Points
from aiga.runs.record import Run
from aiga.runs.store import Store

SQUARE = Boxes((np.linspace(0, 1, 3), np.linspace(0, 1, 3)))
LIVES = [
    Birth(0, cell=0, fitness=1.0),
    Birth(1, parent=0, cell=3, fitness=2.0),
    Birth(2, parent=1, cell=0, fitness=3.0, replaced=0),
    Birth(3, parent=2, cell=0, fitness=4.0, replaced=2),
]


def columns(births: list[Birth]) -> dict[str, np.ndarray]:
    identities = np.array([birth.step << 32 for birth in births])
    return {
        "id": identities,
        "step": np.array([birth.step for birth in births]),
        "fitness": np.array([birth.fitness for birth in births]),
        "cell": np.array([birth.cell for birth in births]),
    }


def test_the_holder_of_a_cell_is_the_last_that_was_born_there():
    found = archives.history(columns(LIVES))
    assert found.moments.tolist() == [0, 1, 2, 3]
    assert found.cells.tolist() == [0, 3]
    assert (found.holder >> 32).tolist() == [[0, -1], [0, 1], [2, 1], [3, 1]]
    np.testing.assert_equal(found.fitness, [[1, np.nan], [1, 2], [3, 2], [4, 2]])
    np.testing.assert_equal(found.age, [[0, np.nan], [1, 0], [0, 1], [0, 2]])
    np.testing.assert_equal(found.births, [[1, np.nan], [1, 1], [2, 1], [3, 1]])


def test_many_steps_are_shown_at_evenly_chosen_moments_with_the_last():
    births = [Birth(step, cell=step % 2) for step in range(1000)]
    found = archives.history(columns(births), most=5)
    assert found.moments.tolist() == [0, 249, 499, 749, 999]
    assert found.births[-1].tolist() == [500, 500]


taken = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=40)


@given(taken)
def test_the_history_is_that_of_putting_one_after_the_other(rows: list[tuple[int, int]]):
    """Births of one step, in the order of their identities."""
    steps = np.cumsum([later for later, _ in rows])
    lineage = {
        "id": np.arange(len(rows)),
        "step": steps,
        "fitness": np.arange(len(rows), dtype=float),
        "cell": np.array([cell for _, cell in rows]),
    }
    found = archives.history(lineage)
    for t, moment in enumerate(found.moments.tolist()):
        held: dict[int, int] = {}
        for row, (step, (_, cell)) in enumerate(zip(steps.tolist(), rows, strict=True)):
            if step <= moment:
                held[cell] = row
        assert found.holder[t].tolist() == [held.get(cell, -1) for cell in found.cells.tolist()]


def test_every_frame_names_who_holds_each_cell():
    found = archives.history(columns(LIVES))
    figure = archives.drawn(found, archives.charted(found, SQUARE))
    last, first = json.loads(figure.to_json()), figure.frames[0]
    assert last["data"][0]["customdata"] == [[name(3), ""], ["", name(1)]]
    assert [list(row) for row in first.data[0].customdata] == [[name(0), ""], ["", ""]]
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3"]
    assert [step.args[0] for step in figure.layout.sliders[0].steps] == [("0",), ("1",), ("2",), ("3",)]


def test_each_measure_is_a_layer_that_a_menu_shows():
    found = archives.history(columns(LIVES))
    figure = archives.drawn(found, archives.charted(found, SQUARE))
    np.testing.assert_equal(figure.data[1].z, [[4, np.nan], [np.nan, 2]])
    np.testing.assert_equal(figure.data[2].z, [[0, np.nan], [np.nan, 2]])
    np.testing.assert_equal(figure.data[3].z, [[3, np.nan], [np.nan, 1]])
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == ["fitness", "age", "births"]
    assert menu[1].args[0]["visible"] == [True, False, True, False]


def test_a_grid_of_one_dimension_is_one_line():
    found = archives.history(columns(LIVES))
    figure = archives.drawn(found, archives.charted(found, Boxes((np.linspace(0, 8, 5),))))
    np.testing.assert_equal(figure.data[1].z, [[4, np.nan, np.nan, 2]])
    assert figure.data[1].x.tolist() == [0, 2, 4, 6, 8]


def test_of_three_dimensions_two_are_drawn_with_the_best_over_the_third():
    cube = Boxes((np.linspace(0, 1, 3),) * 3)
    births = [Birth(0, cell=0, fitness=5.0), Birth(1, cell=1, fitness=7.0), Birth(2, cell=6, fitness=1.0)]
    found = archives.history(columns(births))
    figure = archives.drawn(found, archives.charted(found, cube))
    np.testing.assert_equal(figure.data[1].z, [[7, np.nan], [np.nan, 1]])
    other = archives.drawn(found, archives.charted(found, cube, {"x": "1", "y": "3"}))
    np.testing.assert_equal(other.data[1].z, [[5, 1], [7, np.nan]])
    assert other.layout.yaxis.title.text == "descriptor 3"


@pytest.mark.parametrize("choices", [{"x": "0"}, {"y": "4"}, {"x": "one"}, {"x": "2"}, {"x": "²"}])
def test_axes_that_do_not_exist_are_refused(choices: dict[str, str]):
    found = archives.history(columns(LIVES))
    with pytest.raises(UsageError, match="dimension"):
        archives.charted(found, Boxes((np.linspace(0, 1, 3),) * 3), choices)


def test_cells_around_points_are_points_of_which_empty_ones_are_hidden():
    corners = Points(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    found = archives.history(columns(LIVES))
    figure = archives.drawn(found, archives.charted(found, corners))
    assert list(figure.data[0].customdata) == [name(3), "", "", name(1)]
    np.testing.assert_equal(figure.data[0].y, [0, np.nan, np.nan, 1])
    np.testing.assert_equal(figure.data[1].marker.color, [4, np.nan, np.nan, 2])


def test_cells_that_lie_nowhere_stand_in_the_order_of_their_numbers(tmp_path: Path):
    [figure] = archives.figures(Run(written(tmp_path / "run", LIVES)))
    assert "2 elites after 4 births" in figure.caption
    assert "not on record" in figure.caption
    np.testing.assert_equal(figure.content.data[1].z, [[4, 2]])


def test_a_run_whose_births_have_no_cells_has_no_archive(tmp_path: Path):
    run = Run(written(tmp_path / "run", [Birth(0), Birth(1, parent=0)]))
    assert not archives.present(run)
    assert archives.figures(run) == []


def test_an_elite_that_left_the_cell_of_its_birth_is_told_of(tmp_path: Path):
    births = [Birth(0, cell=0), Birth(1, cell=1), Birth(2, cell=0, replaced=1)]
    [figure] = archives.figures(Run(written(tmp_path / "run", births)))
    assert "rearranged" in figure.caption


@pytest.fixture
def checkpoint(tmp_path: Path):
    """A function that saves a state as the checkpoint of a run, and gives the run."""

    def saved(state: object) -> Run:
        written(tmp_path / "run", LIVES)
        store = Store.open(tmp_path / "run")
        store.save(4, state, 0.0)
        store.close()
        return Run(tmp_path / "run")

    return saved


def test_the_division_of_a_grid_is_in_the_checkpoint(checkpoint):
    grid = Grid.empty(np.zeros(1), GridCells((0.0, -1.0), (1.0, 1.0), (2, 4)))
    found = cells.division(checkpoint({"archive": grid}), 8)
    assert isinstance(found, Boxes)
    assert found.shape == (2, 4)
    assert found.edges[1].tolist() == [-1, -0.5, 0, 0.5, 1]


def test_the_centroids_of_voronoi_cells_are_in_the_checkpoint(checkpoint):
    points = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.9]], np.float32)
    found = cells.division(checkpoint(Grid.empty(np.zeros(1), VoronoiCells.around(points, (0.0, 0.0), (1.0, 1.0)))), 4)
    assert isinstance(found, Points)
    np.testing.assert_array_equal(found.centroids, points)


def test_a_division_of_fewer_cells_than_there_are_is_none(checkpoint):
    assert cells.division(checkpoint(Grid.empty(np.zeros(1), GridCells((0.0,), (1.0,), (2,)))), 3) is None


def test_a_damaged_checkpoint_is_a_run_without_a_division(tmp_path: Path):
    written(tmp_path / "run", LIVES)
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"PK\x03\x04 no more")
    assert cells.division(Run(tmp_path / "run"), 1) is None


@pytest.mark.parametrize(
    "grid",
    [
        {"shape": [10**12], "low": [0], "high": [1]},
        {"shape": [0], "low": [0], "high": [1]},
        {"shape": [2], "low": [1], "high": [0]},
        {"shape": [2], "low": [0], "high": [float("nan")]},
        {"shape": [9] * 30, "low": [0] * 30, "high": [1] * 30},
        {},
        7,
    ],
)
def test_a_grid_that_cannot_be_is_none(tmp_path: Path, grid: object):
    written(tmp_path / "run", LIVES)
    note = json.dumps({"kinds": {}, "note": {"grids": {".cells": grid}}})
    np.savez(tmp_path / "run" / "checkpoint.npz", **{"": np.array(note)})
    assert cells.division(Run(tmp_path / "run"), 1) is None


def test_cells_of_very_different_widths_are_drawn_alike_with_their_edges_named():
    found = archives.history(columns(LIVES))
    figure = archives.drawn(found, archives.charted(found, Boxes((np.array([0, 0.01, 1.0]), np.linspace(0, 1, 3)))))
    assert figure.data[1].x.tolist() == [0, 1, 2]
    assert figure.layout.xaxis.ticktext == ("0", "0.01", "1")
    assert figure.data[1].y.tolist() == [0, 0.5, 1]
    assert figure.layout.yaxis.ticktext is None
