import json
import random
import re

import pytest

from aiga.core.errors import UsageError
from aiga.data import arithmetic, grids
from aiga.data.puzzles import Sizes, Task, fresh, score, shown, split
from aiga.data.questions import read

SIZES = Sizes(6, 8, 10)
MAKERS = {"arithmetic": (arithmetic.problem, arithmetic.LEVELS), "grids": (grids.puzzle, grids.LEVELS)}


def task(kind: str, *answers: str) -> Task:
    return Task("t", "?", answers, kind)  # pyright: ignore[reportArgumentType]: the tests give its four kinds


@pytest.mark.parametrize(
    ("kind", "right", "answer", "expected"),
    [
        ("number", "1200", "It costs 3 a day, so Answer: 1,200.", 1.0),
        ("number", "1200", 1200.0, 1.0),
        ("number", "-3", "-3", 1.0),
        ("number", "3", "3 of 4", 0.0),
        ("number", "1", True, 0.0),
        ("number", "1", None, 0.0),
        ("number", "1", [1], 0.0),
        ("number", "1", float("inf"), 0.0),
        ("grid", "[[1, 2], [0, 3]]", [[1, 2], [0, 3]], 1.0),
        ("grid", "[[1, 2], [0, 3]]", "First [[9]], then\n[[1,2],\n [0,3]]", 1.0),
        ("grid", "[[1, 2], [0, 3]]", [[1, 2], [0, 4]], 0.0),
        ("grid", "[[1, 2], [0, 3]]", "[[1, 2], [0,, 3]]", 0.0),
        ("grid", "[[1, 2], [0, 3]]", 5, 0.0),
        ("choice", "B", "I think so.\n(B)", 1.0),
        ("choice", "B", "B. Paris", 1.0),
        ("choice", "B", "Not A but B", 0.0),
        ("choice", "B", 2, 0.0),
        ("span", "the Red Sea", "Red sea!", 1.0),
        ("span", "Red Sea", "the sea", 2 / 3),
        ("span", "Red Sea", {"x": 1}, 0.0),
    ],
)
def test_answers_are_scored(kind, right, answer, expected):
    assert score(task(kind, right), answer) == pytest.approx(expected)


def test_an_answer_that_is_made_to_take_long_does_not():
    assert score(task("grid", "[[1]]"), "[[" * 60_000) == 0.0
    assert score(task("number", "1"), "1" * 200_000) == 0.0


def test_the_best_of_several_right_answers_counts():
    assert score(task("span", "1990", "the year 1990"), "1990") == 1.0


@pytest.mark.parametrize("name", MAKERS)
def test_splits_share_no_question_and_follow_from_the_seed(name):
    maker, levels = MAKERS[name]
    splits = fresh(maker, SIZES, 3, levels)
    parts = [splits.search, splits.select, splits.report.open("a")]
    assert [len(part) for part in parts] == list(SIZES)
    assert len({t.question for part in parts for t in part}) == sum(SIZES)
    assert len({t.name for part in parts for t in part}) == sum(SIZES)
    again = fresh(maker, SIZES, 3, levels)
    assert (again.search, again.select, again.report.open("a")) == tuple(parts)
    assert fresh(maker, SIZES, 4, levels).search != splits.search
    assert {t.difficulty for t in splits.search} == set(range(1, levels + 1))


@pytest.mark.parametrize("name", MAKERS)
def test_right_answers_are_right_and_wrong_ones_wrong(name):
    maker, levels = MAKERS[name]
    for seed in range(30):
        made = maker(random.Random(seed), 1 + seed % levels)
        assert score(made, made.answers[0]) == 1.0
        assert made.wrong
        assert all(score(made, text) == 0.0 for text in made.wrong)
        assert set(shown(made)) == {"question"}


def test_a_story_says_what_its_answer_counts():
    """By hand, from the sentences alone."""
    for seed in range(60):
        made, number = arithmetic.problem(random.Random(seed), 4), 0
        for sentence in made.question.split(". ")[:-1]:
            numbers = [int(x) for x in re.findall(r"\d+", sentence)]
            if " has " in sentence and "already" not in sentence:
                number = numbers[0]
            elif "buys" in sentence:
                number += numbers[0]
            elif "gives" in sentence and "already" not in sentence:
                number -= numbers[0]
            elif "bags" in sentence:
                number += numbers[0] * numbers[1]
            elif "shares" in sentence:
                number = number % numbers[0] + numbers[1]
            elif "Half" in sentence:
                number //= 2
            else:
                number *= 3
        assert str(number) == made.answers[0], made.question


