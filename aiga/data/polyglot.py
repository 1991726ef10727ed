"""polyglot-lite: 60 small programming tasks in Python, to be repaired, finished or extended, with hidden cases.

All were written for this project.  A task is a file of `polyglot_tasks`, `SPLIT_NUMBER_NAME.toml`: what is shown, the
files to begin with, and the hidden cases, one a line:

    stack.Stack([1]).pop() == 1
    s = stack.Stack(); s.push(2); s.size == 1; s.pop() == 2; s.pop() is IndexError
    run("main.py", "--count", stdin="a b") == {"code": 0, "out": "2\\n"}

Steps are separated by `;`, also over lines.  `== value` is what must come of a step, `is NAME` the exception, itself
or a base of it; other steps must raise nothing.  The lines are read here, and never executed as they stand.
"""

import ast
import json
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

PLACE = Path(__file__).parent / "polyglot_tasks"


class Step(NamedTuple):
    """One step of a case, and what only we know of it."""

    text: str
    """As it is written, without what is expected."""
    does: dict[str, Any]
    """An expression as JSON: `value`, `name`, `attribute` with `of`, or `call` with `args` and `options`."""
    keep: str = ""
    """The variable that its value is kept as."""
    checked: bool = False
    """Whether `want` counts."""
    want: Any = None
    raises: str = ""
    """The exception that is expected."""


Case = tuple[Step, ...]
"""Steps in one process."""


class Exercise(NamedTuple):
    """A task, and what only we know of it."""

    name: str
    split: str
    """`search`, `select` or `report`."""
    difficulty: int
    """From 1 to 3."""
    kind: str
    """`implement`, `repair` or `extend`."""
    statement: str
    files: dict[str, str]
    """What there is to begin with; those that are named `test_*.py` are shown tests."""
    cases: tuple[Case, ...]


@lru_cache(maxsize=1)
def exercises() -> tuple[Exercise, ...]:
    """All tasks, in the order of their split, `search` first."""
    order = ["search", "select", "report"]
    return tuple(sorted(map(_read, sorted(PLACE.glob("*.toml"))), key=lambda exercise: order.index(exercise.split)))


def _read(path: Path) -> Exercise:
    split, _, name = path.stem.split("_", 2)
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return Exercise(
        name=name.replace("_", "-"),
        split=split,
        difficulty=table["difficulty"],
        kind=table["kind"],
        statement=table["statement"].strip(),
        files=table["files"],
        cases=cases(table["cases"]),
    )


def cases(text: str) -> tuple[Case, ...]:
    """Cases as they are written in a task's file."""
    lines = text.strip().replace(";\n", "; ").splitlines()
    return tuple(tuple(map(_step, ast.parse(line).body)) for line in lines if line.strip())


def _step(node: ast.stmt) -> Step:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return Step(ast.unparse(node), _expression(node.value), keep=node.targets[0].id)
    assert isinstance(node, ast.Expr), ast.unparse(node)
    if not isinstance(node.value, ast.Compare):
        return Step(ast.unparse(node), _expression(node.value))
    left, operator, right = node.value.left, node.value.ops[0], node.value.comparators[0]
    step = Step(ast.unparse(left), _expression(left), checked=True)
    if isinstance(operator, ast.Is) and isinstance(right, ast.Name):
        return step._replace(raises=right.id)
    assert isinstance(operator, ast.Eq), ast.unparse(node)
    return step._replace(want=json.loads(json.dumps(ast.literal_eval(right))))


def _expression(node: ast.expr) -> dict[str, Any]:
    match node:
        case ast.Name(id=name):
            return {"name": name}
        case ast.Attribute(value=value, attr=name):
            return {"attribute": name, "of": _expression(value)}
        case ast.Call(func=function, args=args, keywords=options):
            return {
                "call": _expression(function),
                "args": [_expression(argument) for argument in args],
                "options": {str(option.arg): _expression(option.value) for option in options},
            }
        case _:
            return {"value": ast.literal_eval(node)}
