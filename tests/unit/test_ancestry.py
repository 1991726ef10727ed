from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aiga.inspect import ancestry
from aiga.inspect.ancestry import Tree
from aiga.runs.events import Born, Extinct, Transferred
from aiga.runs.record import Run
from aiga.runs.store import Store


def small_run(directory: Path) -> Run:
    """0 bears 1 and 2, 1 bears 3, which replaces it; 4 is alone and dies out; 2 moves."""
    store = Store.create(directory, {"system": "map_elites", "options": {}, "seed": 0, "model": "", "sandbox": ""})
    rows = [(0, -1, -1, 1.0, 0), (1, 0, -1, 2.0, 0), (2, 0, -1, 3.0, 1), (3, 1, 1, 4.0, 0), (4, -1, -1, np.nan, 2)]
    for birth, parent, replaced, fitness, cell in rows:
        pairs = [np.array([[step, 0 if step >= 0 else -1]]) for step in (birth, parent, replaced)]
        born = Born(pairs[0], pairs[1][:, None], "test", np.array([2]), np.array([fitness]), [cell], pairs[2])
        store.record(birth, {"born": born})
    store.record(5, {"extinct": Extinct((4, 0)), "moved": Transferred((2, 0), (0, 0), (1, 0))})
    store.close()
    return Run(directory)


def of(parents: list[int], alive: list[bool] | None = None, cells: list[int] | None = None) -> Tree:
    n = len(parents)
    lives = np.array(alive or [True] * n, bool)
    return Tree.of(np.arange(n), np.array(parents, int), np.arange(n, dtype=float), np.array(cells or [-1] * n), lives)


def test_a_tree_of_six_has_the_measures_that_one_counts_by_hand():
    #        0       5
    #      1   2
    #     3 4
    found = of([-1, 0, 0, 1, 1, -1], [False, False, True, True, False, False], [0, 0, 1, 1, -1, 2])
    seen = ancestry.measured(found)
    assert (seen.births, seen.founders, seen.depth, seen.mean_depth) == (6, 2, 2, 1.0)
    assert (seen.parents, seen.branching, seen.most_children, seen.prolific) == (2, 2.0, 2, 0)
    assert (seen.alive, seen.lines, seen.stones) == (2, 1, 2)  # 0 and 1 are gone, and 2 and 3 live
    assert (seen.ancestor, seen.longest, seen.longest_depth) == (0, 3, 2)
    assert seen.switches == 2  # 2 left cell 0, and 3 left it; where 4 is is not known


def test_those_alive_of_two_founders_have_no_common_ancestor():
    assert ancestry.measured(of([-1, -1, 0, 1])).ancestor == -1


def test_one_alive_is_its_own_latest_common_ancestor():
    assert ancestry.measured(of([-1, 0, 1], [False, False, True])).ancestor == 2


def test_nobody_alive_leaves_no_line():
    seen = ancestry.measured(of([-1, 0], [False, False]))
    assert (seen.alive, seen.lines, seen.ancestor, seen.longest, seen.longest_depth) == (0, 0, -1, -1, 0)


def test_surviving_lineages_come_with_most_alive_first():
    found = of([-1, -1, 1, 1, 2, -1], [True, False, False, True, True, False])
    first, second = ancestry.lineages(found)
    assert first == ancestry.Lineage(founder=1, best=4, births=4, alive=2, depth=2)
    assert second == ancestry.Lineage(founder=0, best=0, births=1, alive=1, depth=0)


def test_a_fitness_that_is_not_known_is_never_the_best():
    found = of([-1, 0])._replace(fitness=np.array([1.0, np.nan]))
    assert ancestry.lineages(found)[0].best == 0


def test_a_parent_that_is_not_on_record_counts_as_none():
    ids = np.array([10, 20, 30])
    assert ancestry.parent_rows(ids, np.array([-1, 15, 20])).tolist() == [-1, -1, 1]


def test_nobody_is_born_of_itself_or_of_one_born_later():
    ids = np.array([10, 20, 30])
    assert ancestry.parent_rows(ids, np.array([30, 20, 10])).tolist() == [-1, -1, 0]


def test_who_was_replaced_or_died_out_is_not_alive(tmp_path: Path):
    run = small_run(tmp_path / "run")
    found = ancestry.tree(run)
    assert found.alive.tolist() == [True, False, True, True, False]
    assert found.parent.tolist() == [-1, 0, 0, 1, -1]
    measures, surviving = ancestry.figures(run, found)
    told = {row["measure"]: row["value"] for row in measures.content}
    assert told["transfers"] == "1"
    assert told["longest living line"] == "2 steps, to 3.0"
    assert told["born in another cell than the parent's"] == "1 (33% of children)"
    assert surviving.content[0]["best fitness"] == "4 (3.0)"


def test_a_run_without_births_has_no_ancestry(tmp_path: Path):
    Store.create(tmp_path / "run", {"system": "x", "options": {}, "seed": 0}).close()
    run = Run(tmp_path / "run")
    assert ancestry.figures(run, ancestry.tree(run)) == []


forests = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.tuples(*(st.integers(-1, i - 1) for i in range(n))), st.lists(st.booleans(), min_size=n, max_size=n)
    )
)


@given(forests)
def test_measures_are_those_of_the_plain_recursion(forest: tuple[tuple[int, ...], list[bool]]):
    parents, alive = list(forest[0]), forest[1]

    def line(row: int) -> list[int]:
        return [row, *line(parents[row])] if row >= 0 else []

    lines, survivors = [line(row) for row in range(len(parents))], [row for row, lives in enumerate(alive) if lives]
    depth, founder = ancestry.climbed(np.array(parents))
    assert depth.tolist() == [len(line) - 1 for line in lines]
    assert founder.tolist() == [line[-1] for line in lines]
    counts = [sum(row in lines[survivor] for survivor in survivors) for row in range(len(parents))]
    assert ancestry.living(np.array(parents), np.array(alive)).tolist() == counts
    common = set.intersection(*(set(lines[survivor]) for survivor in survivors)) if survivors else set()
    seen = ancestry.measured(of(parents, alive))
    assert seen.ancestor == max(common, default=-1)
    assert seen.longest_depth == max((len(lines[survivor]) - 1 for survivor in survivors), default=0)
    assert seen.lines == len({lines[survivor][-1] for survivor in survivors})


def test_a_line_of_a_hundred_thousand_has_that_depth():
    depth, founder = ancestry.climbed(np.arange(100_000) - 1)
    assert (depth == np.arange(100_000)).all()
    assert not founder.any()
