import asyncio
import dataclasses
import gc
import json
import subprocess
import sys
import time

import pytest

from aiga.core.errors import BudgetExceeded, UsageError
from aiga.fm.cache import Memory
from aiga.fm.client import Client, connect
from aiga.fm.messages import FM, Message, ModelFailed, Reply, Tool
from aiga.safety.budget import Budget, Caps
from tests.fm_server import (
    Server,
    call,
    choice,
    cut,
    empty,
    fail,
    fields,
    filtered,
    images,
    length,
    malformed,
    said,
    stall,
    text,
)

MODELS = {
    "openai": "openai:gpt-4o-mini",
    "anthropic": "anthropic:claude-haiku-4-5",
    "google": "google:gemini-2.5-flash",
}
WIRES = ["address", *MODELS]
LOOK = Tool("look", "Look somewhere.", {"type": "object", "properties": {"where": {"type": "string"}}})
FAILURES = {
    "rate": fail(429),
    "server": fail(500),
    "timeout": stall(),
    "cut": cut(),
    "malformed": malformed(),
    "empty": empty(),
}
HOPELESS = {"length": length(), "filter": filtered(), "rejected": fail(400)}


@dataclasses.dataclass(frozen=True)
class Answer:
    value: int
    why: str = ""


@pytest.fixture
def environment(monkeypatch):
    """Sends the names of providers to a server."""

    def send(server):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)

    return send


def model(server: Server, wire: str = "address") -> str:
    return MODELS.get(wire, server.model())


def quick(name: str, **options) -> Client:
    return connect(name, **{"backoff": 0.001, **options})


def ask(fm: Client, question: str = "Hello?", seed: int = 0, **options):
    return fm.generate([Message("system", "Be brief."), Message("user", question)], seed=seed, **options)


def answer(fm: Client, question: str = "Hello?", **options) -> Reply:
    return asyncio.run(ask(fm, question, **options))


def outcomes(calls: Memory) -> list[str]:
    return [attempt.outcome for attempt in calls.attempts]


