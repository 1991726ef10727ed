"""Texts of a run: a state holds their names, sixteen bytes each, and the run's blob store holds the texts."""

import hashlib
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

Name = UInt8[np.ndarray, "16"]


@runtime_checkable
class Texts(Protocol):
    """Keeps texts by their content."""

    def put(self, text: str) -> Name:
        """Keep a text, once however often it is put."""
        ...

    def get(self, name: Name) -> str: ...


@runtime_checkable
class Finished(Protocol):
    """Keeps what was finished and cannot be had again for nothing, so that a resumed run does not do it twice."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, text: str) -> None: ...


class Recent:
    """What was finished, for as long as this object lives: what a system uses that is not run by the loop."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self._texts.get(key)

    def put(self, key: str, text: str) -> None:
        self._texts[key] = text


class Memory:
    """Texts for as long as this process lives: what a system uses that is not run by the loop."""

    _texts: ClassVar[dict[bytes, str]] = {}

    def put(self, text: str) -> Name:
        name = digest(text.encode())
        self._texts[name.tobytes()] = text
        return name

    def get(self, name: Name) -> str:
        return self._texts[np.asarray(name).tobytes()]


def visible(text: str) -> str:
    """A text of unknown origin, with every letter that steers a terminal or turns the direction of reading written out.

    Line feeds and tabs stay; ESC becomes `\\x1b`, a right-to-left override `\\u202e`.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def digest(data: bytes) -> Name:
    """The name of some content: half of its SHA-256."""
    return np.frombuffer(hashlib.sha256(data).digest()[:16], np.uint8)


def hexadecimal(name: Name) -> str:
    """A name as the id of a blob."""
    return np.asarray(name).tobytes().hex()
