"""A server on loopback that speaks as OpenAI's, Anthropic's and Google's do, and answers, or fails, by a script.

    from tests.fm_server import Server, fail, said, text

    def script(request):                               # the request's JSON, as it came
        return text("4") if "2 + 2" in said(request) else fail(429, after=0.01)

    with Server(script) as server:
        fm = connect(server.model(), backoff=0.001)    # "http://127.0.0.1:PORT/v1#test-model"
        asyncio.run(...)
    assert server.requests == {"ok": 1, "429": 1}      # the server's own count

To come here as `openai:...`, `anthropic:...` and `google:...`, put `Server.environment()` into os.environ.
A script is called by one thread, one request after the other; an exception in it answers 500 and is raised again when
the server closes.
"""

import asyncio
import base64
import hashlib
import json
import math
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

Request = dict[str, Any]
DOLLARS = {"gpt-4o-mini": (0.15e-6, 0.6e-6), "claude-haiku-4-5": (1e-6, 5e-6), "gemini-2.5-flash": (0.3e-6, 2.5e-6)}
"""The server's own prices of a token in and a token out; all other models are free."""


class Answer(NamedTuple):
    """What the server does about a request."""

    text: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    tokens: tuple[tuple[str, Mapping[str, float]], ...] | None = None
    """Tokens with the log-probabilities of what might have stood there."""
    finish: str = "stop"
    usage: tuple[int, int] | None = None
    """Tokens in and out; None: a quarter of the characters."""
    status: int = 200
    after: float | None = None
    """Seconds of the Retry-After header."""
    way: str = "whole"
    """`whole`, `cut`, `stall` or `malformed`."""
    delay: float = 0.0
    """Seconds before anything is sent."""


def text(said: str, *, delay: float = 0.0, usage: tuple[int, int] | None = None) -> Answer:
    return Answer(said, delay=delay, usage=usage)


def fields(**values: Any) -> Answer:
    """A reply to a request with a schema."""
    return Answer(json.dumps(values))


def call(name: str, **arguments: Any) -> Answer:
    """The model asks for a tool."""
    return Answer(calls=((name, arguments),), finish="tool")


def choice(**logprobs: float) -> Answer:
    """One token, the likeliest of those given."""
    token = max(logprobs, key=lambda name: logprobs[name])
    return Answer(token, tokens=((token, logprobs),))


def length(said: str = "") -> Answer:
    """The limit was reached; with nothing said, by thinking."""
    return Answer(said, finish="length")


def empty() -> Answer:
    return Answer("")


def filtered() -> Answer:
    return Answer("", finish="filter")


def fail(status: int, after: float | None = None) -> Answer:
    return Answer(status=status, after=after)


def stall() -> Answer:
    """Say nothing until the other side gives up."""
    return Answer(way="stall")


def cut(said: str = "a reply that breaks off") -> Answer:
    """Close the connection in the middle."""
    return Answer(said, way="cut")


def malformed() -> Answer:
    """Half of the JSON, with a content length to match."""
    return Answer("a reply that cannot be read", way="malformed")


def said(request: Request) -> str:
    """All that the request says: instructions and turns, in order."""
    parts = [request[key] for key in ("system", "systemInstruction") if key in request]
    parts += [message.get("content") for message in request.get("messages", [])]
    return "\n".join(_texts([*parts, *request.get("contents", [])]))


def images(request: Request) -> list[bytes]:
    """The pictures of the request."""
    found = []
    for message in [*request.get("messages", []), *request.get("contents", [])]:
        content = message.get("content") or message.get("parts")
        for part in content if isinstance(content, list) else []:
            if "inlineData" in part:
                found.append(base64.b64decode(part["inlineData"]["data"]))
            if part.get("type") == "image_url":
                found.append(base64.b64decode(part["image_url"]["url"].partition("base64,")[2]))
            if part.get("type") == "image":
                found.append(base64.b64decode(part["source"]["data"]))
    return found


def vector(said: str, dimensions: int = 8) -> list[float]:
    """An embedding by content alone, not of length one."""
    return [byte / 100 - 1 for byte in hashlib.sha256(said.encode()).digest()[:dimensions]]


