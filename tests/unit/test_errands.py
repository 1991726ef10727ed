import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.craftax import ITEMS
from aiga.envs.errands import BITS, crafting, errands, playing, workshop
from aiga.envs.playroom import Playroom

WORLD = ("eat_cow", "place_stone", "eat_plant", "wake_up", "collect_wood")


def small(**options):
    return errands(("collect wood", "place stone"), (3, 2), items=("collect_wood", "place_stone"), **options)


def test_items_come_first_and_then_their_repetitions():
    tasks = small()
    assert tasks.texts[:2] == ("collect wood", "place stone")
    assert tasks.texts[2:] == ("collect wood 2 times", "collect wood 3 times", "place stone 2 times")
    assert tasks.kinds == ("collect_wood", "place_stone", "repeat", "repeat", "repeat")
    assert tasks.interesting.tolist() == [True, True, False, False, False]
    assert tasks.items == ("collect_wood", "place_stone", "collect_wood", "collect_wood", "place_stone")
    assert tasks.times.tolist() == [1, 1, 2, 3, 2]


def test_synonyms_are_repeated_too_and_want_the_same():
    tasks = small(synonyms=1)
    assert len(set(tasks.texts)) == len(tasks.texts) == 10
    assert tasks.texts[4:7] == ("gather wood", "gather wood 2 times", "gather wood 3 times")
    assert tasks.kinds[4:7] == ("synonym",) * 3
    assert tasks.times[4:7].tolist() == [1, 2, 3]


def test_a_pair_wants_both_items():
    tasks = small(pairs=True)
    assert tasks.texts[-1] == "collect wood and place stone"
    assert tasks.parts[-1].tolist() == [0, 1]
    assert tasks.needs(WORLD).tolist()[1:4] == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 2], [0, 0, 0, 0, 3]]
    assert tasks.needs(WORLD).tolist()[-1] == [0, 1, 0, 0, 1]


def test_no_two_tasks_have_the_same_code():
    for tasks in (crafting("repeats"), crafting("compound")):
        codes = tasks.codes(1023)
        assert len(np.unique(codes, axis=0)) == len(codes) == len(tasks.texts) + 1023
        assert set(np.unique(codes)) == {0.0, 1.0}
    assert not codes[: len(tasks.texts), -BITS:].any()


def test_there_are_only_so_many_codes_of_impossible_tasks():
    with pytest.raises(UsageError, match="at most 1023"):
        crafting().codes(1024)


@pytest.mark.parametrize(("setting", "m"), [("repeats", 105), ("compound", 210), ("synonyms", 630)])
def test_crafting_has_as_many_tasks_as_in_the_authors_code_fifteen_of_them_interesting(setting, m):
    tasks = crafting(setting)
    assert len(tasks.texts) == m
    assert tasks.interesting.sum() == 15
    assert set(tasks.items) == set(tasks.kinds[:15]) < set(ITEMS)
    assert (tasks.needs(ITEMS).sum(axis=1) >= 1).all()
    assert {tasks.texts[i]: int(tasks.times[i]) for i in (0, 15)} == {"collect coal": 1, "collect coal 2 times": 2}


def test_the_workshop_has_seven_other_ways_to_ask_for_each_thing_in_the_order_of_the_things():
    tasks = workshop(6, 10)
    assert len(tasks.texts) == 6 * 10 * 8
    assert tasks.items[60:] == tuple(np.repeat(tasks.items[:60], 7).tolist())
    assert tasks.kinds[:11] == (*(f"item_{i}" for i in range(1, 11)), "item_1")


def test_a_playroom_has_a_task_for_each_thing_that_may_happen_nine_of_them_interesting():
    tasks = playing()
    assert tasks.kinds[:2] == ("go_to_ball", "go_to_key")
    assert tasks.interesting.tolist() == [True] * 9 + [False] * 27
    assert tasks.needs(Playroom().items).tolist() == np.eye(36).tolist()
