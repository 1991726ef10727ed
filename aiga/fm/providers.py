"""The providers of foundation models, through pydantic-ai: one request, one answer or one classified failure.

Nothing here retries, waits or counts.
"""

import functools
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from aiga.core.errors import UsageError
from aiga.fm.cache import Request
from aiga.fm.messages import Message, Reply, Token, ToolCall, Usage
from aiga.fm.places import Place

Finish = Literal["stop", "length", "tool", "filter"]
FINISHES: dict[str, Finish] = {"length": "length", "content_filter": "filter"}
PASSING = (408, 409, 425)
"""Statuses of a request that may be sent again as it is."""
STREAMED = 16_384
"""Tokens.  Replies that may be longer are streamed: what is between us and a model cuts connections that are quiet."""
IMAGE_TOKENS = 1600
"""A picture's worst case."""


class Failure(Exception):
    """One request failed."""

    def __init__(self, kind: str, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after
        """Seconds that the server asks us to wait."""


async def opened(where: Place, timeout: float | int) -> AsyncGenerator[Any, None]:
    """The model, with an HTTP client of its own that is closed with this generator.

    A generator, since an event loop closes those that are left when it ends: nobody needs to.
    """
    async with _http(timeout) as http:
        if where.provider == "google":
            from pydantic_ai.models.google import GoogleModel

            yield GoogleModel(where.model, provider=_google(where, http))
        elif where.provider == "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel

            yield AnthropicModel(where.model, provider=_anthropic(where, http))
        else:
            from pydantic_ai.models.ollama import OllamaModel
            from pydantic_ai.models.openai import OpenAIChatModel

            kind = OllamaModel if where.provider == "ollama" else OpenAIChatModel
            yield kind(where.model, provider=_openai(where, http))


async def opened_embedding(where: Place, timeout: float | int) -> AsyncGenerator[Any, None]:
    """As `opened`, a model that embeds."""
    async with _http(timeout) as http:
        if where.provider == "google":
            from pydantic_ai.embeddings.google import GoogleEmbeddingModel

            yield GoogleEmbeddingModel(where.model, provider=_google(where, http))
        else:
            from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

            yield OpenAIEmbeddingModel(where.model, provider=_openai(where, http))


def _http(timeout: float | int) -> Any:
    import httpx2

    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
    waits = httpx2.Timeout(timeout + 1.0, connect=min(timeout, 10.0))  # who asks gives up first
    return httpx2.AsyncClient(verify=_certificates(), timeout=waits, limits=limits, follow_redirects=True)


@functools.cache
def _certificates() -> Any:
    """Whom we trust; reading this takes 25 ms of the processor, once."""
    import httpx2

    return httpx2.create_ssl_context()


def _google(where: Place, http: Any) -> Any:
    from pydantic_ai.providers.google import GoogleProvider

    return GoogleProvider(api_key=where.key, base_url=where.url, http_client=http)


def _anthropic(where: Place, http: Any) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=where.key, base_url=where.url, http_client=http, timeout=http.timeout, max_retries=0
    )
    return AnthropicProvider(anthropic_client=client)


def _openai(where: Place, http: Any) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.providers.ollama import OllamaProvider
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    client = AsyncOpenAI(api_key=where.key, base_url=where.url, http_client=http, timeout=http.timeout, max_retries=0)
    if where.provider == "openai":
        return OpenAIProvider(openai_client=client)
    if where.provider == "ollama":
        return OllamaProvider(openai_client=client)
    return OpenAICompatibleProvider("address", openai_client=client)


