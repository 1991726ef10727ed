import asyncio

import pytest

from aiga.core.errors import UsageError
from aiga.fm.check import check, red
from tests.fm_server import Answer, Server, call, choice, fail, fields, images, said, text


def able(request):
    """Does all that is asked."""
    if "17 + 25" in said(request):
        return fields(value=42)
    if request.get("tools"):
        return call("add", a=17, b=25)
    if "water" in said(request):
        return choice(Yes=-0.1, No=-2.5)
    if "colour" in said(request):
        assert images(request) == [red()]
        return text("Red.")
    return text("Ready!", usage=(10, 2))


def silly(request):
    """Understands nothing."""
    return fail(400) if request.get("tools") else text("Hm.")


def test_a_model_that_can_do_all_is_told_so_with_time_and_price(monkeypatch):
    with Server(able) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        rows = asyncio.run(check("openai:gpt-4o-mini"))
    states = {row.capability: row.state for row in rows}
    assert list(states) == ["text", "schema", "tool", "logprobs", "image", "embedding"]
    assert {state for capability, state in states.items() if capability != "embedding"} == {"ok"}
    assert all(row.latency > 0 for row in rows)
    assert rows[0].usd == pytest.approx((10 * 0.15 + 2 * 0.6) * 1e-6)
    assert server.requests == {"ok": 5, "tool": 1}


def test_what_a_model_cannot_do_is_no_and_what_the_server_does_not_do_has_failed():
    with Server(silly, embed=lambda request: fail(400)) as server:
        rows = asyncio.run(check(server.model()))
        assert {row.state for row in rows} == {"no"}
        assert "no JSON object" in rows[1].detail
    with Server(lambda request: Answer(finish="length"), embed=lambda request: fail(400)) as server:
        rows = asyncio.run(check(server.model()))
    assert [row.state for row in rows] == ["failed"] * 5 + ["no"]
    assert "raise max_tokens" in rows[0].detail


def test_a_provider_without_log_probabilities_or_embeddings_is_told_so(monkeypatch):
    with Server(able) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        rows = asyncio.run(check("anthropic:claude-haiku-4-5"))
    assert [row.state for row in rows] == ["ok", "ok", "ok", "no", "ok", "no"]
    assert "a rating instead" in rows[3].detail


def test_a_model_that_cannot_be_asked_at_all_is_an_error():
    with pytest.raises(UsageError, match="nothing answers"):
        asyncio.run(check("http://127.0.0.1:9/v1#model"))
