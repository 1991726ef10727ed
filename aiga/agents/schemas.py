"""JSON schemas as tools have them, without references: a schema that a provider's client refuses would end the run."""

from collections.abc import Callable, Mapping
from typing import Any

KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")


def plain(schema: Any) -> bool:
    """Whether a value is a schema of known words, each used as it is meant."""
    return isinstance(schema, dict) and all(key in WORDS and WORDS[key](value) for key, value in schema.items())


def _kind(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(kind in KINDS for kind in kinds)


def _properties(value: Any) -> bool:
    return isinstance(value, dict) and all(map(plain, value.values()))


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(plain, value))


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _choices(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not any(isinstance(choice, dict | list) for choice in value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _truth_or_schema(value: Any) -> bool:
    return isinstance(value, bool) or plain(value)


def _anything(value: Any) -> bool:
    del value
    return True


WORDS: Mapping[str, Callable[[Any], bool]] = {
    "type": _kind,
    "properties": _properties,
    "required": _names,
    "additionalProperties": _truth_or_schema,
    "items": plain,
    "enum": _choices,
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _schemas),
    **dict.fromkeys(("title", "description", "format", "pattern"), _text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _number),
    "uniqueItems": _truth,
    "default": _anything,
}