async def ask(model: Any, where: Place, request: Request) -> Reply:
    """Send a request once.

    Raises:
        Failure: No reply came, or none that is a reply.
        UsageError: The key was refused, the account is empty or the model is unknown.
    """
    from pydantic_ai import direct

    history, settings, parameters = _history(request), _settings(model, request), _parameters(model, request)
    streamed = request.max_tokens > STREAMED
    send: Any = direct.model_request_stream if streamed else direct.model_request
    try:
        sent = send(model, history, model_settings=settings, model_request_parameters=parameters)
        response = await (_whole(sent) if streamed else sent)
    except Exception as error:
        raise failure(error, where) from error
    if streamed and "finish_reason" not in (response.provider_details or {}):
        raise Failure("malformed", "the stream ended in the middle of the reply")
    return _answered(model, response)


async def _whole(opening: Any) -> Any:
    """The response that a stream comes to."""
    async with opening as stream:
        async for _ in stream:
            pass
    return stream.get()


async def embed(model: Any, where: Place, texts: Sequence[str]) -> tuple[np.ndarray, Usage, float]:
    """Vectors of texts, with the tokens and dollars that they took.  Raises as `ask` does."""
    try:
        result = await model.embed([text or " " for text in texts], input_type="document")
        vectors = np.asarray(result.embeddings, np.float32).reshape(len(texts), -1)
    except Exception as error:
        raise failure(error, where) from error
    return vectors, Usage(result.usage.input_tokens), _price(result)


def _settings(model: Any, request: Request) -> Any:
    settings: dict[str, Any] = {"max_tokens": request.max_tokens, "seed": request.seed % 2**31}
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.logprobs is not None:
        settings |= {"openai_logprobs": True, "openai_top_logprobs": request.logprobs}
        settings |= {"google_logprobs": True, "google_top_logprobs": request.logprobs}
    return {name: value for name, value in settings.items() if name not in model.unsupported_settings}


def _parameters(model: Any, request: Request) -> Any:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    tools = [
        ToolDefinition(name=tool.name, parameters_json_schema=dict(tool.parameters), description=tool.description)
        for tool in request.tools
    ]
    if request.schema is None:
        return ModelRequestParameters(function_tools=tools)
    native = model.profile.get("supports_json_schema_output", False)
    wanted = OutputObjectDefinition(dict(request.schema), name=request.schema.get("title"))
    return ModelRequestParameters(
        function_tools=tools, output_mode="native" if native else "prompted", output_object=wanted
    )


def _history(request: Request) -> list[Any]:
    """The conversation as pydantic-ai has it: turns of ours and of the model, in alternation."""
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart

    names = {call.id: call.name for message in request.messages for call in message.calls}
    history: list[Any] = []
    for answers, turns in itertools.groupby(enumerate(request.messages), lambda turn: turn[1].role == "assistant"):
        if not answers:
            images = ((turn, request.images if index == request.shown else ()) for index, turn in turns)
            history.append(ModelRequest([_part(turn, shown, names) for turn, shown in images]))
            continue
        for _, turn in turns:
            calls = [ToolCallPart(call.name, dict(call.arguments), call.id) for call in turn.calls]
            history.append(ModelResponse([*([TextPart(turn.text)] if turn.text else []), *calls]))
    return history


def _part(message: Message, images: Sequence[bytes], names: Mapping[str, str]) -> Any:
    from pydantic_ai.messages import BinaryContent, SystemPromptPart, ToolReturnPart, UserPromptPart

    if message.role == "system":
        return SystemPromptPart(message.text)
    if message.role == "tool":
        return ToolReturnPart(names.get(message.answers, "tool"), message.text, message.answers)
    if images:
        return UserPromptPart([message.text, *(BinaryContent(image, media_type="image/png") for image in images)])
    return UserPromptPart(message.text)


def _answered(model: Any, response: Any) -> Reply:
    from pydantic_ai.messages import TextPart, ToolCallPart

    calls = tuple(_call(part) for part in response.parts if isinstance(part, ToolCallPart))
    finish: Finish = FINISHES.get(response.finish_reason, "tool" if calls else "stop")
    return Reply(
        text=encodable("".join(part.content for part in response.parts if isinstance(part, TextPart))),
        calls=calls,
        logprobs=_tokens((response.provider_details or {}).get("logprobs")),
        usage=Usage(response.usage.input_tokens, response.usage.output_tokens),
        cost=_price(response),
        finish=finish,
        model=response.model_name or model.model_name,
    )


