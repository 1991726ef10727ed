import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import Birth, name, written

from aiga.core.errors import UsageError
from aiga.inspect import lineages
from aiga.inspect.ancestry import Tree
from aiga.runs.record import Run

FAMILY = [
    Birth(0, fitness=1.0),
    Birth(1, parent=0, fitness=2.0),
    Birth(2, parent=0, fitness=5.0),
    Birth(3, parent=1, fitness=3.0),
]
forests = st.integers(1, 40).flatmap(lambda n: st.tuples(*(st.integers(-1, i - 1) for i in range(n))))


def of(parents: tuple[int, ...]) -> Tree:
    """Each is born a step after the one before."""
    n = len(parents)
    identities = np.arange(n) << 32
    parent = np.array([row << 32 if row >= 0 else -1 for row in parents])
    return Tree.of(identities, parent, np.arange(n, dtype=float), np.full(n, -1), np.ones(n, bool))


def segments(path: str) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The pieces of a path, from left to right and from below."""
    found = []
    for x, y, way, to in re.findall(r"M(\d+),(\d+)([VH])(\d+)", path):
        ends = (float(x), float(y)), (float(x if way == "V" else to), float(to if way == "V" else y))
        found.append((min(ends), max(ends)))
    return found


def test_births_are_points_with_names_and_the_line_of_the_best_is_marked(tmp_path: Path):
    tree, stones, measures, surviving = lineages.figures(Run(written(tmp_path / "run", FAMILY)))
    births, line = tree.content.data
    assert list(births.customdata) == [name(step) for step in range(4)]
    assert births.y.tolist() == [0, 1, 2, 3]
    assert list(line.customdata) == [name(0), name(2)]
    assert len(set(line.x.tolist())) == 1  # the marked line is straight
    assert "the line of 2.0, the best, is marked" in tree.caption
    assert list(stones.content.data[1].customdata) == [name(0), name(2)]
    assert (measures.title, surviving.title) == ("Ancestry", "Surviving lineages")


def test_another_line_is_marked_by_its_name(tmp_path: Path):
    tree = lineages.figures(Run(written(tmp_path / "run", FAMILY)), {"name": name(3)})[0]
    assert list(tree.content.data[1].customdata) == [name(0), name(1), name(3)]


def test_what_is_up_may_be_the_generation(tmp_path: Path):
    tree = lineages.figures(Run(written(tmp_path / "run", FAMILY)), {"y": "generation"})[0]
    assert tree.content.data[0].y.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("choices", [{"y": "up"}, {"name": "77"}, {"name": "<b>"}, {"name": "9" * 30}])
def test_choices_that_do_not_exist_are_refused(tmp_path: Path, choices: dict[str, str]):
    with pytest.raises(UsageError, match=next(iter(choices))):
        lineages.figures(Run(written(tmp_path / "run", FAMILY)), choices)


def test_a_run_without_births_has_no_lineage(tmp_path: Path):
    run = Run(written(tmp_path / "run", []))
    assert not lineages.present(run)
    assert lineages.figures(run) == []


def test_where_no_fitness_is_known_the_last_line_is_marked(tmp_path: Path):
    births = [Birth(0, fitness=np.nan), Birth(1, parent=0, fitness=np.inf), Birth(2, parent=1, fitness=np.nan)]
    tree, *others = lineages.figures(Run(written(tmp_path / "run", births)))
    assert list(tree.content.data[1].customdata) == [name(0), name(1), name(2)]
    assert [figure.title for figure in others] == ["Ancestry", "Surviving lineages"]


@given(forests)
def test_no_two_branches_cross(parents: tuple[int, ...]):
    found = of(parents)
    chart = lineages.laid_out(found, np.arange(len(parents)), [len(parents) - 1])
    drawn = segments(lineages.branches(chart))
    up = [piece for piece in drawn if piece[0][0] == piece[1][0]]
    along = [piece for piece in drawn if piece[0][0] < piece[1][0]]
    for (x, low), (_, high) in up:
        for (left, y), (right, _) in along:
            assert not (left < x < right and low < y < high)


@given(forests)
def test_every_birth_hangs_on_its_parent(parents: tuple[int, ...]):
    found = of(parents)
    chart = lineages.laid_out(found, np.arange(len(parents)), [0])
    drawn = segments(lineages.branches(chart))
    for row, parent in enumerate(parents):
        if parent >= 0:
            x, y, of_x, of_y = chart.x[row], chart.y[row], chart.x[parent], chart.y[parent]
            assert any(a[0] == b[0] == x and a[1] <= of_y and b[1] >= y for a, b in drawn)
            assert x == of_x or any(a[1] == b[1] == of_y and a[0] <= of_x and b[0] >= x for a, b in drawn)


@given(forests, st.integers(1, 12))
def test_whoever_is_left_has_all_its_ancestors(parents: tuple[int, ...], most: int):
    parent, first = np.array(parents), lineages.line(np.array(parents), len(parents) - 1)
    rows = lineages.thinned(parent, first, most).tolist()
    assert len(rows) <= max(most, 1)
    assert rows == sorted(set(rows))
    if len(first) <= most:
        assert set(first) <= set(rows)
        assert all(parents[row] in rows for row in rows if parents[row] >= 0)
    else:
        assert rows == first[-most:]


def test_of_many_births_the_rest_is_left_out_evenly():
    parent = np.where(np.arange(10_000) < 100, -1, np.arange(10_000) - 100)
    rows = lineages.thinned(parent, [0], most=1_000)
    assert 800 < rows.size <= 1_000
    assert len(np.unique(rows % 100)) > 5


def test_a_family_of_fifty_thousand_is_drawn_at_once():
    random = np.random.default_rng(0)
    parents = (-1, *(int(random.integers(0, row)) for row in range(1, 50_000)))
    figure = lineages.drawn(of(parents))
    assert len(figure.content.data[0].x) == 50_000
    assert len(figure.content.to_json()) < 4_000_000
