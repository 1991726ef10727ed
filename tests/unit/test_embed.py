import asyncio

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.fm import embed
from aiga.fm.cache import Memory
from aiga.fm.messages import Embedder, ModelFailed
from aiga.safety.budget import Budget
from tests.fm_server import Server, cut, fail, malformed, vector

FAILURES = {"rate": fail(429), "server": fail(500), "cut": cut(), "malformed": malformed()}


def never(request):
    raise AssertionError("embeddings need no chat")


def remote(server, **options):
    return embed.connect(server.model("test-embedding"), backoff=0.001, **options)


def embedded(embedder, texts):
    return asyncio.run(embedder.embed(texts))


def test_the_local_embedder_says_that_it_is_local_and_gives_lengths_of_one():
    embedder = embed.local(64)
    vectors = embedded(embedder, ["a cat", "A cat.", "", "completely different words"])
    assert isinstance(embedder, Embedder)
    assert embedder.name == "local-hash-64"
    assert (vectors.shape, vectors.dtype) == ((4, 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)


def test_texts_that_share_words_or_parts_of_words_are_near_each_other():
    jumping, jumped, taxes = embedded(embed.local(), ["a robot jumping", "the robots jumped", "pay your income tax"])
    assert jumping @ jumped > jumping @ taxes + 0.1


def test_a_local_vector_depends_on_its_text_alone():
    several = embedded(embed.local(), ["one", "two", "three"])
    np.testing.assert_array_equal(embedded(embed.local(), ["two"])[0], several[1])


@pytest.mark.parametrize("name", ["openai:text-embedding-3-small", "google:gemini-embedding-001"])
def test_vectors_of_a_provider_come_in_order_in_batches_with_lengths_of_one(monkeypatch, name):
    texts = [f"text {number}" for number in range(130)]
    with Server(never) as server:
        for variable, value in server.environment().items():
            monkeypatch.setenv(variable, value)
        vectors = embedded(embed.connect(name), texts)
    expected = np.array([vector(text) for text in texts])
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    assert server.requests == {"ok": 3}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_request_for_vectors_is_tried_again_recorded_and_paid(kind):
    answers = iter([FAILURES[kind], None])
    calls, budget = Memory(), Budget()
    with Server(never, embed=lambda request: next(answers)) as server:
        vectors = embedded(remote(server, calls=calls, meter=budget), ["a text"])
    assert vectors.shape == (1, 8)
    assert [row.outcome for row in calls.attempts] == [kind, "ok"]
    assert (budget.spent.calls, budget.spent.tokens) == (2, server.tokens_in)


def test_a_replay_gives_the_same_vectors_without_a_server():
    calls = Memory()
    with Server(never, embed=lambda request: fail(400) if request["input"] == ["bad"] else None) as server:
        live = embedded(remote(server, calls=calls), ["one", ""])
        with pytest.raises(ModelFailed, match="400"):
            embedded(remote(server, calls=calls), ["bad"])
        again = embedded(remote(server, calls=calls), ["one", ""])
    replay = remote(server, calls=calls, replay=True)
    np.testing.assert_array_equal(embedded(replay, ["one", ""]), live)
    np.testing.assert_array_equal(again, live)
    assert len(calls.attempts) == 2
    with pytest.raises(ModelFailed, match="400"):
        embedded(replay, ["bad"])
    with pytest.raises(UsageError, match="`embed`"):
        embedded(replay, ["new"])


def test_a_provider_without_embeddings_is_one_sentence(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    with pytest.raises(UsageError, match="anthropic has no embeddings; give an openai:"):
        embed.connect("anthropic:claude-haiku-4-5")