def test_grids_are_composed_in_order():
    assert grids.composed(["flip", "mirror"], [[1, 2], [3, 4]]) == [[4, 3], [2, 1]]
    assert grids.fall([[1, 2], [0, 3]]) == [[0, 2], [1, 3]]
    assert grids.recoloured([[0, 1, 4]]) == [[0, 2, 1]]
    assert grids.TRANSFORMATIONS["border"]([[2] * 3] * 3) == [[1, 1, 1], [1, 2, 1], [1, 1, 1]]
    assert grids.TRANSFORMATIONS["double"]([[1, 2]]) == [[1, 2, 1, 2]]
    assert grids.transpose([[1, 2]]) == [[1], [2]]


def test_the_report_is_opened_for_one_choice_only():
    sealed = fresh(arithmetic.problem, SIZES, 0, 4).report
    assert sealed.open("one") == sealed.open("one")
    with pytest.raises(UsageError, match="opened for another choice already"):
        sealed.open("two")


def test_too_few_questions_for_the_splits_are_refused():
    few = [task("number", "1")._replace(question=str(i % 20)) for i in range(40)]
    with pytest.raises(UsageError, match=r"few\.tsv has 20 different questions, and the splits ask for 24"):
        split(few, SIZES, 0, "few.tsv")


def pairs(*answers: dict) -> dict:
    return {"p": {"passage": "Ann won in 1990.", "qa_pairs": [{"question": "When?", "answer": a} for a in answers]}}


GOOD = {
    "choice": ('{"question": "Capital?", "choices": ["Rome", "Oslo"], "answer": "B"}\n\n', "B"),
    "mgsm": ("How many?\t1,200\n", "1,200"),
    "drop": (
        json.dumps(pairs({"number": "", "spans": [], "date": {"day": "", "month": "May", "year": "1990"}})),
        "May 1990",
    ),
    "gpqa": (
        "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\nWhy?,this,that,those,it\n",
        None,
    ),
    "arc": (
        json.dumps({"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]}),
        "[[4]]",
    ),
}


@pytest.mark.parametrize("source", GOOD)
def test_files_of_benchmarks_are_read(source, tmp_path):
    path = tmp_path / "file"
    path.write_text(GOOD[source][0])
    [made] = read(source, path)
    right = GOOD[source][1] or next(letter for letter in "ABCD" if f"{letter}. this" in made.question)
    assert made.answers == (right,)
    assert made.name == f"{source}-1"
    assert score(made, right) == 1.0


def test_a_folder_of_puzzles_is_read_in_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(GOOD["arc"][0].replace("[[3]]", json.dumps([[ord(name)]])))
    assert [f"Input: [[{ord(name)}]]" in made.question for name, made in zip("ab", read("arc", tmp_path), strict=True)]


@pytest.mark.parametrize(
    ("source", "text", "sentence"),
    [
        (
            "choice",
            '{"question": "?", "choices": ["x", "y"], "answer": "B"}\n{"question": ',
            "at line 2 .*give lines like",
        ),
        ("choice", '{"question": "?", "choices": ["x", "y"], "answer": "C"}', "2 choices of which number 3 is right"),
        ("choice", '{"question": "?", "choices": ["x"], "answer": 0}', "1 choices"),
        ("choice", '["x"]', "at line 1"),
        ("mgsm", "a question without a tab", "a question, a tab and a number"),
        ("mgsm", "how many?\tsome", "could not convert"),
        ("drop", "[1, 2]", "qa_pairs"),
        ("gpqa", "Question,Correct Answer\nWhy?,this\n", "at row 1 .*Incorrect Answer 1 to 3"),
        ("arc", "{}", "at file .*lists of"),
        ("mgsm", "", "has no question"),
    ],
)
def test_a_broken_file_is_answered_with_where_and_why(source, text, sentence, tmp_path):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read(source, path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="none does not exist: give the file of `mgsm`"):
        read("mgsm", tmp_path / "none")
