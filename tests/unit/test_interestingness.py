import asyncio
import json
from random import Random

import numpy as np
import pytest

from aiga.core.errors import BudgetExceeded, UsageError
from aiga.fm.client import connect
from aiga.fm.messages import ModelFailed
from aiga.fm.offline import Offline
from aiga.judges.interestingness import (
    BORING,
    NEW,
    OPEN,
    TASK,
    UNKNOWN,
    Answers,
    Boring,
    ByAnswers,
    ByModel,
    SameWords,
    load,
    question,
    save,
    walk,
)
from tests.fm_server import Server, fail, fields, said, text

TEXTS = ("cut wood", "cut wood 2 times", "cut stone", "cut stone 2 times")
RULE = SameWords({})


def classify(ask, success, *, texts=TEXTS, parts=None, known=None, seed=0):
    m = len(texts)
    parts = np.arange(m)[:, None].repeat(2, 1) if parts is None else np.array(parts)
    known = np.full((m, m), UNKNOWN, np.int8) if known is None else known
    return asyncio.run(walk(ask, seed, texts, parts, np.array(success, float), known))


def by_rule():
    return ByModel(Offline({TASK: RULE}), "a quarry")


def test_what_succeeds_best_is_interesting_and_makes_the_same_again_boring():
    classes = classify(by_rule(), [0.2, 0.9, 0.5, 0.0])
    assert classes.by.tolist() == [1, 1, 2, 2]
    assert classes.questions == 2


def test_tasks_that_never_succeed_make_nothing_boring():
    classes = classify(by_rule(), [0.0, 0.0, 0.5, 0.0])
    assert classes.by.tolist() == [OPEN, OPEN, 2, 2]


def test_tasks_that_succeed_equally_often_come_in_an_order_of_chance():
    firsts = {int(classify(by_rule(), [0.5] * 4, seed=seed).by[0]) for seed in range(20)}
    assert firsts == {0, 1}


def test_what_is_known_is_not_asked_again():
    first = classify(by_rule(), [0.9, 0.0, 0.5, 0.0])

    async def nobody(seed, given, others):
        raise AssertionError(given)

    again = classify(nobody, [0.9, 0.0, 0.5, 0.0], known=first.known)
    assert again.by.tolist() == first.by.tolist() == [0, 0, 2, 2]
    assert again.questions == 0


def test_a_pair_is_boring_when_both_its_parts_are_classified_and_is_not_asked_about():
    texts, parts = ("cut wood", "cut stone", "cut wood and cut stone"), [(0, 0), (1, 1), (0, 1)]
    asked = []

    async def ask(seed, given, others):
        asked.extend(others)
        return Answers(np.full(len(others), NEW, np.int8))

    assert classify(ask, [0.9, 0.0, 0.0], texts=texts, parts=parts).by.tolist() == [0, OPEN, OPEN]
    assert classify(ask, [0.9, 0.1, 0.0], texts=texts, parts=parts).by.tolist() == [0, 1, 1]
    assert texts[2] not in asked


def test_the_rule_compares_words_but_for_numbers_and_synonyms():
    rule = SameWords({"hew": "cut"})
    facts = ("cut wood 2 times", ("hew wood", "cut wood 7 times", "cut stone", "wood cut"))
    assert rule(Random(0), facts) == Boring([1, 2])


@pytest.mark.parametrize(("mistakes", "boring"), [(0.0, 1), (1.0, 999), (0.1, pytest.approx(100, abs=30))])
def test_the_rule_makes_as_many_mistakes_as_it_is_told(mistakes, boring):
    tasks = ("cut wood", *(f"cut stone of kind {'x' * i}" for i in range(1, 1000)))
    assert len(SameWords({}, mistakes=mistakes)(Random(0), ("cut wood", tasks)).boring) == boring


def test_answers_are_read_as_they_were_written(tmp_path):
    known = classify(by_rule(), [0.9, 0.0, 0.5, 0.0]).known
    save(tmp_path / "answers.json", TEXTS, known)
    assert json.loads((tmp_path / "answers.json").read_text()) == {TEXTS[0]: [TEXTS[1]], TEXTS[2]: [TEXTS[3]]}
    ask = load(tmp_path / "answers.json", TEXTS)
    assert classify(ask, [0.9, 0.0, 0.5, 0.0]).by.tolist() == [0, 0, 2, 2]


