"""What is stored of a call to a model: enough to play it again, and to tell what was said and what it cost."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from aiga.fm.messages import Message, Reply, Token, Tool, ToolCall, Usage


class Request(NamedTuple):
    """All that a provider is told."""

    model: str
    messages: tuple[Message, ...]
    seed: int
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply."""
    tools: tuple[Tool, ...] = ()
    images: tuple[bytes, ...] = ()
    shown: int = 0
    """The place of the message that the images go with."""
    logprobs: int | None = None
    temperature: float | None = None
    max_tokens: int = 4096


class Call(NamedTuple):
    """One attempt at a call."""

    key: str
    """Names the request: `key`."""
    attempt: int
    """From 1; a run that was killed in the middle of a call begins again at 1."""
    task: str
    model: str
    request: str
    """JSON; images by their SHA-256."""
    outcome: str
    """`ok`, or the kind of failure: see `ModelFailed`."""
    reply: str
    """JSON of what was answered, or of what is known of the failure."""
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float
    final: bool = False
    """Whether this attempt ended the call, well or not: what a replay answers from."""


@runtime_checkable
class Calls(Protocol):
    """Keeps attempts."""

    def get(self, key: str) -> Call | None:
        """The final attempt at a request, if there was one."""
        ...

    def put(self, call: Call) -> None: ...


class Memory:
    """Calls for as long as this process lives."""

    def __init__(self) -> None:
        self.attempts: list[Call] = []
        self._final: dict[str, Call] = {}

    def get(self, key: str) -> Call | None:
        return self._final.get(key)

    def put(self, call: Call) -> None:
        self.attempts.append(call)
        if call.final:
            self._final[call.key] = call


def written(request: Request) -> str:
    """A request as canonical JSON: equal texts, equal requests."""
    images = [hashlib.sha256(image).hexdigest() for image in request.images]
    fields = {
        **request._asdict(),
        "images": images,
        "messages": [_message(message) for message in request.messages],
        "tools": [tool._asdict() for tool in request.tools],
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def key(request: str) -> str:
    """The name of a written request."""
    return hashlib.sha256(request.encode()).hexdigest()


def written_reply(reply: Reply) -> str:
    """A reply as JSON, without what is parsed from its text."""
    tokens = None if reply.logprobs is None else [[*token[:2], dict(token.top)] for token in reply.logprobs]
    calls = [call._asdict() for call in reply.calls]
    fields = {"text": reply.text, "calls": calls, "logprobs": tokens, "finish": reply.finish, "model": reply.model}
    return json.dumps({**fields, "usage": list(reply.usage), "cost": reply.cost})


def read_reply(text: str) -> Reply:
    """The reply that was written."""
    fields = json.loads(text)
    tokens = fields["logprobs"]
    return Reply(
        text=fields["text"],
        calls=tuple(ToolCall(**call) for call in fields["calls"]),
        logprobs=None if tokens is None else tuple(Token(*token) for token in tokens),
        usage=Usage(*fields["usage"]),
        cost=fields["cost"],
        finish=fields["finish"],
        cached=True,
        model=fields["model"],
    )


def _message(message: Message) -> Mapping[str, Any]:
    calls: Sequence[Any] = [call._asdict() for call in message.calls]
    return {"role": message.role, "text": message.text, "calls": calls, "answers": message.answers}
