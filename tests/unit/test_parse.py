import dataclasses
from typing import Literal

import pytest

from aiga.fm.parse import NotParsed, find, json_schema, parse


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
    name: str
    level: Literal["easy", "hard"]
    points: tuple[Point, ...] = ()
    note: str | None = None


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1.5, "y": 2}',
        '  \n{"x": 1.5, "y": 2}\n',
        '```json\n{"x": 1.5, "y": 2}\n```',
        '```\n{"x": 1.5, "y": 2}\n```',
        'Here it is:\n\n```JSON\n{"x": 1.5, "y": 2}\n```\nI hope that it helps {you}.',
        'Sure! {"x": 1.5, "y": 2} is the point.',
        'The set {1, 2} is not it.\n```json\n{"x": 1.5, "y": 2}\n```',
        '{"x": 1.5, "y": 2, "because": "```json\\n{}\\n```"}',
    ],
)
def test_json_is_found_alone_in_a_fence_or_in_prose(text):
    assert parse(text, Point) == Point(1.5, 2)


def test_nested_dataclasses_choices_and_defaults_come_out_as_they_were_declared():
    task = parse('{"name": "jump", "level": "hard", "points": [{"x": 1}, {"x": 2, "y": 3}]}', Task)
    assert task == Task("jump", "hard", (Point(1.0), Point(2.0, 3)))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON object"),
        ("I would rather not.", "no JSON object"),
        ('{"x": 1.5, "y": 2,}', "not valid JSON: .* at line 1, column 1[89]"),
        ('{"x": 1.5,\n "y": }', r"not valid JSON: Expecting value at line 2, column 7, near"),
        ("{'x': 1.5}", "property name enclosed in double quotes"),
        ('{"x": NaN}', "NaN is not a JSON number"),
        ('{"x": 1.5, "y"', "not valid JSON"),
        ('{"y": 2}', "x: Field required"),
        ('{"x": "1.5"}', "x: Input should be a valid number"),
        ('{"x": 1.5, "y": 2.5}', "y: Input should be a valid integer"),
        ("[1, 2]", "the whole: Input should be"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_nothing_is_mended_and_the_error_says_what_is_wrong_and_where(text, wrong):
    with pytest.raises(NotParsed, match=wrong):
        parse(text, Point)


def test_errors_name_the_place_within_nested_values():
    with pytest.raises(NotParsed, match=r"level: Input should be 'easy' or 'hard'; points\.1\.x: Field required"):
        parse('{"name": "jump", "level": "so-so", "points": [{"x": 1}, {"y": 1}]}', Task)


def test_the_first_value_counts_and_what_follows_does_not():
    assert find('[1, 2] and {"a": 3}') == [1, 2]


def test_the_schema_of_a_dataclass_says_what_is_required():
    schema = json_schema(Point)
    assert (schema["type"], schema["required"], list(schema["properties"])) == ("object", ["x"], ["x", "y"])
