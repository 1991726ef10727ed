"""Arithmetic that an agent writes, over named numbers: parsed into a tree of a few kinds of node, and never executed.

    height - 0.1 * abs(speed) * (height > 0.8)

There are numbers, the given names, `+ - * / **`, comparisons (1 if true, else 0; `a < b < c` too), and `FUNCTIONS`.
Numbers are floats of 32 bits, so that no power takes long; what is not defined, such as 0 / 0, is NaN.
"""

import ast
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

LONGEST = 2_000
"""Characters."""
LARGEST = 150
"""Nodes: numbers, names, operators, functions."""
DEEPEST = 64
"""Nodes in nodes."""
MOST = 1e9
"""Of a number in the text."""
TOKEN = re.compile(
    r"\s+|(?P<word>[A-Za-z_]\w*)|(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+(?![\w.])|\*\*|[<>=!]=|[-+*/(),<>]",
    re.ASCII,
)
OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: jnp.add,
    ast.Sub: jnp.subtract,
    ast.Mult: jnp.multiply,
    ast.Div: jnp.divide,
    ast.Pow: jnp.power,
    ast.Lt: jnp.less,
    ast.LtE: jnp.less_equal,
    ast.Gt: jnp.greater,
    ast.GtE: jnp.greater_equal,
    ast.Eq: jnp.equal,
    ast.NotEq: jnp.not_equal,
}
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, jnp.abs),
    "exp": (1, jnp.exp),
    "tanh": (1, jnp.tanh),
    "sqrt": (1, jnp.sqrt),
    "sin": (1, jnp.sin),
    "cos": (1, jnp.cos),
    "minimum": (2, jnp.minimum),
    "maximum": (2, jnp.maximum),
    "where": (3, lambda condition, a, b: jnp.where(condition != 0, a, b)),
}
"""How many arguments each has, and what it is; `where(condition, a, b)` is `a` where the condition is not 0."""


class Unreadable(Exception):
    """A text is no expression; the message says why, in a sentence."""


class Expression(NamedTuple):
    """A text that was read; called with numbers by name, it gives one."""

    text: str
    """The same for the same expression, however it was written."""
    tree: ast.expr

    def __call__(self, numbers: Mapping[str, Array]) -> Array:
        return _value(self.tree, numbers)


def parsed(text: str, names: Collection[str]) -> Expression:
    """The expression that a text is, over the given names.

    Raises:
        Unreadable: it is none.
    """
    if len(text) > LONGEST:
        raise Unreadable(f"the expression has {len(text)} characters; {LONGEST} are allowed")
    for word in _words(text):
        if word not in names and word not in FUNCTIONS:
            raise Unreadable(f"there is no `{word[:60]}`; there are {', '.join([*names, *FUNCTIONS])}")
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = str(error.msg if isinstance(error, SyntaxError) else error)[:100]
        raise Unreadable(f"this is no expression ({why})") from None
    if _depth(tree) > DEEPEST:
        raise Unreadable(f"the expression is nested more than {DEEPEST} deep")
    if (size := sum(isinstance(node, ast.expr) for node in ast.walk(tree))) > LARGEST:
        raise Unreadable(f"the expression has {size} parts; {LARGEST} are allowed")
    if fault := _fault(tree, names):
        raise Unreadable(fault)
    return Expression(ast.unparse(tree), tree)


def _words(text: str) -> list[str]:
    """The names in a text that has nothing but names, decimal numbers and operators: no string, index or attribute."""
    words, place = [], 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            raise Unreadable(f"{text[place : place + 20]!r} is not allowed; only arithmetic is")
        words += [found["word"]] * (found["word"] is not None)
        place = found.end()
    return words


def _depth(tree: ast.expr) -> int:
    """Of nodes in nodes, counted level by level: the tree may be deeper than calls may be."""
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _fault(node: ast.expr, names: Collection[str]) -> str:
    """What of a tree is not allowed, the first thing found; empty: nothing."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return "" if number <= MOST else f"a number is above {MOST:g}"
        case ast.Name(id=name):
            return "" if name in names else f"`{name}` is a function and needs its arguments"
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _fault(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _fault(left, names) or _fault(right, names)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in OPERATORS for op in ops):
            return next(filter(None, (_fault(part, names) for part in (left, *others))), "")
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            count = FUNCTIONS[name][0]
            if len(arguments) != count:
                return f"`{name}` is given {len(arguments)} arguments and takes {count}"
            return next(filter(None, (_fault(argument, names) for argument in arguments)), "")
    return f"`{ast.unparse(node)[:60]}` is not allowed; only arithmetic is"


def _value(node: ast.AST, numbers: Mapping[str, Array]) -> Array:
    match node:
        case ast.Constant(value=number):
            return jnp.float32(number)
        case ast.Name(id=name):
            return numbers[name]
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, numbers)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_value(left, numbers), _value(right, numbers))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_value(part, numbers) for part in (left, *others)]
            true = [OPERATORS[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False)]
            return jnp.prod(jnp.stack(jnp.broadcast_arrays(*true)), axis=0).astype(jnp.float32)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][1](*(_value(argument, numbers) for argument in arguments))
    raise AssertionError(f"a node that was not checked: {ast.dump(node)}")