@pytest.mark.parametrize("max_tokens", [100, 20_000], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_reply_comes_with_its_text_its_tokens_and_its_price(environment, wire, max_tokens):
    with Server(lambda request: text(f"Hello: {said(request)}", usage=(1000, 100))) as server:
        environment(server)
        fm = quick(model(server, wire), max_tokens=max_tokens)
        assert isinstance(fm, FM)
        reply = answer(fm)
    assert reply.text == "Hello: Be brief.\nHello?"
    assert reply.usage == (1000, 100)
    assert reply.cost == pytest.approx(server.dollars)
    assert (server.dollars > 0) == (wire != "address")
    assert (reply.finish, reply.cached) == ("stop", False)


@pytest.mark.parametrize(
    ("kind", "max_tokens"), [*((kind, 100) for kind in FAILURES), ("cut", 20_000), ("malformed", 20_000)]
)
@pytest.mark.parametrize("wire", MODELS)
def test_a_failure_that_may_pass_is_tried_again_and_every_attempt_is_recorded(environment, wire, kind, max_tokens):
    answers = iter([FAILURES[kind], FAILURES[kind], text("at last")])
    calls = Memory()
    with Server(lambda request: next(answers)) as server:
        environment(server)
        fm = quick(model(server, wire), calls=calls, timeout=0.1 if kind == "timeout" else 5.0, max_tokens=max_tokens)
        reply = answer(fm, task="test/again")
    assert reply.text == "at last"
    assert outcomes(calls) == [kind, kind, "ok"]
    assert [(row.attempt, row.task, row.final) for row in calls.attempts] == [
        (1, "test/again", False),
        (2, "test/again", False),
        (3, "test/again", True),
    ]
    assert server.requests.total() == 3
    assert (sum(reply.usage), reply.cost) == (server.tokens_in + server.tokens_out, pytest.approx(server.dollars))
    assert sum(row.tokens_in + row.tokens_out for row in calls.attempts) == sum(reply.usage)


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_that_does_not_pass_is_a_failed_model_of_its_kind(kind):
    calls = Memory()
    timeout = 0.05 if kind == "timeout" else 5.0
    with Server(lambda request: FAILURES[kind]) as server, pytest.raises(ModelFailed, match="3 attempts") as failed:
        answer(quick(server.model(), calls=calls, timeout=timeout, retries=2))
    assert failed.value.kind == kind
    assert outcomes(calls) == [kind] * 3


@pytest.mark.parametrize("kind", HOPELESS)
@pytest.mark.parametrize("wire", MODELS)
def test_what_would_fail_again_is_not_tried_again(environment, wire, kind):
    calls = Memory()
    with Server(lambda request: HOPELESS[kind]) as server:
        environment(server)
        with pytest.raises(ModelFailed) as failed:
            answer(quick(model(server, wire), calls=calls))
    assert (failed.value.kind, outcomes(calls)) == (kind, [kind])


def test_a_reply_that_the_limit_cut_short_is_a_reply():
    with Server(lambda request: length("Once upon a")) as server:
        reply = answer(quick(server.model()))
    assert (reply.text, reply.finish) == ("Once upon a", "length")


def test_the_wait_that_the_server_asks_for_is_kept_and_told():
    told: list[str] = []
    answers = iter([fail(429, after=0.16), text("yes")])
    with Server(lambda request: next(answers)) as server:
        began = time.monotonic()
        answer(quick(server.model(), say=told.append))
    assert time.monotonic() - began >= 0.16
    assert told == [f"{server.model()}: rate, asked again in 0.2 s (1 of 5)", ""]


def test_a_server_that_asks_for_an_hour_stops_the_run_and_may_be_asked_again_after_it():
    answers = iter([fail(429, after=3600), text("at last")])
    with Server(lambda request: next(answers)) as server:
        fm = quick(server.model())
        with pytest.raises(UsageError, match="asks to be left alone for 3600 s: `aiga resume` after that"):
            answer(fm)
        assert answer(fm).text == "at last"


def test_a_model_mends_a_reply_that_does_not_fit_when_it_is_shown_what_is_wrong():
    calls = Memory()

    def script(request):
        turns = request["messages"]
        if len(turns) == 2:
            assert request["response_format"]["type"] == "json_schema"
            return text('{"value": "four"}')
        assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
        assert turns[2]["content"] == '{"value": "four"}'
        assert "value: Input should be a valid integer" in turns[3]["content"]
        return fields(value=4, why="two and two")

    with Server(script) as server:
        reply = answer(quick(server.model(), calls=calls), schema=Answer)
    assert reply.parsed == Answer(4, "two and two")
    assert outcomes(calls) == ["invalid", "ok"]
    assert sum(reply.usage) == server.tokens_in + server.tokens_out


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_may_mend_a_reply_twice(environment, wire):
    calls = Memory()
    with Server(lambda request: text("I would rather not.")) as server:
        environment(server)
        with pytest.raises(ModelFailed, match="no JSON") as failed:
            answer(quick(model(server, wire), calls=calls), schema=Answer)
    assert failed.value.kind == "invalid"
    assert outcomes(calls) == ["invalid"] * 3


def test_a_model_that_enforces_no_schema_is_shown_it(environment):
    def script(request):
        assert "output_config" not in request
        assert '"value"' in said(request)
        return fields(value=4)

    with Server(script) as server:
        environment(server)
        assert answer(quick("anthropic:claude-3-5-haiku-latest"), schema=Answer).parsed == Answer(4)


def test_json_that_the_limit_cut_is_too_long_and_not_mended():
    with Server(lambda request: length('{"value": ')) as server, pytest.raises(ModelFailed) as failed:
        answer(quick(server.model()), schema=Answer)
    assert (failed.value.kind, server.requests.total()) == ("length", 1)


def test_a_tool_that_cannot_be_sent_is_a_failure_of_the_call(environment):
    odd = LOOK._replace(parameters={"type": "object", "properties": 7})
    with Server(lambda request: text("")) as server:
        environment(server)
        with pytest.raises(ModelFailed) as failed:
            asyncio.run(quick(MODELS["openai"]).generate([Message("user", "?")], seed=0, tools=[odd]))
    assert (failed.value.kind, server.requests.total()) == ("rejected", 0)


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_asks_for_a_tool_and_is_told_what_it_gave(environment, wire):
    def script(request):
        if "a cat" in said(request):
            return text("It is a cat.")
        assert "Look somewhere." in json.dumps(request["tools"])
        return call("look", where="under the bed")

    async def converse(fm):
        turns = [Message("user", "What is under the bed?")]
        reply = await fm.generate(turns, seed=0, tools=[LOOK])
        turns += [Message("assistant", reply.text, reply.calls), Message("tool", "a cat", answers=reply.calls[0].id)]
        return reply, await fm.generate(turns, seed=0, tools=[LOOK])

    with Server(script) as server:
        environment(server)
        first, second = asyncio.run(converse(quick(model(server, wire))))
    assert (first.finish, first.calls[0].name, first.calls[0].arguments) == ("tool", "look", {"where": "under the bed"})
    assert (second.finish, second.text) == ("stop", "It is a cat.")


@pytest.mark.parametrize("wire", WIRES)
def test_log_probabilities_come_from_providers_that_have_them(environment, wire):
    with Server(lambda request: choice(yes=-0.25, no=-1.5, perhaps=-9.0)) as server:
        environment(server)
        reply = answer(quick(model(server, wire)), logprobs=2)
    if wire == "anthropic":
        assert reply.logprobs is None
    else:
        assert reply.logprobs == (("yes", -0.25, {"yes": -0.25, "no": -1.5}),)


@pytest.mark.parametrize("wire", WIRES)
def test_images_arrive_and_stay_with_their_message(environment, wire):
    pictures = [b"\x89PNG first", b"\x89PNG second"]

    def script(request):
        assert images(request) == pictures
        turns = request.get("messages") or request["contents"]
        assert len(images({"messages": turns[-1:]})) == (2 if len(turns) < 3 else 0)
        return fields(value=2) if "cannot be used" in said(request) else text("two")

    with Server(script) as server:
        environment(server)
        reply = answer(quick(model(server, wire)), images=pictures, schema=Answer)
    assert reply.parsed == Answer(2)


def test_settings_arrive_where_they_are_understood(environment):
    with Server(lambda request: text("yes")) as server:
        environment(server)
        for wire in MODELS:
            answer(quick(model(server, wire)), seed=2**31 + 7, temperature=0.5, max_tokens=99)
    openai, anthropic, google = server.received
    assert (openai["seed"], openai["temperature"], openai["max_completion_tokens"]) == (7, 0.5, 99)
    assert ("seed" in anthropic, anthropic["temperature"], anthropic["max_tokens"]) == (False, 0.5, 99)
    settings = google["generationConfig"]
    assert (settings["seed"], settings["temperature"], settings["maxOutputTokens"]) == (7, 0.5, 99)


def test_the_same_call_is_made_once_also_when_it_is_made_twice_at_a_time():
    async def several(fm):
        first = await asyncio.gather(ask(fm), ask(fm), ask(fm, seed=1))
        return [*first, await ask(fm)]

    with Server(lambda request: text(str(server.requests.total()), delay=0.01)) as server:
        replies = asyncio.run(several(quick(server.model())))
    assert server.requests == {"ok": 2}
    assert replies[0].text == replies[1].text == replies[3].text
    assert [reply.cached for reply in replies] == [False, True, False, True]
    assert replies[3] == replies[0]._replace(cached=True)


def test_a_replay_needs_no_server_and_answers_and_fails_as_the_run_did():
    calls = Memory()
    schema = {"seed": 5, "schema": Answer}
    with Server(lambda request: fail(500) if "bad" in said(request) else fields(value=4)) as server:
        fm = quick(server.model(), calls=calls, retries=1)
        live = answer(fm, **schema)
        with pytest.raises(ModelFailed) as failed:
            answer(fm, "bad")
    replay = connect(server.model(), calls=calls, replay=True)
    assert answer(replay, **schema) == live._replace(cached=True)
    with pytest.raises(ModelFailed, match="after 2 attempts") as again:
        answer(replay, "bad")
    assert (again.value.kind, str(again.value)) == (failed.value.kind, str(failed.value))
    assert len(calls.attempts) == 3


def test_a_call_that_a_replay_does_not_hold_stops_the_run_by_name():
    with pytest.raises(UsageError, match=r"call of `poems/judge` \(key [0-9a-f]{16}\)"):
        answer(connect("openai:gpt-4o-mini", replay=True), task="poems/judge")


def test_what_is_recorded_is_what_was_said():
    calls = Memory()
    with Server(lambda request: text("Good day, 世界!")) as server:
        answer(quick(server.model(), calls=calls), "Greet 世界\ud800.", images=[b"picture"], tools=[LOOK])
    (row,) = calls.attempts
    request = json.loads(row.request)
    assert [message["text"] for message in request["messages"]] == ["Be brief.", "Greet 世界?."]
    assert (len(request["images"][0]), request["tools"][0]["name"], request["seed"]) == (64, "look", 0)
    assert json.loads(row.reply)["text"] == "Good day, 世界!"
    row.request.encode()  # a database takes it


def test_with_64_calls_in_flight_the_budget_holds_and_agrees_with_the_server(environment):
    def script(request):
        number = int(said(request).split()[-1])
        return fail(400) if number % 5 == 0 else text("done", usage=(20, number % 50), delay=0.002)

    async def spend(fm):
        return await asyncio.gather(*(ask(fm, f"number {n}") for n in range(160)), return_exceptions=True)

    with Server(script) as server:
        environment(server)
        budget = Budget(Caps(usd=0.002, tokens=5000))
        replies = asyncio.run(spend(quick("openai:gpt-4o-mini", meter=budget, max_tokens=50, retries=1)))
    kinds = {type(reply) for reply in replies}
    assert kinds == {Reply, ModelFailed, BudgetExceeded}
    assert budget.spent.tokens == server.tokens_in + server.tokens_out <= 5000
    assert budget.spent.usd == pytest.approx(server.dollars)
    assert budget.spent.calls == server.requests.total()
    assert budget.reserved[:4] == (0, 0, 0, 0)


def test_a_call_that_is_cancelled_holds_no_budget_and_leaves_the_question_to_others():
    async def cancel(fm):
        first = asyncio.create_task(ask(fm))
        second = asyncio.create_task(ask(fm))
        while not server.received:
            await asyncio.sleep(0.001)
        first.cancel()
        return await second

    answers = iter([stall(), text("for the second")])
    budget = Budget()
    with Server(lambda request: next(answers)) as server:
        assert asyncio.run(cancel(quick(server.model(), meter=budget))).text == "for the second"
    assert (budget.spent.calls, budget.reserved.calls) == (1, 0)


def test_a_model_without_a_price_counts_nothing_and_that_is_said_once():
    told: list[str] = []
    budget = Budget(Caps(usd=0.01))
    with Server(lambda request: text("yes")) as server:
        fm = quick(server.model(), meter=budget, say=told.append)
        answer(fm)
        answer(fm, "Again?")
    assert told == [f"{server.model()} has no known price: its calls count 0 dollars"]
    assert (budget.spent.usd, budget.unpriced, budget.spent.calls) == (0.0, 2, 2)


def test_tokens_of_a_server_that_does_not_count_them_are_counted_by_characters():
    budget = Budget(Caps(tokens=1000))
    with Server(lambda request: text("x" * 300, usage=(0, 0))) as server:
        reply = answer(quick(server.model(), meter=budget, max_tokens=200))
    assert reply.usage.tokens_in > len("Be brief.Hello?") / 3
    assert 100 < reply.usage.tokens_out < 200
    assert budget.spent.tokens == sum(reply.usage)


def test_no_more_calls_than_allowed_are_in_flight_or_begun_in_a_minute():
    async def many(fm):
        await asyncio.gather(*(ask(fm, seed=seed) for seed in range(9)))

    with Server(lambda request: text("yes", delay=0.005)) as server:
        asyncio.run(many(quick(server.model(), concurrency=3)))
        assert server.most == 3
        began = time.monotonic()
        asyncio.run(many(quick(server.model(), per_minute=6000)))
        assert time.monotonic() - began >= 8 * 0.01


@pytest.mark.parametrize("wire", WIRES)
def test_one_client_serves_one_event_loop_after_the_other_and_leaves_no_connection_open(environment, wire):
    with Server(lambda request: text("yes")) as server:
        environment(server)
        fm = quick(model(server, wire))
        for seed in range(3):
            answer(fm, seed=seed)
        assert server.requests == {"ok": 3}
        until = time.monotonic() + 5.0
        while server.connections and time.monotonic() < until:  # the server sees the end of a connection a little later
            time.sleep(0.001)
        assert server.connections == 0


def refused(name: str, **options) -> str:
    """The one sentence that a name is refused with."""
    with pytest.raises(UsageError) as error:
        answer(quick(name, retries=0, **options))
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("openai:gpt-4o-mini", "`openai:gpt-4o-mini` needs a key: export OPENAI_API_KEY=..."),
        ("anthropic:claude", "`anthropic:claude` needs a key: export ANTHROPIC_API_KEY=..."),
        ("google:gemini", "`google:gemini` needs a key: export GOOGLE_API_KEY=..."),
        ("gpt-4o-mini", "`gpt-4o-mini` is no name of a model: write openai:MODEL"),
        ("openai:", "`openai:` is no name of a model"),
        ("antropic:claude", "did you mean `anthropic:claude`?"),
        ("address:model", "`address` is no provider"),
        ("http://127.0.0.1:9/v1", "does not say which model: write http://HOST:PORT/v1#MODEL."),
        ("http://127.0.0.1:9/v1#m", "nothing answers at http://127.0.0.1:9/v1: start the server"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_sentence_with_the_mend(monkeypatch, name, sentence):
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert sentence in refused(name)


@pytest.mark.parametrize("wire", MODELS)
def test_a_wrong_key_an_unknown_model_and_an_empty_account_are_one_sentence_each(environment, monkeypatch, wire):
    with Server(lambda request: fail(402), keys=["right"], models=[MODELS[wire].partition(":")[2]]) as server:
        environment(server)
        assert "has no credit left" in refused(MODELS[wire])
        assert f"knows no model `{wire}-9`: " in refused(f"{wire}:{wire}-9")
        monkeypatch.setenv(f"{wire.upper()}_API_KEY", "secret-but-wrong")
        sentence = refused(MODELS[wire])
    assert f"refused the key: export {wire.upper()}_API_KEY=..." in sentence
    assert "secret" not in sentence


def test_a_package_that_is_missing_is_one_sentence_with_the_mend(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    assert refused("openai:gpt") == (
        "`openai:gpt` needs `pydantic_ai`, which is not installed: pip install 'aiga[fm]'."
    )


def test_our_part_of_a_call_takes_ten_milliseconds_of_the_processor_at_most():
    async def many(fm, start):
        await asyncio.gather(*(ask(fm, seed=seed, schema=Answer) for seed in range(start, start + 40)))

    with Server(lambda request: fields(value=4)) as server:
        fm = quick(server.model(), meter=Budget(Caps(tokens=10**9)))
        asyncio.run(many(fm, 0))
        gc.collect()  # one over all that the test process holds would count as 6 ms for each of 40 calls
        began = time.process_time()
        asyncio.run(many(fm, 40))
        spent = time.process_time() - began
    assert spent / 40 <= 0.010  # the server's part and the start of a client are in it too


def test_importing_the_client_loads_neither_jax_nor_a_provider():
    look = "import sys, aiga.fm.client, aiga.fm.embed, aiga.fm.check; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jax", "pydantic", "pydantic_ai", "openai", "sklearn"} & set(loaded)
