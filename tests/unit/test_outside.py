"""What a run asks of the world outside is kept, counted, and asked once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aiga.cli.main import main
from aiga.core.errors import UsageError
from aiga.core.texts import hexadecimal
from aiga.runs import report
from aiga.runs.loop import resume, run
from aiga.runs.outside import Asked, Outside
from aiga.runs.record import Run
from aiga.sandbox import ladder
from tests.fm_server import Server, fail, said, text

TOY = str(Path(__file__).parents[1] / "toys" / "asker.py")
PRICED = "openai:gpt-4o-mini"


def answer(request):
    return text(f"reply to {said(request)}", usage=(1000, 50))


@pytest.fixture
def server(monkeypatch):
    with Server(answer) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def test_without_a_model_the_grammar_answers_and_the_record_says_so(tmp_path):
    done = run(TOY, steps=2, out=tmp_path / "run")
    assert done.metric("toy/said").values[0].startswith("grammar")
    assert done.manifest["model"] is None
    assert done.cost() == {"usd": 0.0, "tokens": 0, "calls": 0}
    assert "no foundation model was used" in report.write(done.directory).read_text()


def test_calls_are_kept_and_tokens_and_dollars_are_the_servers_own(server, tmp_path):
    done = run(TOY, steps=3, out=tmp_path / "run", fm=PRICED)
    cost = done.cost()
    assert (cost["calls"], cost["tokens"]) == (6, 6 * 1050)
    assert cost["tokens"] == server.tokens_in + server.tokens_out
    assert cost["usd"] == pytest.approx(server.dollars)
    assert done.summary()["model"] == PRICED
    assert [call["task"] for call in done.calls()] == ["toy/ask"] * 6
    assert done.blob(hexadecimal(done.state.last)) == b"reply to question 4"


def test_steps_that_are_taken_again_are_told_the_same_for_free(server, tmp_path):
    done = run(TOY, steps=3, out=tmp_path / "run", fm=PRICED)
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (done.directory / name).unlink(missing_ok=True)  # as if killed before the first
    resume(done.directory, steps=4)
    assert server.requests == {"ok": 8}
    assert done.metric("toy/cached").values.tolist() == [2, 2, 2, 0]
    assert done.cost()["calls"] == 8


def test_what_was_finished_is_known_to_steps_that_are_taken_again_and_to_a_replay(server, tmp_path):
    done = run(TOY, steps=2, out=tmp_path / "run", fm=PRICED)
    assert done.metric("toy/before").values.tolist() == ["", ""]
    again = run(TOY, steps=2, out=tmp_path / "again", fm=f"replay:{done.directory}")
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (done.directory / name).unlink(missing_ok=True)
    done = resume(done.directory, steps=3)
    said = done.metric("toy/said").values.tolist()
    assert done.metric("toy/before").values.tolist() == [*said[:2], ""]
    assert again.metric("toy/before").values.tolist() == said[:2]


def test_another_run_can_be_replayed_without_a_network_and_a_miss_is_loud(server, tmp_path):
    first = run(TOY, steps=2, out=tmp_path / "first", fm=PRICED)
    asked = dict(server.requests)
    again = run(TOY, steps=2, out=tmp_path / "again", fm=f"replay:{first.directory}")
    assert again.metric("toy/said").values.tolist() == first.metric("toy/said").values.tolist()
    assert again.cost()["usd"] == 0
    third = run(TOY, steps=2, out=tmp_path / "third", fm=f"replay:{again.directory}")
    assert third.metric("toy/said").values.tolist() == first.metric("toy/said").values.tolist()
    with pytest.raises(UsageError, match="toy/ask"):
        run(TOY, steps=2, seed=1, out=tmp_path / "other", fm=f"replay:{first.directory}")
    assert dict(server.requests) == asked


def test_a_budget_stops_the_run_cleanly_and_a_larger_one_lets_it_go_on(server, tmp_path):
    done = run(TOY, steps=9, out=tmp_path / "run", fm=PRICED, budget_calls=5)
    assert (done.status, done.cost()["calls"], server.requests["ok"]) == ("budget", 5, 5)
    assert "--budget-calls" in done.reason
    done = resume(done.directory, budget_calls=8, steps=4)
    assert (done.status, done.cost()["calls"], server.requests["ok"]) == ("finished", 8, 8)


def test_what_is_under_way_when_a_run_ends_is_waited_for_and_kept(server, tmp_path):
    server.script = lambda request: text("late", delay=0.3, usage=(10, 1)) if "1" in said(request) else fail(400)
    with pytest.raises(Exception, match="400"):
        run(TOY, steps=1, out=tmp_path / "run", fm=PRICED, second="question 1")
    done = Run(tmp_path / "run")
    assert [call["outcome"] for call in done.calls()] == ["rejected", "ok"]
    assert done.cost()["tokens"] == server.tokens_in + server.tokens_out


def test_a_budget_of_dollars_is_never_passed(server, tmp_path):
    server.script = lambda request: text("long", usage=(20, 50))
    done = run(TOY, steps=9, out=tmp_path / "run", fm=PRICED, budget=0.0002)
    assert done.status == "budget"
    assert 0.0001 < done.cost()["usd"] == pytest.approx(server.dollars)
    assert server.dollars <= 0.0002


def test_failed_candidates_stop_nothing_but_what_a_system_does_not_catch(server, tmp_path):
    server.script = lambda request: fail(400)
    with pytest.raises(Exception, match="400"):
        run(TOY, steps=1, out=tmp_path / "run", fm=PRICED)
    assert Run(tmp_path / "run").status == "failed"
    assert {call["outcome"] for call in Run(tmp_path / "run").calls()} == {"rejected"}


def test_prompts_and_replies_are_in_the_report_escaped_and_exported(server, tmp_path, capsys):
    server.script = lambda request: text("<script>alert(1)</script>")
    done = run(TOY, steps=1, out=tmp_path / "run", fm=PRICED)
    page = report.write(done.directory).read_text()
    assert "Prompts and replies" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert main(["fm", "export", str(done.directory)]) == 0
    assert "2 requests" in capsys.readouterr().out
    rows = [json.loads(line) for line in (done.directory / "calls.jsonl").read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["ok", "ok"]
    assert "question 0" in json.dumps(rows[0]["request"])


def test_a_program_runs_once_and_counts_as_an_evaluation(tmp_path):
    done = run(TOY, steps=2, out=tmp_path / "run", programs=True)
    assert done.metric("toy/doubled").values.tolist() == [26, 26]
    assert done.programs_run() == 1, "the second was the same"
    assert done.manifest["sandbox"] not in (None, "none")
    stopped = run(TOY, steps=9, out=tmp_path / "stopped", programs=True, budget_evaluations=1, second="x")
    assert stopped.status == "finished"


def test_what_runs_without_a_sandbox_is_stamped(tmp_path):
    done = run(TOY, steps=1, out=tmp_path / "run", programs=True, unsafe_no_sandbox=True)
    assert done.summary()["sandbox"] == "none (--unsafe-no-sandbox)"
    assert "none (--unsafe-no-sandbox)" in report.write(done.directory).read_text()


def test_without_any_sandbox_only_a_run_that_needs_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGA_SANDBOX", "none")
    assert run(TOY, steps=1, out=tmp_path / "needless").status == "finished"
    with pytest.raises(UsageError, match="--unsafe-no-sandbox"):
        run(TOY, steps=1, out=tmp_path / "run", programs=True)


@pytest.mark.parametrize(
    ("system", "options", "sentence"),
    [
        ("map_elites", {"fm": "openai:x"}, "map_elites has no use for --fm: leave it out."),
        ("map_elites", {"unsafe_no_sandbox": True}, "no use for --unsafe-no-sandbox"),
        (TOY, {"fm": "nobody"}, "nobody"),
        (TOY, {"fm": "replay:nowhere"}, "nowhere"),
        (TOY, {"budget_tokens": 0}, "--budget-tokens is 0: give a number above zero."),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_before_anything_is_written(system, options, sentence, tmp_path):
    with pytest.raises(UsageError) as refused:
        run(system, steps=1, out=tmp_path / "run", **options)
    assert sentence in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_program_that_asks_on_does_not_keep_a_run_from_ending():
    try:
        ladder.best()
    except UsageError as missing:
        pytest.skip(str(missing))

    async def ended() -> int | None:
        outside, asked = Outside(Asked(), {"sandbox", "budget"}), asyncio.Event()

        async def serve(request: Any) -> Any:
            asked.set()
            await asyncio.sleep(0.2)
            await outside.budget.reserve(calls=1)  # given to nobody any more

        words = ["python", "-c", "from broker import ask; ask(1)"]
        working = asyncio.create_task(outside.resources["sandbox"].run(words, files={}, serve=serve))
        await asked.wait()
        await asyncio.wait_for(outside.settle(), 5)
        working.cancel()
        return outside.budget.spent.evaluations

    assert asyncio.run(ended()) == 1
