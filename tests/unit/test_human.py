import asyncio
import json
import os
import re
import sys

import numpy as np
import pytest
from terminal import person

from aiga.core.errors import UsageError
from aiga.judges import human
from aiga.judges.human import Questions, at_terminal, from_file, simulated
from aiga.judges.pictures import COLUMNS, ROWS, drawing, page

PLACES = [
    [(0.5, 0.5), (0.6, 0.5), (0.9, 0.5)],
    [(0.5, 0.5), (0.4, 0.4), (0.8, 0.2)],
    [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
]
QUESTIONS = Questions(
    lines=np.array([[[(0.5, 0.5), end] for end in ends] for ends in PLACES]),
    walls=np.array([[(0.0, 0.0), (0.0, 1.0)]]),
    first=7,
)
"""By where the lines end, B is closer to the third reference, and A to the others."""


def ask(judge):
    return asyncio.run(judge(QUESTIONS)).tolist()


def test_the_simulated_judge_compares_where_the_lines_end():
    assert ask(simulated()) == [1, 1, -1]


def test_the_simulated_judge_errs_on_a_share_of_all_questions_always_the_same():
    many = QUESTIONS._replace(lines=np.random.default_rng(0).random((2000, 3, 2, 2)))
    right = asyncio.run(simulated()(many))
    wrong = asyncio.run(simulated(mistakes=0.2)(many)) != right
    assert abs(wrong.mean() - 0.2) < 0.03
    assert (wrong == (asyncio.run(simulated(mistakes=0.2)(many)) != right)).all()


def test_a_question_is_named_by_its_number_and_its_pictures():
    names = QUESTIONS.names
    assert [name.partition("-")[0] for name in names] == ["7", "8", "9"]
    assert all(re.fullmatch(r"\d+-[0-9a-f]{8}", name) for name in names)
    assert QUESTIONS._replace(lines=QUESTIONS.lines + 1e-5).names == names
    assert not set(QUESTIONS._replace(lines=QUESTIONS.lines[:, ::-1]).names) & set(names)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_answers_and_its_last_answer_to_a_question_counts(kind, tmp_path):
    path = tmp_path / f"answers.{kind}"
    for name, answer in zip([*QUESTIONS.names, QUESTIONS.names[0]], ["A", "skip", "B", "B"], strict=True):
        human.append(path, name, answer)
    assert ask(from_file(path)) == [-1, 0, -1]


def test_a_file_may_come_from_a_spreadsheet(tmp_path):
    path = tmp_path / "answers.csv"
    rows = [f"{name} , {answer}" for name, answer in zip(QUESTIONS.names, ["a", "B", "SKIP"], strict=True)]
    path.write_text("\ufeffquestion,answer\r\n" + "\r\n\r\n".join(rows), encoding="utf-8")
    assert ask(from_file(path)) == [1, -1, 0]


def test_open_questions_are_named_and_written_to_be_answered(tmp_path):
    path = tmp_path / "answers.csv"
    human.append(path, QUESTIONS.names[1], "A")
    with pytest.raises(UsageError, match=rf"no answer to question {QUESTIONS.names[0]} and 1 more.*aiga resume"):
        ask(from_file(path))
    rows = [json.loads(line) for line in (tmp_path / "answers.questions.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [QUESTIONS.names[0], QUESTIONS.names[2]]
    assert rows[1]["reference"][-1] == [0.0, 0.0]
    assert rows[1]["B"][-1] == [0.0, 1.0]
    shown = (tmp_path / "answers.questions.html").read_text()
    assert re.findall('data-question="([^"]+)"', shown) == [QUESTIONS.names[0], QUESTIONS.names[2]]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("answers.csv", "question,answer\n7-00000000,yes\n", "line 2, says 'yes' to question '7-00000000'.*A, B, skip"),
        ("answers.csv", "7-00000000\n", "line 1 has 1 columns"),
        ("answers.jsonl", "{", "cannot be read"),
        ("answers.jsonl", "[1]\n", "line 1 is not an object"),
        ("answers.csv", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_damaged_file_is_a_usage_error(name, content, complaint, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=complaint):
        ask(from_file(tmp_path / name))


@pytest.mark.parametrize("judge", [from_file, at_terminal])
def test_answers_are_kept_as_csv_or_json_lines(judge, tmp_path):
    with pytest.raises(UsageError, match=r"ends with \.csv or \.jsonl"):
        judge(tmp_path / "answers.txt")


def test_a_person_at_the_terminal_answers_with_single_keys(tmp_path):
    path = tmp_path / "answers.csv"
    with person(b"xa", b"B", b"s") as seen:  # x means nothing
        assert ask(at_terminal(path)) == [1, -1, 0]
    rows = [f"{name},{answer}" for name, answer in zip(QUESTIONS.names, ["A", "B", "skip"], strict=True)]
    assert path.read_text().splitlines() == ["question,answer", *rows]
    assert "question 3 of 3" in seen[2]
    assert "reference" in seen[2]


@pytest.mark.parametrize("stop", [b"q", b"\x03", b"\x04"], ids=["q", "Ctrl-C", "Ctrl-D"])
def test_a_person_may_stop_and_is_asked_only_the_rest_later(stop, tmp_path):
    path = tmp_path / "answers.jsonl"
    with person(b"b", stop), pytest.raises(UsageError, match=r"1 of the 3 answers .* are in .*aiga resume"):
        ask(at_terminal(path))
    with person(b"a", b"a"):
        assert ask(at_terminal(path)) == [-1, 1, 1]
    assert ask(from_file(path)) == [-1, 1, 1]
    assert ask(at_terminal(path)) == [-1, 1, 1]  # nobody types


def test_where_nobody_can_type_the_mend_is_named(tmp_path, monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(UsageError, match=rf"{QUESTIONS.names[0]} is for a person.*--judge file"):
            ask(at_terminal(tmp_path / "answers.csv"))


def test_a_drawing_has_a_beginning_an_end_and_walls():
    text = drawing(np.array([(0.01, 0.01), (0.99, 0.99)]), np.array([[(0.0, 0.0), (0.0, 1.0)]])).splitlines()
    assert len(text) == ROWS
    assert {len(row) for row in text} == {COLUMNS}
    assert text[-1][0] == "o"
    assert text[0][-1] == "X"
    assert all(row[0] != "\u2800" for row in text[:-1])  # the wall
    assert text[-1][-1] == "\u2800"  # nothing there


def test_the_page_names_the_file_that_the_answers_are_for(tmp_path):
    shown = page(QUESTIONS.names, QUESTIONS.lines, QUESTIONS.walls, tmp_path / "my<answers>.csv")
    assert "my&lt;answers&gt;.csv" in shown
    assert "<answers>" not in shown
    assert shown.count("<svg") == 9
