"""A foundation model behind an address: `connect("openai:gpt-4o-mini")`.

Names, keys and addresses: see `aiga.fm.places`.  Each call is looked up by its content and seed before it is made,
paid from a budget, tried again where that may help, mended by the model where its reply does not fit, and recorded.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from aiga.fm import cache, places, providers
from aiga.fm.attempts import Attempts, Meter, Question
from aiga.fm.cache import Calls, Request
from aiga.fm.messages import Message, Reply, Tool, Usage
from aiga.fm.parse import NotParsed, json_schema, parse

MAX_TOKENS = 4096
CHARACTERS_A_TOKEN = 3
"""Fewer than in English text or in programs, so that an estimate is no promise that is broken."""
REPAIR = "Your reply cannot be used: {error}\nAnswer again, in full, with the corrected JSON and nothing else."


def connect(
    name: str,
    *,
    calls: Calls | None = None,
    meter: Meter | None = None,
    replay: bool = False,
    concurrency: int = 64,
    per_minute: float | int | None = None,
    timeout: float | int = 120.0,
    say: Callable[[str], None] | None = None,
    retries: int = 5,
    backoff: float | int = 1.0,
    max_tokens: int = MAX_TOKENS,
) -> "Client":
    """A foundation model.

    Args:
        name: `openai:MODEL`, `anthropic:MODEL`, `google:MODEL`, `ollama:MODEL` or `http://HOST:PORT/v1#MODEL`.
        calls: Where calls are recorded and looked up; None: in memory.
        meter: The budget that calls are paid from; None: no limit.
        replay: Answer only from what is recorded; a call that is not stops the run.
        concurrency: Most calls at the same time.
        per_minute: Most calls begun in a minute; None: any.
        timeout: Seconds for an attempt.
        say: Told why we wait, and "" when nobody waits any more.
        retries: Attempts after the first, if it fails in a way that may pass.
        backoff: Seconds before the second attempt; doubled before each further one.
        max_tokens: Of a reply, where the call does not say.

    Raises:
        UsageError: The name cannot be used, the key or the package is missing.
    """
    where = None if replay else places.place(name)

    def opened() -> AsyncGenerator[Any, None]:
        assert where is not None, "a replay asks no model"
        return providers.opened(where, timeout)

    attempts = Attempts(
        name,
        opened,
        calls=calls,
        meter=meter,
        replay=replay,
        concurrency=concurrency,
        per_minute=per_minute,
        timeout=timeout,
        say=say,
        retries=retries,
        backoff=backoff,
    )
    return Client(attempts, where, max_tokens)


class Client:
    """An `FM` that asks a provider."""

    def __init__(self, attempts: Attempts, where: places.Place | None, max_tokens: int) -> None:
        self.attempts, self.where, self.max_tokens = attempts, where, max_tokens
        self._told = False

    @property
    def name(self) -> str:
        return self.attempts.name

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
        """The recorded reply, or a new one."""
        del facts
        request = Request(
            model=self.name.rpartition("#")[2],
            messages=tuple(turn._replace(text=providers.encodable(turn.text)) for turn in messages),
            seed=seed,
            schema=None if schema is None else json_schema(schema),
            tools=tuple(tools or ()),
            images=tuple(images or ()),
            shown=len(messages) - 1,
            logprobs=logprobs,
            temperature=temperature,
            max_tokens=max_tokens or self.max_tokens,
        )
        question = self._question(request, schema)
        reply = await self.attempts.answer(cache.key(question.request), task, question)
        if isinstance(reply, str):
            reply = cache.read_reply(reply)
        return reply if schema is None or reply.calls else reply._replace(parsed=parse(reply.text, schema))

    def _question(self, request: Request, schema: type | None) -> Question:
        written = cache.written(request)
        tokens_in = len(written) // CHARACTERS_A_TOKEN
        worst = Usage(tokens_in + providers.IMAGE_TOKENS * len(request.images), request.max_tokens)

        async def send(model: Any) -> Reply:
            assert self.where is not None
            reply = await providers.ask(model, self.where, request)
            if sum(reply.usage) or not (reply.text or reply.calls):
                return reply
            told = len(cache.written_reply(reply)) // CHARACTERS_A_TOKEN  # the server does not count
            return reply._replace(usage=Usage(worst.tokens_in, told))

        def repaired(reply: Reply, failure: providers.Failure) -> Question:
            shown = Message("assistant", reply.text), Message("user", REPAIR.format(error=failure))
            return self._question(request._replace(messages=(*request.messages, *shown)), schema)

        return Question(
            written,
            tokens=sum(worst),
            usd=self._usd(worst),
            send=send,
            written=cache.written_reply,
            fault=lambda reply: fault(reply, schema),
            repaired=repaired,
        )

    def _usd(self, worst: Usage) -> float | None:
        """At most so many dollars; None, and said once, if nobody knows the price."""
        if self.where is None or self.attempts.meter is None:
            return 0.0
        usd = providers.price(self.where, worst)
        if usd is None and not self._told:
            self._told = True
            self.attempts.say(f"{self.name} has no known price: its calls count 0 dollars")
        return usd


def fault(reply: Reply, schema: type | None) -> providers.Failure | None:
    """What is wrong with a reply, if anything is."""
    if not (reply.text.strip() or reply.calls):
        kind = {"length": "length", "filter": "filter"}.get(reply.finish, "empty")
        told = {"length": "the limit of tokens was reached before anything was said: raise max_tokens"}
        return providers.Failure(kind, told.get(kind, f"the reply says nothing (finish: {reply.finish})"))
    if schema is None or reply.calls:
        return None
    try:
        parse(reply.text, schema)
    except NotParsed as error:
        return providers.Failure("length" if reply.finish == "length" else "invalid", str(error))
    return None
