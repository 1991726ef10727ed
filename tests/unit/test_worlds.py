"""The pictures of a run of POET show its worlds, agents and counts as they were."""

from xml.etree import ElementTree

import numpy as np
import pytest

from aiga.envs.terrain import CELLS, STEP, Terrain
from aiga.inspect import world_tree, worlds
from aiga.inspect.canvas import Shape
from aiga.inspect.worlds import ACCENT, PALE, Stop, Transfer, Walk, World, tree, way_of

SVG = "{http://www.w3.org/2000/svg}"
GROUND = Terrain(np.array([0.0, 40, 40, CELLS * STEP]), np.array([3.0, 3, 4, 4]), np.zeros(CELLS, int))
POSES = np.stack([np.full((5, 3), 5 + 0.1 * t) * np.array([1, 0, 0]) + np.array([0, 6, 0]) for t in range(51)])


def world(id, parent, born, retired=-1, solved=-1, score=100.0, features=None):
    return World(id, parent, born, retired, solved, score, GROUND, features or {})


FAMILY = [
    world(10, -1, 0, retired=600, solved=50, score=300.0),
    world(11, 10, 200, solved=450, score=240.0),
    world(12, 10, 200, score=-20.0, features={"stump": "0 to 0.4", "roughness": 0.61234}),
    world(13, 11, 600, score=float("nan")),
]
MOVES = [Transfer(300, 12, 11), Transfer(700, 11, 12), Transfer(700, 12, 13)]


def drawn(path):
    """The groups of worlds, by the first line of their title."""
    root = ElementTree.parse(path).getroot()
    groups = {}
    for group in root.findall(f"{SVG}g"):
        lines = group.findtext(f"{SVG}title").split("\n")
        groups[lines[0]] = (lines[1:], group)
    return root, groups


def test_every_world_is_in_the_tree_with_what_is_known_of_it(tmp_path):
    _, groups = drawn(tree(tmp_path / "tree.svg", FAMILY, iterations=800))
    assert list(groups) == ["World 0", "World 1", "World 2", "World 3"]
    assert groups["World 0"][0] == [
        "born in iteration 0",
        "solved in iteration 50",
        "retired in iteration 600",
        "score 300.0",
    ]
    assert groups["World 2"][0] == [
        "born in iteration 200, made of world 0",
        "not solved",
        "score -20.0",
        "stump: 0 to 0.4",
        "roughness: 0.612",
    ]
    assert groups["World 3"][0] == ["born in iteration 600, made of world 1", "not solved"]


def test_retired_worlds_are_faded_and_solved_ones_have_a_dot(tmp_path):
    root, groups = drawn(tree(tmp_path / "tree.svg", FAMILY, iterations=800))
    faded = [name for name, (_, group) in groups.items() if group.find(f"{SVG}g").get("opacity")]
    assert faded == ["World 0"]
    assert [dot.get("fill") for dot in root.findall(f"{SVG}polygon[@stroke='#ffffff']")] == [world_tree.FADED, ACCENT]


def test_a_world_is_placed_at_its_birth_and_ends_when_it_is_retired():
    places, _ = world_tree.arrange(FAMILY, 800)
    span = world_tree.WIDTH - world_tree.LEFT - world_tree.RIGHT
    lefts = [(places[w.id].left - world_tree.LEFT) / span for w in FAMILY]
    rights = [(places[w.id].right - world_tree.LEFT) / span for w in FAMILY]
    assert lefts == pytest.approx([0, 0.25, 0.25, 0.75])
    assert rights == pytest.approx([0.75, 1, 1, 1])
    bases = [(places[w.id].base - places[10].base) / world_tree._lane(world_tree.CARDS[0]) for w in FAMILY]
    assert sorted(bases[1:3]) == pytest.approx([-1, 1]), "above and below the parent"
    assert abs(bases[3] - bases[1]) == pytest.approx(1)


def test_lanes_of_retired_worlds_are_used_again():
    line = [world(i, i - 1, 100 * i, retired=100 * i + 400) for i in range(60)]
    places, (_, high) = world_tree.arrange(line, 6400)
    bases = [places[w.id].base for w in line]
    assert len(set(bases)) < 20, "not sixty"
    assert high == world_tree.CARDS[0]
    for i, one in enumerate(line):
        before = [other for other in line[:i] if places[other.id].base == bases[i]]
        assert all(places[other.id].right < places[one.id].left for other in before)