def test_of_a_task_that_answers_lack_nothing_is_known():
    answers = asyncio.run(ByAnswers({"cut wood": frozenset()})(0, "cut stone", ["cut wood"]))
    assert answers.said.tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "holds no answers"),
        ("[1]", "holds no answers"),
        ('{"cut wood": 3}', "holds no answers"),
        ('{"dig": []}', "knows none of this world's 4 tasks, such as `cut wood`"),
    ],
)
def test_files_that_hold_no_answers_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "answers.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / "answers.json", TEXTS)


def test_a_question_lists_the_tasks_by_number():
    assert "can already do this: cut wood\n" in question("cut wood", TEXTS[1:])
    assert "\n1. cut wood 2 times\n2. cut stone\n3. cut stone 2 times\n" in question("cut wood", TEXTS[1:])


def test_lists_are_asked_about_side_by_side_and_one_failure_leaves_the_others_known():
    """Three lists of one task each, all in the air at once: the second fails."""
    started = []

    class Slow:
        name = "scripted"

        async def generate(self, messages, *, facts=None, **options):
            started.append(facts)
            while len(started) < 3:
                await asyncio.sleep(0)
            if facts[1] == (TEXTS[2],):
                raise ModelFailed("server", "500")
            return await Offline({TASK: RULE}).generate(messages, facts=facts, **options)

    answers = asyncio.run(ByModel(Slow(), "a quarry", batch=1)(0, TEXTS[0], TEXTS[1:]))
    assert answers.said.tolist() == [BORING, UNKNOWN, NEW]
    assert answers.failures == ("server: given `cut wood`: 500",)


def test_a_budget_that_is_spent_is_no_failure_of_an_answer():
    def spent(rng, facts):
        raise BudgetExceeded("no dollars left")

    with pytest.raises(BudgetExceeded):
        classify(ByModel(Offline({TASK: spent}), "a quarry"), [1.0, 0, 0, 0])


def numbers(request):
    """What a sensible model says: the numbers of the tasks with the same material."""
    asked = said(request)
    given = asked.partition("do this: ")[2].split("\n")[0]
    lines = [line.partition(". ") for line in asked.split("\n") if line[:1].isdigit()]
    return [int(number) for number, _, task in lines if task.split()[1] == given.split()[1]]


def test_a_model_behind_an_address_classifies_tasks_and_what_it_says_badly_stays_open():
    """Wood: JSON within prose.  Stone: numbers that are not in the list.  Clay: no JSON, nor when asked to mend it."""
    texts = (*TEXTS, "cut clay", "cut clay 2 times")

    def script(request):
        given = said(request).partition("do this: ")[2].split("\n")[0]
        if given == "cut wood":
            return text(f"Repetition teaches nothing.\n```json\n{json.dumps({'boring': numbers(request)})}\n```")
        return fields(boring=[99]) if given == "cut stone" else text("All of them, I think.")

    with Server(script) as server:
        ask = ByModel(connect(server.model(), backoff=0.001), "a quarry")
        classes = classify(ask, [0.9, 0.0, 0.5, 0.0, 0.1, 0.0], texts=texts)
    assert classes.by.tolist() == [0, 0, 2, OPEN, 4, OPEN]
    assert [failure.partition(":")[0] for failure in classes.failures] == ["invalid", "invalid"]
    assert (classes.known[[2, 4]] == UNKNOWN).all()
    assert classes.known[0].tolist() == [UNKNOWN, BORING, NEW, NEW, NEW, NEW]


def test_a_server_that_is_busy_is_asked_again():
    answers = iter([fail(429, after=0.001), fail(500), fields(boring=[1])])
    with Server(lambda request: next(answers)) as server:
        ask = ByModel(connect(server.model(), backoff=0.001), "a quarry")
        classes = classify(ask, [0.9, 0.0, 0.0, 0.0])
    assert classes.by.tolist() == [0, 0, OPEN, OPEN]
    assert classes.failures == ()
