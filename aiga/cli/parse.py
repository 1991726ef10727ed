"""From a signature and the words of a command line to values, or to one sentence about what is wrong with them."""

import contextlib
import dataclasses
import io
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Annotated, Any, Literal, NamedTuple

import docstring_parser
import tyro

from aiga.core.errors import UsageError
from aiga.runs.catalogue import signature, suggest


class Usage(NamedTuple):
    """What a command line may say."""

    summary: str
    parameters: Mapping[str, Parameter]
    descriptions: Mapping[str, str]


def usage(function: Callable[..., Any]) -> Usage:
    """The usage that a function's signature and docstring describe."""
    doc = docstring_parser.parse(function.__doc__ or "")
    summary = " ".join(text for text in (doc.short_description, doc.long_description) if text)
    return Usage(summary, signature(function), {entry.arg_name: entry.description or "" for entry in doc.params})


def parse(prog: str, use: Usage, words: Sequence[str], *, strict: bool = True) -> dict[str, Any]:
    """The values that `words` give to the parameters; `--help` shows the usage and leaves, unless not `strict`.

    Raises:
        UsageError: A value cannot be read, one is missing, or (if `strict`) a word means nothing.
    """
    fields = [_field(parameter, use.descriptions.get(name, "")) for name, parameter in use.parameters.items()]
    model = dataclasses.make_dataclass("Options", fields, kw_only=True)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            values, unknown = tyro.cli(
                model, prog=prog, description=use.summary, args=words, return_unknown_args=True, add_help=strict
            )
    except SystemExit as left:
        if not left.code:
            raise
        raise UsageError(f"{_clause(complaint.getvalue(), prog, use)}; see `{prog} --help`.") from None
    if unknown and strict:
        raise UsageError(_unknown(unknown[0].partition("=")[0], prog, use))
    return {name: getattr(values, name) for name in use.parameters}


def _field(parameter: Parameter, description: str) -> tuple[str, Any, Any]:
    kind, name = parameter.annotation, parameter.name.upper()
    argument = tyro.conf.arg(help=description, metavar=_optional(kind))
    if parameter.kind is Parameter.VAR_POSITIONAL:
        kind, argument = tyro.conf.Positional[tuple[kind, ...]], tyro.conf.arg(help=description, metavar=name)
    elif parameter.kind is Parameter.POSITIONAL_ONLY:
        metavar = name if parameter.default is Parameter.empty else f"[{name}]"
        kind, argument = tyro.conf.Positional[kind], tyro.conf.arg(help=description, metavar=metavar)
    if parameter.default is Parameter.empty:
        return parameter.name, Annotated[kind, argument], dataclasses.field()
    return parameter.name, Annotated[kind, argument], dataclasses.field(default_factory=lambda: parameter.default)


def _optional(kind: Any) -> str | None:
    """What stands for the value of an `X | None` in the help page: X."""
    kinds = typing.get_args(kind)
    if type(None) not in kinds or not all(isinstance(k, type) or typing.get_origin(k) is Literal for k in kinds):
        return None
    return "|".join(_values(kind))


def _values(kind: Any) -> list[str]:
    """What a value may be, other than None: names of types, and words that stand for themselves."""
    if typing.get_origin(kind) is Literal:
        return [str(word) for word in typing.get_args(kind) if word != ""]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [value for k in typing.get_args(kind) if k is not type(None) for value in _values(k)]
    if typing.get_origin(kind) is tuple:  # each of its words is one of these
        return _values(typing.get_args(kind)[0])
    return [getattr(kind, "__name__", str(kind)).upper()]


def _told(words: Sequence[str]) -> str:
    """A list in a sentence."""
    return " or ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)


def _clause(box: str, prog: str, use: Usage) -> str:
    """The message in a box that tyro has drawn, without the box."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]  # below the title
    rules = [line == "" or line.startswith(("──", "---", "╰")) for line in lines]
    start = rules.index(False)
    message = lines[start : rules.index(True, start)]
    clause = re.sub(r"\.\s+(?=[A-Z])", "; ", " ".join(message)).rstrip(".")
    if clause.startswith(("Missing from", "The following arguments are required")):
        needed = [_shown(parameter) for parameter in use.parameters.values() if parameter.default is Parameter.empty]
        missing = [name for name in needed if any(line.partition(" ")[0] == name for line in message)]
        return f"`{prog}` needs {', '.join(missing or needed)}"
    if wrong := re.match(r"Error parsing --([\w-]+): .*'([^']*)'", clause):
        wanted = _values(use.parameters[wrong[1].replace("-", "_")].annotation)
        return f"`--{wrong[1]}` takes {_told(wanted)}, not `{wrong[2]}`"
    if wrong := re.match(r"invalid choice '(.*)' for argument '(?:--)?([\w-]+)';", clause):
        parameter = use.parameters[wrong[2].replace("-", "_").lower()]
        return f"`{_shown(parameter)}` takes {_told(_values(parameter.annotation))}, not `{wrong[1]}`"
    if bare := re.match(r"[Mm]issing value for argument '(--[\w-]+)'", clause):
        return f"`{bare[1]}` needs a value"
    return clause[:1].lower() + clause[1:]


def _shown(parameter: Parameter) -> str:
    """What a parameter is called on the command line."""
    if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
        return parameter.name.upper()
    return f"--{parameter.name.replace('_', '-')}"


def _unknown(word: str, prog: str, use: Usage) -> str:
    if not word.startswith("-"):
        return f"`{prog}` does not know what to do with `{word}`; see `{prog} --help`."
    known = [f"--{name.replace('_', '-')}" for name in use.parameters]
    return f"`{prog}` has no option `{word}`; {suggest(word, known, f'{prog} --help')}."
