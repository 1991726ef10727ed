"""What is said to a foundation model and what it answers: the protocol `FM` and its values."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np


class ToolCall(NamedTuple):
    """A model asks for a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any]


class Tool(NamedTuple):
    """What a model may ask for."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    """The tools that an assistant's turn asks for."""
    answers: str = ""
    """Of a `tool` turn: the id of the call that it answers."""


class Usage(NamedTuple):
    """Tokens of one call."""

    tokens_in: int = 0
    tokens_out: int = 0


class Token(NamedTuple):
    """A token of a reply, and what might have stood in its place."""

    text: str
    logprob: float
    top: Mapping[str, float]
    """The likeliest tokens there and their natural log-probabilities."""


class Reply(NamedTuple):
    """What a model answered."""

    text: str
    parsed: Any = None
    """An instance of the schema, if one was asked for."""
    calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Token, ...] | None = None
    """None: not asked for, or the provider gives none."""
    usage: Usage = Usage()
    cost: float = 0.0
    """Dollars, of all the attempts that this reply took when it was first given."""
    finish: Literal["stop", "length", "tool", "filter"] = "stop"
    cached: bool = False
    model: str = ""


class ModelFailed(Exception):
    """A call that got no usable reply, after all retries: for a system the failure of a candidate, hence a value."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """`rate`, `server`, `timeout`, `cut`, `malformed`, `empty`, `length`, `invalid`, `filter` or `rejected`."""


@runtime_checkable
class FM(Protocol):
    """A foundation model."""

    @property
    def name(self) -> str:
        """`PROVIDER:MODEL`; `offline` for a grammar proposer."""
        ...

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        seed: int,
        task: str = "",
        facts: Any = None,
        schema: type | None = None,
        tools: Sequence[Tool] | None = None,
        images: Sequence[bytes] | None = None,
        logprobs: int | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Reply:
        """The reply to a conversation.

        Args:
            messages: The conversation.
            seed: Of two calls alike in all else, what makes them two; also given to providers that take a seed.
            task: What the call is for, such as `adas/propose`: calls are counted by it, and proposers chosen by it.
            facts: What an offline proposer goes by in place of the text; no model ever sees it.
            schema: A frozen dataclass of plain fields that the reply must fit.
            tools: What the model may ask for.
            images: PNG files that go with the last message.
            logprobs: How many of the likeliest tokens to tell, for each token of the reply.
            temperature: None: the provider's.
            max_tokens: Of the reply; None: the client's limit.

        Raises:
            ModelFailed: No usable reply came.
            BudgetExceeded: There is no money, no token or no call left.
            UsageError: No key, a wrong key, an unknown model.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors of length one."""

    @property
    def name(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d), float32, one row a text."""
        ...
