"""What a model can do, by trying: one cheap call for each capability."""

import dataclasses
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from aiga.core.errors import UsageError
from aiga.fm import embed
from aiga.fm.cache import Memory
from aiga.fm.client import Client, connect
from aiga.fm.messages import Message, ModelFailed, Tool

ADD = Tool(
    "add",
    "Adds two whole numbers.",
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]},
)
EMBEDDINGS = {"openai": "openai:text-embedding-3-small", "google": "google:gemini-embedding-001"}
"""What embeds at a provider whose models that talk do not."""


@dataclasses.dataclass(frozen=True)
class Sum:
    """What is asked for with a schema."""

    value: int


class Row(NamedTuple):
    """One capability."""

    capability: str
    state: Literal["ok", "no", "failed"]
    """`no`: the model does without; `failed`: the call did not get that far."""
    latency: float
    """Seconds, of all attempts."""
    usd: float
    detail: str


async def check(name: str, *, embedding: str | None = None, timeout: float | int = 60.0) -> list[Row]:
    """Try text, schema, tool, logprobs, image and embedding, one after the other.

    Args:
        name: Of the model, as `connect` takes it.
        embedding: Of the model that embeds; None: a usual one of the provider, or the model itself.
        timeout: Seconds for a call.

    Raises:
        UsageError: No call can be made: no key, a wrong one, an unknown model.
    """
    calls = Memory()
    model = connect(name, calls=calls, timeout=timeout, retries=1, max_tokens=1024)
    tests: dict[str, Callable[[Client], Awaitable[str]]] = {
        "text": _text,
        "schema": _schema,
        "tool": _tool,
        "logprobs": _logprobs,
        "image": _image,
    }
    rows = [await _row(capability, lambda test=test: test(model), calls) for capability, test in tests.items()]
    return [*rows, await _embedding(embedding or EMBEDDINGS.get(name.partition(":")[0], name), calls, timeout)]


async def _row(capability: str, test: Callable[[], Awaitable[str]], calls: Memory) -> Row:
    before = len(calls.attempts)
    try:
        wrong = await test()
        state, detail = ("no", wrong) if wrong else ("ok", "")
    except ModelFailed as error:
        state = "no" if error.kind in ("rejected", "invalid") else "failed"
        detail = str(error)
    seconds = sum(call.seconds for call in calls.attempts[before:])
    return Row(capability, state, seconds, sum(call.usd for call in calls.attempts[before:]), detail)


async def _text(model: Client) -> str:
    reply = await model.generate(_user("Say the word ready and nothing else."), seed=0, task="check/text")
    return "" if "ready" in reply.text.lower() else f"said {reply.text[:40]!r}, not `ready`"


async def _schema(model: Client) -> str:
    question = _user("What is 17 + 25? Answer with the JSON object of the schema.")
    reply = await model.generate(question, seed=0, task="check/schema", schema=Sum)
    return "" if reply.parsed == Sum(42) else f"said {reply.text[:40]!r}, not 42"


async def _tool(model: Client) -> str:
    question = _user("Use the tool to add 17 and 25.")
    reply = await model.generate(question, seed=0, task="check/tool", tools=[ADD])
    return "" if [call.name for call in reply.calls] == ["add"] else "did not ask for the tool"


async def _logprobs(model: Client) -> str:
    question = _user("Is water wet? Answer yes or no.")
    reply = await model.generate(question, seed=0, task="check/logprobs", logprobs=3)
    return "" if reply.logprobs else "the reply has none: judges ask for a rating instead"


async def _image(model: Client) -> str:
    question = _user("Which colour has this picture? Answer with one word.")
    reply = await model.generate(question, seed=0, task="check/image", images=[red()])
    return "" if "red" in reply.text.lower() else f"said {reply.text[:40]!r} of a red picture"


async def _embedding(name: str, calls: Memory, timeout: float | int) -> Row:
    async def test() -> str:
        vectors = await embedder.embed(["a cat", "a kitten", "a tax return"])
        near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
        return "" if near > far else "a cat is not nearer to a kitten than to a tax return"

    try:
        embedder = embed.connect(name, calls=calls, timeout=timeout, retries=1)
        row = await _row("embedding", test, calls)
    except UsageError as error:
        return Row("embedding", "no", 0.0, 0.0, str(error))
    return row._replace(detail=row.detail or f"by {name}")


def _user(text: str) -> list[Message]:
    return [Message("user", text)]


def red(size: int = 32) -> bytes:
    """A red picture, as a PNG file."""
    rows = (b"\0" + b"\xff\0\0" * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
