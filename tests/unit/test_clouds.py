import sqlite3

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.inspect import cloud_figure, clouds
from aiga.inspect.planes import FEW, Plane, planes, principal
from aiga.runs.clouds import DENSE, Listed, Points
from aiga.runs.events import Cloud
from aiga.runs.record import Run
from aiga.runs.store import Store


def generations(count: int = 3, size: int = 4, dimensions: int = 2, **fields) -> Cloud:
    """The fitness of individual i of generation g is 10 g + i, and so is the first number of its behaviour."""
    fitness = 10.0 * np.arange(count)[:, None] + np.arange(size)
    behaviour = np.stack([fitness * (1 + i) for i in range(dimensions)], axis=2)
    index, sign = np.arange(count * size).reshape(count, size), np.tile([1, -1], (count, size // 2))
    parent, key = np.stack([np.arange(count), np.full(count, 7)], axis=1), np.full((count, 2), 2**32 - 1, np.uint32)
    return Cloud(parent, np.arange(count), behaviour, fitness, index, sign, key)._replace(**fields)


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "run", {"system": "me_es", "options": {}, "seed": 0})
    yield store
    store.close()


def read(store: Store) -> Run:
    store.note()  # commits
    return Run(store.directory)


def test_a_generation_is_read_as_it_was_recorded(store):
    genome, known = np.arange(6.0).reshape(3, 2), {"parent_fitness": np.arange(3), "names": ("x", "y")}
    store.record(5, {"cloud": generations(genome=genome, sigma=np.full(3, 0.5), context=genome + 1, **known)})
    run = read(store)
    assert run.clouds()[1] == Listed(2, 5, "cloud", 1, (1 << 32) + 7, 1.0, 4, 2)
    cloud = run.cloud(3)
    assert (cloud.about, cloud.names, cloud.sigma) == (run.clouds()[2], ("x", "y"), 0.5)
    assert cloud.behaviour.tolist() == [[20, 40], [21, 42], [22, 44], [23, 46]]
    assert (cloud.noise.tolist(), cloud.sign.tolist()) == ([8, 9, 10, 11], [1, -1, 1, -1])
    assert (cloud.key.tolist(), cloud.parents, cloud.parent_behaviour) == ([2**32 - 1] * 2, None, None)
    assert (cloud.genome.tolist(), cloud.context.tolist()) == ([4, 5], [5, 6])


def test_individuals_of_a_series_are_read_together_and_unevaluated_parents_stand_in_their_middle(store):
    places = np.array([[1.0, 2.0], [np.nan, 0.0]])
    store.record(0, {"a": generations(2, parent_behaviour=places), "b": generations(1)})
    points = read(store).pseudo_offspring("a")
    assert points.fitness.tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert points.row.tolist() == [0] * 4 + [1] * 4
    assert points.parents.tolist() == [[1, 2], [11.5, 23]]
    with pytest.raises(UsageError, match="no series `c`"):
        Run(store.directory).pseudo_offspring("c")


def test_clouds_beyond_the_checkpoint_are_forgotten_and_unwanted_ones_never_kept(store):
    for step in range(3):
        store.record(step, {"cloud": generations(2, kept=np.array([True, False]))})
    assert [(one.step, one.generation) for one in read(store).clouds()] == [(0, 0), (1, 0), (2, 0)]
    store.rewind(1)
    assert [one.step for one in Run(store.directory).clouds()] == [0]


def test_steps_far_on_are_recorded_ever_more_rarely(store):
    for step in range(2 * DENSE - 2, 2 * DENSE + 3):
        store.record(step, {"cloud": generations(1)})
    assert [one.step for one in read(store).clouds()] == [254, 255, 256, 258]


def test_a_run_of_a_version_that_recorded_no_clouds_has_none(store):
    run = read(store)
    with sqlite3.connect(run.directory / "run.sqlite") as database:
        database.execute("DROP TABLE clouds")
    assert run.clouds() == []
    assert not clouds.present(run)
    assert clouds.figures(run) == []


def test_a_pseudo_offspring_is_found_by_its_name(store):
    store.record(4, {"cloud": generations()})
    run = read(store)
    facts = clouds.member(run, "c2.3").facts
    assert facts["parent"] == str((1 << 32) + 7)
    assert (facts["step"], facts["generation"], facts["fitness"], facts["noise"], facts["sign"]) == (4, 1, 13, 7, -1)
    for name in ("c2", "c2.4", "c9.0", "c-1.0", "x", "c²."):
        with pytest.raises(UsageError):
            clouds.member(run, name)


def test_every_point_of_a_chosen_generation_has_its_name_and_the_best_is_the_darkest(store):
    store.record(0, {"cloud": generations(names=("x", "y"))})
    [figure] = clouds.figures(read(store))
    drawn = figure.content
    assert len(drawn.frames) == 3
    oldest, middle, newest = drawn.frames[-1].data[:3]
    assert [point[0] for point in newest.customdata] == ["c3.0", "c3.1", "c3.2", "c3.3"]
    assert (list(newest.x), list(newest.marker.color)) == ([20, 21, 22, 23], [0, 1, 3, 4])
    assert middle.customdata[0][0] == "c2.0"
    assert oldest.customdata[0][0] == "c1.0"
    assert len(drawn.frames[0].data[0].x) == 0, "there was no generation before the first"
    assert drawn.layout.sliders[0].active == 2


def test_series_stand_beside_each_other_and_one_can_be_chosen(store):
    store.record(0, {"left": generations(), "right": generations(2, dimensions=3)})
    run = read(store)
    [both] = clouds.figures(run)
    assert [note.text for note in both.content.layout.annotations][:2] == ["left", "right"]
    assert len(both.content.frames[0].data) == 2 * 5
    [one] = clouds.figures(run, {"series": "right", "planes": "1,3;2,behaviour 3"})
    assert one.content.layout.yaxis.title.text == one.content.layout.yaxis2.title.text == "behaviour 3"
    for choices in ({"series": "middle"}, {"x": "4"}, {"planes": "1"}, {"series": "right", "reduce": "lda"}):
        with pytest.raises(UsageError):
            clouds.figures(run, choices)


def test_where_lines_begin_anew_the_way_of_the_parents_has_a_gap():
    listed = [Listed(i, i, "cloud", generation, -1, np.nan, 1, 2) for i, generation in enumerate((0, 1, 0))]
    places = np.arange(6.0).reshape(3, 2)
    plane = Plane("cloud", ("x", "y"), listed, places, places, np.arange(3.0), np.arange(3), np.zeros(3, int))
    way = cloud_figure.Panel.of(plane).way
    assert way[:, 0].tolist()[:2] == [0, 2]
    assert np.isnan(way[2]).all()
    assert way[3].tolist() == [4, 5]


def test_many_individuals_are_a_picture_and_few_of_a_large_generation_are_on_the_slider():
    count = cloud_figure.MANY + 1
    listed = [Listed(1, 0, "cloud", 0, -1, np.nan, count, 2)]
    places, fitness = np.random.default_rng(0).normal(size=(count, 2)), np.arange(count, dtype=float)
    plane = Plane("cloud", ("x", "y"), listed, places[:1], places, fitness, np.zeros(count, int), np.arange(count))
    drawn = cloud_figure.drawn([plane])
    assert drawn.layout.images[0].source.startswith("data:image/png;base64,")
    assert not [trace for trace in drawn.data if trace.type == "scattergl"]
    shown = drawn.frames[0].data[2]
    assert len(shown.x) == cloud_figure.LARGE
    assert shown.customdata[-1][0] == f"c1.{count - 1}", "the best is among them"


def test_many_dimensions_are_seen_along_those_in_which_behaviours_differ_most():
    along = np.random.default_rng(1).normal(size=(50, 1)) * np.array([[3.0, 4.0, 0.0]])
    places, shares = principal(along)
    assert np.allclose(np.abs(places[:, 0]), np.linalg.norm(along - along.mean(axis=0), axis=1), atol=1e-4)
    assert shares[0] == pytest.approx(1)


def test_what_is_not_finite_is_left_out_and_t_sne_refuses_many():
    listed = [Listed(1, 0, "cloud", 0, -1, np.nan, FEW + 1, 3)]
    behaviour = np.zeros((FEW + 1, 3), np.float32)
    behaviour[0, 0] = np.nan
    points = Points(listed, (), behaviour[1:2], behaviour, np.zeros(FEW + 1, np.float32), np.zeros(FEW + 1, int))
    [plane] = planes("cloud", points, {"x": "1", "y": "2"})
    assert plane.number[0] == 1
    with pytest.raises(UsageError, match="t-SNE"):
        planes("cloud", points, {"reduce": "tsne"})
