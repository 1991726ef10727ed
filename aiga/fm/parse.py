"""From the text of a reply to an instance of a dataclass, or to the sentence that says what is wrong with it."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

FENCE = re.compile(r"```[ \t]*(?:json)?[ \t]*\n", re.IGNORECASE)


class NotParsed(Exception):
    """The reply does not fit; the message tells the model why."""


@functools.cache
def json_schema(schema: type) -> Mapping[str, Any]:
    """The JSON schema of a dataclass."""
    return _adapter(schema).json_schema()


def parse(text: str, schema: type) -> Any:
    """The instance of the dataclass that a reply states: all of it, in a fence, or the first JSON in some prose.

    Nothing is mended: a trailing comma, a number in quotes or a missing field is an error.
    """
    import pydantic

    value = find(text)
    try:
        return _adapter(schema).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in error.errors()]
        raise NotParsed("The JSON does not fit the schema. " + "; ".join(wrong[:5])) from None


def find(text: str) -> Any:
    """The JSON value in a reply."""
    body = text.strip()
    fence = None if body.startswith(("{", "[")) else FENCE.search(body)
    starts = [body.find(bracket, fence.end() if fence else 0) for bracket in "{["]
    start = min((place for place in starts if place >= 0), default=-1)
    if start < 0:
        raise NotParsed("There is no JSON object in the reply.")
    try:
        return json.JSONDecoder(parse_constant=_refuse).raw_decode(body, start)[0]
    except json.JSONDecodeError as error:
        near = body[max(0, error.pos - 20) : error.pos + 20]
        raise NotParsed(
            f"The reply is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}, near {near!r}."
        ) from None
    except RecursionError:
        raise NotParsed("The JSON is nested too deeply.") from None


def _refuse(name: str) -> Any:
    raise NotParsed(f"The reply is not valid JSON: {name} is not a JSON number.")


@functools.cache
def _adapter(schema: type) -> Any:
    import pydantic

    return pydantic.TypeAdapter(schema)