def test_two_hundred_active_worlds_get_small_profiles_and_two_hundred_retired_ones_fit():
    many = [world(i, i // 2, 10 * i) for i in range(200)]
    places, (_, high) = world_tree.arrange(many, 2000)
    assert high == world_tree.CARDS[-1]
    assert len({place.base for place in places.values()}) == 200
    brief = [one._replace(retired=one.born + 200) for one in many]
    places, (_, high) = world_tree.arrange(brief, 2200)
    assert max(place.base for place in places.values()) < world_tree.TOP + world_tree.TALLEST + 50
    assert high >= 16


def test_no_world_and_one_world_have_a_tree(tmp_path):
    root, groups = drawn(tree(tmp_path / "none.svg", [], iterations=0))
    assert not groups
    assert int(root.get("height")) > 0
    _, groups = drawn(tree(tmp_path / "one.svg", FAMILY[:1], iterations=0))
    assert list(groups) == ["World 0"]


def test_words_of_a_genome_cannot_break_the_page(tmp_path):
    nasty = world(1, -1, 0, features={"<b>": "</title><script>&"})
    _, groups = drawn(tree(tmp_path / "tree.svg", [nasty], iterations=10))
    assert groups["World 0"][0][-1] == "<b>: </title><script>&"


def test_an_agent_came_by_transfers_and_births():
    assert way_of(10, FAMILY, MOVES) == [Stop(0, 10)]
    assert way_of(11, FAMILY, MOVES) == [Stop(0, 10), Stop(200, 12), Stop(300, 11)]


def test_agents_that_move_at_once_are_those_from_before():
    assert way_of(12, FAMILY, MOVES) == [Stop(0, 10), Stop(200, 12), Stop(300, 11), Stop(700, 12)]
    assert way_of(13, FAMILY, MOVES) == [Stop(0, 10), Stop(200, 12), Stop(700, 13)]


def test_a_newborn_may_get_another_worlds_agent():
    moves = [*MOVES, Transfer(600, 12, 13)]
    assert way_of(13, FAMILY, moves[:1] + moves[3:]) == [Stop(0, 10), Stop(200, 12), Stop(600, 13)]
    assert way_of(13, FAMILY, []) == [Stop(0, 10), Stop(200, 11), Stop(600, 13)]


def test_births_are_before_the_transfers_of_their_iteration():
    family = [world(0, -1, 0), world(1, 0, 4), world(2, 0, 8)]
    swap = [Transfer(4, 0, 1), Transfer(8, 1, 2), Transfer(8, 2, 0)]
    assert way_of(0, family, swap) == [Stop(0, 0), Stop(4, 1), Stop(8, 2), Stop(8, 0)]
    assert way_of(2, family, swap) == [Stop(0, 0), Stop(4, 1), Stop(8, 2)]
    replaced = [*swap, Transfer(8, 0, 2)]
    assert way_of(0, family, replaced) == way_of(0, family, swap), "with the agent that the world was born with"
    assert way_of(2, family, replaced) == [Stop(0, 0), Stop(8, 2)]
    before = [*swap[:2], Transfer(8, 0, 1)]
    assert way_of(2, family, before) == [Stop(0, 0), Stop(4, 1), Stop(8, 2)], "not with one that came to 1 later"


def test_a_world_may_be_born_with_the_agent_of_one_born_in_the_same_iteration():
    family = [world(0, -1, 0), world(1, 0, 8), world(2, 0, 8)]
    twins = [Transfer(8, 0, 1), Transfer(8, 1, 2)]
    assert way_of(2, family, twins) == way_of(2, family, twins[::-1]) == [Stop(0, 0), Stop(8, 1), Stop(8, 2)]
    assert way_of(2, family, twins[1:]) == [Stop(0, 0), Stop(8, 1), Stop(8, 2)], "1 with its parent's"
    circle = [Transfer(8, 2, 1), Transfer(8, 1, 2)]
    assert [stop.world for stop in way_of(2, family, circle)] == [0, 2, 1, 2], "and there is an end"


def test_a_transfer_from_a_world_that_is_not_born_does_not_go_round_for_ever():
    assert [stop.world for stop in way_of(11, FAMILY, [Transfer(100, 13, 11)])] == [10, 11, 13, 11]


def test_the_way_of_an_agent_is_drawn_along_worlds_and_across(tmp_path):
    way = way_of(11, FAMILY, MOVES)
    places, _ = world_tree.arrange(FAMILY, 800)
    along, across = world_tree._travelled(way, places, 800)
    lines = [shape for shape in along if not shape.fill]
    assert [shape.points[0, 0] for shape in lines] == [world_tree._along(step, 800) for step in (0, 200, 300)]
    assert [shape.points[0, 1] for shape in lines] == [places[id].base for id in (10, 12, 11)]
    assert [set(shape.points[:, 0]) for shape in across] == [{world_tree._along(step, 800)} for step in (200, 300)]
    plain, _ = drawn(tree(tmp_path / "plain.svg", FAMILY, iterations=800))
    marked, _ = drawn(tree(tmp_path / "marked.svg", FAMILY, iterations=800, way=way))
    assert len(marked) - len(plain) == 3 + 2 + 2, "along, across, and dots where it changes worlds"


def test_colours_tell_scores():
    assert world_tree.shade(-50.0, 230.0) == PALE
    assert world_tree.shade(float("nan"), 230.0) == PALE
    assert world_tree.shade(230.0, 230.0) == world_tree.shade(999.0, 230.0) == ACCENT
    assert world_tree.shade(115.0, 230.0) not in (PALE, ACCENT)


def test_transfers_are_counted_from_world_to_world():
    figure = worlds.exchange(FAMILY, [*MOVES, Transfer(705, 99, 12), Transfer(710, 11, 12)])
    heat, came = figure.content.data
    table = np.asarray(heat.z)
    assert table[2, 1] == 2
    assert table[1, 2] == table[3, 2] == 1
    assert np.isfinite(table).sum() == 3
    assert list(zip(came.x, came.y, strict=True)) == [(2, 1), (1, 2), (2, 3)]
    assert figure.caption.startswith("4 agents"), "that from a world that is not known is not among them"


def test_the_first_agent_of_a_world_replaced_none():
    swap = [Transfer(200, 10, 11), Transfer(200, 11, 12), Transfer(200, 10, 12), Transfer(300, 12, 11)]
    figure = worlds.exchange(FAMILY, [*swap, Transfer(600, 99, 13)])
    assert figure.caption.startswith("2 agents replaced that of another world, 2 were the first of a new one. ")
    assert np.nansum(figure.content.data[0].z) == 4, "births and transfers are in the table"
    figure = worlds.exchange(FAMILY, MOVES)
    assert figure.caption.startswith("3 agents replaced that of another world, 0 were the first of a new one. ")


def test_the_ways_of_active_agents_are_told_in_a_table():
    rows = worlds.travels(FAMILY, MOVES).content
    assert [row["world"] for row in rows] == ["1", "2", "3"]
    assert [row["score"] for row in rows] == ["240", "-20", ""]
    assert [row["worlds on the way of its agent"] for row in rows] == ["0 → 2 → 1", "0 → 2 → 1 → 2", "0 → 2 → 3"]
    assert len(worlds.travels(FAMILY, MOVES, most=1).content) == 1


def test_curves_are_drawn_over_the_iterations():
    steps = np.arange(5)
    figure = worlds.course({"ANNECS": (steps, steps**2), "active": (steps, 1 + steps)}).content
    assert [list(trace.y) for trace in figure.data] == [[0, 1, 4, 9, 16], [1, 2, 3, 4, 5]]
    assert [note.text for note in figure.layout.annotations] == ["ANNECS", "active"]


def test_a_report_has_the_figures_that_the_run_gives_cause_for(tmp_path):
    curves = {"solved": (np.arange(3), np.arange(3))}
    walk = Walk(11, POSES, 240.0)
    shown = worlds.figures(tmp_path / "media", FAMILY, MOVES, curves, iterations=800, walk=walk)
    titles = [
        "The tree of worlds",
        "The best walker",
        "Its whole way",
        "Transfers",
        "Where agents came from",
        "The course of the run",
    ]
    assert [figure.title for figure in shown] == titles
    assert shown[0].content.read_text().startswith("<svg")
    assert shown[1].content.read_bytes().startswith(b"GIF89a")
    assert shown[2].content.read_text().count(worlds.walks.WHITE) == 2, "at eight metres and at the end"
    assert shown[1].caption == "World 1, born in iteration 200: 5.0 m in 1.0 s, 240 points."
    early = worlds.figures(tmp_path / "media", FAMILY[:1], [], curves, iterations=1)
    assert [figure.title for figure in early] == ["The tree of worlds", "The course of the run"]
    assert worlds.figures(tmp_path / "media", [], [], {}, iterations=0) == []


def test_ticks_are_round_numbers_up_to_the_last_iteration():
    for iterations, last, count in ((0, 0, 1), (7, 7, 8), (800, 800, 9), (25_200, 25_000, 6)):
        ticks = [shape.text for shape in world_tree._axis(iterations, 300.0) if not isinstance(shape, Shape)][:-1]
        assert (ticks[0], ticks[-1]) == ("0", f"{last:,}")
        assert len(ticks) == count