def encodable(text: str) -> str:
    """The text with half characters, which UTF-8 has no bytes for, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _call(part: Any) -> ToolCall:
    """A tool call; arguments that are no JSON object come as the one argument `unreadable`."""
    try:
        return ToolCall(part.tool_call_id, part.tool_name, part.args_as_dict(raise_if_invalid=True))
    except (AssertionError, ValueError):
        return ToolCall(part.tool_call_id, part.tool_name, {"unreadable": part.args_as_json_str()})


def _tokens(details: Any) -> tuple[Token, ...] | None:
    """Log-probabilities as OpenAI tells them, or as Google does."""
    if isinstance(details, list):
        return tuple(
            Token(one["token"], one["logprob"], {top["token"]: top["logprob"] for top in one["top_logprobs"]})
            for one in details
        )
    chosen = (details or {}).get("chosen_candidates")
    if not chosen:
        return None
    tops = [top["candidates"] or [] for top in details.get("top_candidates") or [{"candidates": []}] * len(chosen)]
    return tuple(
        Token(one["token"], one["log_probability"], {other["token"]: other["log_probability"] for other in top})
        for one, top in zip(chosen, tops, strict=True)
    )


def _price(paid: Any) -> float:
    try:
        return float(paid.cost().total_price)
    except (AssertionError, LookupError, ValueError):  # no name of a model, none that is known, no usage
        return 0.0


def price(where: Place, usage: Usage) -> float | None:
    """Dollars of so many tokens by the list of genai-prices; None: the list does not know this model."""
    import genai_prices

    known: dict[str, Any] = {"provider_id": where.provider}
    if where.provider == "address":
        known = {"provider_api_url": where.url}
    counted = genai_prices.Usage(input_tokens=usage.tokens_in, output_tokens=usage.tokens_out)
    try:
        return float(genai_prices.calc_price(counted, where.model, **known).total_price)
    except LookupError:
        return None


def failure(error: Exception, where: Place) -> Exception:
    """What pydantic-ai's exception means here."""
    from pydantic_ai import exceptions as known

    at = where.url or where.provider
    if isinstance(error, known.ModelAuthenticationError):
        return UsageError(f"{at} refused the key: export {where.variable}=... with one that may use {where.model}.")
    if isinstance(error, known.ModelNotFoundError):
        near = getattr(error, "suggested_model_id", None)
        mend = f"did you mean {near}?" if near else "ask the provider for its names, and check the address."
        return UsageError(f"{at} knows no model `{where.model}`: {mend}")
    status = getattr(error, "status_code", 0)
    if isinstance(error, known.ModelQuotaExceededError) or status == 402:
        return UsageError(f"the account at {at} has no credit left for {where.model}: add some, then `aiga resume`.")
    if isinstance(error, known.ModelConnectionError) and error.phase == "connect":
        return Failure("unreachable", f"nothing answers at {at}")
    kinds = (
        (known.ModelRateLimitError, "rate"),
        ((known.ModelUnavailableError, known.ModelServerError), "server"),
        (known.ModelTimeoutError, "timeout"),
        (known.ModelConnectionError, "cut"),
        ((known.ModelRequestRejectedError, known.UserError), "rejected"),
        (known.ModelHTTPError, "rejected" if 400 <= status < 500 and status not in PASSING else "server"),
        ((known.ModelAPIError, known.UnexpectedModelBehavior), "malformed"),
        ((AttributeError, LookupError, TypeError, ValueError), "malformed"),  # of a reply in another shape
    )
    for classes, kind in kinds:
        if isinstance(error, classes):
            return Failure(kind, str(error)[:500], after=getattr(error, "retry_after", None))
    return error