TOLD = ("text", "content", "parts", "functionResponse", "response", "return_value")
"""Keys under which texts are."""


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        yield from _texts([content[key] for key in TOLD if key in content])
    elif isinstance(content, Sequence):
        for part in content:
            yield from _texts(part)


class Server:
    """Serves from entering to leaving a `with` block.

    Args:
        script: From a request for a reply to an `Answer`, or to a text.
        embed: From a request for embeddings to an `Answer` that fails, or None to serve it.
        keys: Keys that are let in; None: all.
        models: Models that exist; None: all.
    """

    def __init__(
        self,
        script: Callable[[Request], Answer | str],
        *,
        embed: Callable[[Request], Answer | None] = lambda request: None,
        keys: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
    ) -> None:
        self.script, self.embed, self.keys, self.models = script, embed, keys, models
        self.requests: Counter[str] = Counter()
        """By outcome: `ok`, `tool`, `length`, `filter`, `empty`, `cut`, `stall`, `malformed`, or the status."""
        self.received: list[Request] = []
        self.tokens_in = self.tokens_out = 0
        self.dollars = 0.0
        """Of the replies that were sent whole: what a client can know of."""
        self.most = 0
        """Most requests at the same time."""
        self.connections = 0
        """Open now."""
        self.error: BaseException | None = None
        self._now = 0
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fm-server")
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self.error is not None and error is None:
            raise self.error

    def model(self, name: str = "test-model") -> str:
        """The name that `connect` takes for this server."""
        return f"{self.url}/v1#{name}"

    def environment(self) -> dict[str, str]:
        """The variables that send the providers' names here."""
        keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"), "right")
        places = {"ANTHROPIC_BASE_URL": self.url, "GOOGLE_GEMINI_BASE_URL": self.url}
        return {**keys, **places, "OPENAI_BASE_URL": f"{self.url}/v1"}

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.create_task(self._converse(reader, writer)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self.connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = head.split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self._now += 1
                self.most = max(self.most, self._now)
                try:
                    await self._respond(lines[0].split()[1], headers, json.loads(body or b"{}"), reader, writer)
                finally:
                    self._now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _respond(self, path: str, headers: Mapping[str, str], request: Request, reader: Any, writer: Any) -> None:
        wire = Google if "/models/" in path else Anthropic if path.endswith("/messages") else OpenAI
        if wire is Google:  # the address says what the others say in the request
            name, _, method = path.rpartition("/")[2].partition(":")
            request |= {"model": name, "stream": method.startswith("stream")}
            if method == "batchEmbedContents":
                path = "/embeddings"
                request["input"] = ["".join(_texts(one["content"])) for one in request["requests"]]
        answer = self._answer(path, headers, request)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.way == "stall":
            self.requests["stall"] += 1
            await reader.read(1)  # until the other side closes
            raise ConnectionResetError
        if answer.status != 200:
            self.requests[str(answer.status)] += 1
            body = json.dumps(wire.error(answer.status)).encode()
            # Seconds are whole; milliseconds are what the providers send besides, and what is read first.
            wait = answer.after
            after = [] if wait is None else [f"retry-after: {math.ceil(wait)}", f"retry-after-ms: {1000 * wait:g}"]
            return await _send(writer, body, status=answer.status, headers=after)
        if path.endswith("/embeddings"):
            usage, outcome = (sum(len(one) // 4 + 1 for one in request["input"]), 0), "ok"
            body = json.dumps(_embeddings(request, usage[0])).encode()
        else:
            usage, outcome = answer.usage or (len(said(request)) // 4 + 1, len(answer.text) // 4 + 1), _outcome(answer)
            body = (wire.stream if request.get("stream") else wire.whole)(request, answer, usage)
        kind = "text/event-stream" if request.get("stream") else "application/json"
        if answer.way == "cut":
            self.requests["cut"] += 1
            await _send(writer, body[: len(body) // 2], length=len(body), kind=kind)
            raise ConnectionResetError
        if answer.way == "malformed":
            self.requests["malformed"] += 1
            return await _send(writer, body[: len(body) // 2], kind=kind)
        self._count(outcome, request, usage)
        return await _send(writer, body, kind=kind)

    def _answer(self, path: str, headers: Mapping[str, str], request: Request) -> Answer:
        key = (
            headers.get("x-api-key")
            or headers.get("x-goog-api-key")
            or headers.get("authorization", "").removeprefix("Bearer ")
        )
        if self.keys is not None and key not in self.keys:
            return fail(401)
        if self.models is not None and request.get("model") not in self.models:
            return fail(404)
        self.received.append(request)
        try:
            if path.endswith("/embeddings"):
                return self.embed(request) or Answer()
            answer = self.script(request)
            return Answer(answer) if isinstance(answer, str) else answer
        except BaseException as error:
            self.error = self.error or error
            return fail(500)

    def _count(self, outcome: str, request: Request, usage: tuple[int, int]) -> None:
        price = DOLLARS.get(request["model"], (0.0, 0.0))
        self.requests[outcome] += 1
        self.tokens_in += usage[0]
        self.tokens_out += usage[1]
        self.dollars += price[0] * usage[0] + price[1] * usage[1]


def _outcome(answer: Answer) -> str:
    if answer.finish == "stop":
        return "ok" if answer.text else "empty"
    return answer.finish


async def _send(
    writer: asyncio.StreamWriter,
    body: bytes,
    *,
    status: int = 200,
    headers: Sequence[str] = (),
    length: int | None = None,
    kind: str = "application/json",
) -> None:
    lines = [f"HTTP/1.1 {status} x", f"content-type: {kind}", f"content-length: {length or len(body)}", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


def _embeddings(request: Request, tokens: int) -> dict[str, Any]:
    data = []
    for index, said in enumerate(request["input"]):
        values: Any = vector(said, request.get("dimensions") or 8)
        if request.get("encoding_format") == "base64":
            values = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    if "requests" in request:
        return {"embeddings": [{"values": one["embedding"]} for one in data]}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


def _events(events: Sequence[tuple[str, Any]]) -> bytes:
    """Server-sent events."""
    return "".join(
        f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {data}\n\n" for name, data in events
    ).encode()


def _pieces(said: str) -> list[str]:
    return [said[start : start + 5] for start in range(0, len(said), 5)]


class OpenAI:
    """The wire format of chat completions."""

    finish = {"stop": "stop", "length": "length", "tool": "tool_calls", "filter": "content_filter"}

    @staticmethod
    def error(status: int) -> Any:
        code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
        return {"error": {"message": f"scripted {status}", "type": "scripted", "param": None, "code": code}}

    @classmethod
    def whole(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.calls:
            message["tool_calls"] = cls.calls(answer)
        choice = {"index": 0, "message": message, "finish_reason": cls.finish[answer.finish]}
        if answer.tokens is not None and request.get("logprobs"):
            choice["logprobs"] = {"content": cls.logprobs(answer, request), "refusal": None}
        about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"]}
        return json.dumps({**about, "choices": [choice], "usage": cls.usage(usage)}).encode()

    @classmethod
    def stream(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
        deltas: list[dict[str, Any]] = [{"content": piece} for piece in _pieces(answer.text)]
        deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(cls.calls(answer))]
        choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
        if answer.tokens is not None and request.get("logprobs"):
            choices[0][0]["logprobs"] = {"content": cls.logprobs(answer, request), "refusal": None}
        choices += [[{"index": 0, "delta": {}, "finish_reason": cls.finish[answer.finish]}]]
        chunks = [{**about, "choices": one, "usage": None} for one in choices]
        chunks += [{**about, "choices": [], "usage": cls.usage(usage)}]
        return _events([*(("", json.dumps(chunk)) for chunk in chunks), ("", "[DONE]")])

    @staticmethod
    def calls(answer: Answer) -> list[dict[str, Any]]:
        return [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for n, (name, arguments) in enumerate(answer.calls)
        ]

    @staticmethod
    def logprobs(answer: Answer, request: Request) -> list[dict[str, Any]]:
        content = []
        for token, top in answer.tokens or ():
            likeliest = sorted(top.items(), key=lambda item: -item[1])[: request.get("top_logprobs", 0)]
            others = [{"token": name, "logprob": value, "bytes": None} for name, value in likeliest]
            content.append({"token": token, "logprob": top[token], "bytes": None, "top_logprobs": others})
        return content

    @staticmethod
    def usage(usage: tuple[int, int]) -> dict[str, int]:
        return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}


class Anthropic:
    """The wire format of messages."""

    finish = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use", "filter": "refusal"}

    @staticmethod
    def error(status: int) -> Any:
        names = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        return {"type": "error", "error": {"type": names.get(status, "api_error"), "message": f"scripted {status}"}}

    @classmethod
    def about(cls, request: Request, usage: tuple[int, int]) -> dict[str, Any]:
        count = {"input_tokens": usage[0], "output_tokens": usage[1]}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "usage": count}

    @staticmethod
    def content(answer: Answer) -> list[dict[str, Any]]:
        texts = [{"type": "text", "text": answer.text}] if answer.text else []
        calls = [
            {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": dict(arguments)}
            for n, (name, arguments) in enumerate(answer.calls)
        ]
        return [*texts, *calls]

    @classmethod
    def whole(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        ending = {"content": cls.content(answer), "stop_reason": cls.finish[answer.finish], "stop_sequence": None}
        return json.dumps({**cls.about(request, usage), **ending}).encode()

    @classmethod
    def stream(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        start = {**cls.about(request, (usage[0], 1)), "content": [], "stop_reason": None, "stop_sequence": None}
        events: list[tuple[str, Any]] = [("message_start", {"type": "message_start", "message": start})]
        for index, block in enumerate(cls.content(answer)):
            if block["type"] == "text":
                begin = {**block, "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
            else:
                begin = {**block, "input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
            events += [("content_block_start", {"type": "content_block_start", "index": index, "content_block": begin})]
            for delta in deltas:
                events += [("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})]
            events += [("content_block_stop", {"type": "content_block_stop", "index": index})]
        ending = {"stop_reason": cls.finish[answer.finish], "stop_sequence": None}
        count = {"output_tokens": usage[1]}
        events += [("message_delta", {"type": "message_delta", "delta": ending, "usage": count})]
        return _events([*events, ("message_stop", {"type": "message_stop"})])


class Google:
    """The wire format of generateContent."""

    finish = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP", "filter": "SAFETY"}

    @staticmethod
    def error(status: int) -> Any:
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return {"error": {"code": status, "message": f"scripted {status}", "status": names.get(status, "INTERNAL")}}

    @classmethod
    def whole(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        parts: list[dict[str, Any]] = [{"text": answer.text}] if answer.text else []
        return json.dumps(cls.response(request, answer, usage, [*parts, *cls.calls(answer)])).encode()

    @classmethod
    def stream(cls, request: Request, answer: Answer, usage: tuple[int, int]) -> bytes:
        about = {"modelVersion": request["model"], "responseId": "1"}
        parts = [[{"text": piece}] for piece in _pieces(answer.text)]
        chunks: list[Any] = [{"candidates": [{"content": {"role": "model", "parts": one}}], **about} for one in parts]
        chunks += [cls.response(request, answer, usage, cls.calls(answer))]
        return _events([("", json.dumps(chunk)) for chunk in chunks])

    @staticmethod
    def calls(answer: Answer) -> list[dict[str, Any]]:
        return [{"functionCall": {"name": name, "args": dict(arguments)}} for name, arguments in answer.calls]

    @classmethod
    def response(cls, request: Request, answer: Answer, usage: tuple[int, int], parts: list[Any]) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        candidate["finishReason"] = cls.finish[answer.finish]
        if answer.tokens is not None and request.get("generationConfig", {}).get("responseLogprobs"):
            candidate["logprobsResult"] = cls.logprobs(answer, request["generationConfig"].get("logprobs", 1))
        count = {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1], "totalTokenCount": sum(usage)}
        return {"candidates": [candidate], "usageMetadata": count, "modelVersion": request["model"], "responseId": "1"}

    @staticmethod
    def logprobs(answer: Answer, most: int) -> dict[str, Any]:
        def told(token: str, logprob: float) -> dict[str, Any]:
            return {"token": token, "tokenId": 1, "logProbability": logprob}

        tokens = answer.tokens or ()
        likeliest = [sorted(top.items(), key=lambda item: -item[1])[:most] for _, top in tokens]
        return {
            "chosenCandidates": [told(token, top[token]) for token, top in tokens],
            "topCandidates": [{"candidates": [told(*one) for one in some]} for some in likeliest],
        }
