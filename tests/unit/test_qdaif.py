"""QDAIF and its parts.  Models are scripted: through the offline protocol, or on a server on loopback."""

import asyncio
from itertools import cycle
from random import Random
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from aiga.agents import lmx
from aiga.archives.grid import Grid
from aiga.archives.pool import Pool, Row, rouge_l
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.core.texts import Memory, hexadecimal
from aiga.data import grammar
from aiga.data.writing import WRITINGS
from aiga.fm.client import connect
from aiga.fm.messages import ModelFailed
from aiga.fm.offline import Offline
from aiga.inspect import texts as pictures
from aiga.judges.rubric import answered
from aiga.runs import loop, report
from aiga.systems.qdaif import OFFLINE, cells, make
from tests.fm_server import Answer, Server, fail, fields, filtered, length, malformed, said

SMALL: dict[str, Any] = {"iterations": 16, "batch": 4, "founders": 8}


def stepped(system, steps: int = 1, seed: int = 0):
    """The state after some steps, and their infos."""

    async def take():
        state, infos = system.init(jax.random.key(seed)), []
        for step in range(steps):
            state, info = await system.step(jax.random.fold_in(jax.random.key(seed), step), state)
            infos.append(info)
        return state, infos

    return asyncio.run(take())


def scripted(write, quality=1.0, place=0.5) -> Offline:
    """A model that writes what `write` says, and judges all alike."""

    def judge(random, facts):
        if facts[1] == "quality":
            return answered({"yes": quality, "no": 1 - quality})
        return answered({"positive": place, "negative": 1 - place})

    return Offline({"qdaif/write": lambda random, facts: write(facts), "qdaif/quality": judge, "qdaif/place": judge})


def test_the_cells_have_the_papers_edges_or_equal_ones():
    assert cells(WRITINGS["opinions"], "paper").shape == (20,)
    stories = cells(WRITINGS["stories"], "paper")
    assert stories.shape == (10, 10)
    assert np.allclose(stories.edges[1], [0, 0.005, 0.02, 0.05, 0.2, 0.5, 0.8, 0.95, 0.98, 0.995, 1])
    assert np.allclose(cells(WRITINGS["genre"], "uniform").edges, np.linspace(0, 1, 21)[None])
    assert cells(WRITINGS["poetry"], "paper").shape == (5, 5)


def test_the_first_step_calibrates_the_judge_and_writes_the_founders():
    state, (info, later) = stepped(make(**SMALL), steps=2)
    assert info["calibration/examples"] == 24
    assert info["calibration/threshold"] == pytest.approx(float(state.good))
    assert (info["texts/written"], later["texts/written"]) == (8, 12)
    assert info["born"].id.shape == (8, 2)
    assert (info["born"].parents == -1).all(), "the given texts are nobody"
    assert "calibration/threshold" not in later
    assert not np.isnan(state.opinions).any()


def test_near_examples_are_an_elite_and_those_of_the_nearest_cells():
    places = jax.numpy.array([[0.001], [0.007], [0.012], [0.992]])
    names = jax.numpy.arange(4, dtype=jax.numpy.uint8)[:, None] * jax.numpy.ones(16, jax.numpy.uint8)
    archive = make(world="opinions").init(jax.random.key(0)).archive
    told = lmx.Text(names, jax.numpy.zeros((4, 3, 16), jax.numpy.uint8))
    archive, _ = eqx.filter_jit(Grid.add)(archive, told, Evaluation(jax.numpy.ones(4), places))
    groups = {tuple(sorted(int(name[0]) for name, _ in lmx.near(Random(i), archive, 3))) for i in range(40)}
    assert groups == {(0, 1, 2), (1, 2, 3)}


def test_replacing_keeps_two_of_an_elites_examples_and_takes_one_of_the_pool():
    system = make(method="replace", world="opinions", **SMALL)
    state, _ = stepped(system)
    filled = np.flatnonzero(np.asarray(state.archive.fitness) > -np.inf)
    own = [{e.tobytes() for e in np.asarray(state.archive.genomes.examples)[row]} for row in filled]
    pool = {name.tobytes() for name in state.pool.text}
    for seed in range(10):
        names = {name.tobytes() for name, _ in lmx.replaced(Random(seed), state.archive, state.pool, 3)}
        assert any(len(names - one) <= 1 and names - one <= pool for one in own)


def test_controls_take_their_examples_from_where_they_say():
    given = WRITINGS["stories"].examples
    for method, alike in (("fixed", True), ("shuffled", False)):
        system = make(method=method, **SMALL)
        state, _ = stepped(system)
        seen = [[system.texts.get(n) for n, _ in system.prompt(Random(i), state).examples] for i in range(9)]
        assert all(sorted(one) == sorted(given) for one in seen)
        assert all(tuple(one) == given for one in seen) == alike
    system = make(method="random", **SMALL)
    state, _ = stepped(system, steps=2)
    assert state.pool.size == 3 + 12
    drawn = {tuple(identity) for i in range(60) for _, identity in system.prompt(Random(i), state).examples}
    assert {(0, i) for i in range(4)} <= drawn, "founders"
    assert (-1, -1) in drawn, "the given texts"


def test_founders_without_examples_have_none():
    heard = []
    system = make(
        world="opinions", beginning="zero_shot", fm=scripted(lambda facts: heard.append(facts[1]) or "x"), **SMALL
    )
    stepped(system)
    assert heard == [[]] * 8


def test_a_text_that_the_model_fails_on_is_reported_and_never_kept():
    count = iter(range(100))

    def write(facts):
        number = next(count)
        if number % 2:
            raise ModelFailed("empty", "nothing came")
        return f"text {number}"

    state, (info,) = stepped(make(world="opinions", fm=scripted(write), **SMALL))
    failed = [value for name, value in info.items() if name.startswith("failed")]
    assert [event.reason for event in failed] == ["empty: nothing came"] * 4
    assert np.isnan(info["born"].fitness).tolist() == [False, True] * 4
    assert info["judge/failed"] == 4
    assert (np.asarray(state.archive.fitness) > -np.inf).sum() == 1


def test_a_judge_that_says_yes_to_all_is_warned_about():
    _, (info,) = stepped(make(world="opinions", fm=scripted(lambda facts: "text"), **SMALL))
    assert info["calibration/warning"] == info["warned"].reason
    assert "as is a coin" in info["calibration/warning"]


def test_quantile_edges_follow_what_was_judged_and_elites_keep_their_names():
    system = make(bins="quantile", **{**SMALL, "founders": 20, "iterations": 60})
    state, _ = stepped(system)
    edges = np.asarray(state.archive.cells.edges)
    assert np.allclose(edges[0, 1:-1], np.quantile(state.places[:, 0], np.arange(1, 10) / 10), atol=1e-6)
    before = {tuple(i) for i in np.asarray(state.archive.identity).tolist()}
    for step in range(5):
        state, _ = asyncio.run(system.step(jax.random.key(step), state))
    assert len(state.places) == 40
    assert not np.allclose(edges, state.archive.cells.edges)
    assert before & {tuple(i) for i in np.asarray(state.archive.identity).tolist()} - {(-1, -1)}


def test_poems_are_rewritten_towards_a_target_and_rated():
    heard = []

    def write(random, facts):
        heard.append(facts)
        return grammar.write(random, *facts)

    system = make(world="poetry", fm=Offline({**OFFLINE, "qdaif/write": write}), **SMALL)
    state, (info,) = stepped(system)
    assert info["judge/how"] == "logprobs+rating"
    assert all(len(examples) == 1 and len(target) == 2 for _, examples, target in heard)
    told = lmx.messages(WRITINGS["poetry"], ["A line"], ("haiku", "dark"))
    assert told[1].text.startswith("A line\n\nRewrite this poem")
    assert "genre haiku and tone dark" in told[1].text
    assert np.isin(np.round(state.places * 10), [1, 3, 5, 7, 9]).all()


def test_a_prompt_ends_with_the_opening_and_a_reply_with_the_separator():
    opinions = WRITINGS["opinions"]
    told = lmx.messages(opinions, ["One.", "Two."], ())
    assert told[1].text.split("\n###\n") == [f"{opinions.opening} One.", f"{opinions.opening} Two.", opinions.opening]
    assert (
        lmx.tidied(f"\n### {opinions.opening} Peas, please.\n###\n{opinions.opening} more", opinions.opening)
        == "Peas, please."
    )
    assert lmx.tidied(" ### \n", opinions.opening) == ""


def test_the_writer_resembles_its_examples_and_follows_its_seed():
    stories = WRITINGS["stories"]
    romance = ["The spy kept the kiss that the passionate senator dropped. The tender minister loved the rose."] * 3
    texts = [grammar.write(Random(i), stories, romance) for i in range(40)]
    mixed = [grammar.write(Random(i), stories, stories.examples) for i in range(40)]
    means = [np.mean([grammar.read(stories, "genre", text)["romance"] for text in some]) for some in (texts, mixed)]
    assert means[0] > 0.9 > 0.6 > means[1]
    assert texts[7] == grammar.write(Random(7), stories, romance)


def test_the_reader_is_saturated_and_knows_good_texts_from_bad():
    opinions = WRITINGS["opinions"]
    half = "I enjoy eating peas, because they cost little."  # one word of grade one half
    assert grammar.place(opinions, half) == [0.75]
    assert grammar.read(opinions, "sentiment", half)["positive"] == pytest.approx(1 / (1 + np.exp(-6)))
    assert grammar.place(opinions, "Nothing of note.") == [0.5]
    for writing in WRITINGS.values():
        for text, good in grammar.labelled(writing, 12):
            assert (grammar.read(writing, "quality", text)["yes"] > 0.5) == good, text


def test_rouge_l_is_the_share_of_the_longest_common_subsequence():
    assert rouge_l("the spy saw the senator", "The spy lost the old senator") == pytest.approx(2 * 4 / (5 + 6))
    assert rouge_l("a b c", "c b a") == pytest.approx(1 / 3)
    assert (rouge_l("a b", "a b"), rouge_l("", "a"), rouge_l("a", "b")) == (1, 0, 0)


def offer(pool: Pool, rule, texts: Memory, text: str, fitness: float = 1.0, place: float = 0.5) -> Pool:
    return pool.offer(rule, Row(texts.put(text), (0, 0), fitness, np.array([place], np.float32)), texts.get)


def test_a_pool_offers_all_or_the_best_hundred():
    pool, texts = Pool.empty(1), Memory()
    for i in range(150):
        pool = offer(pool, "best", texts, str(i), fitness=i / 150 if i % 2 else 0.0)
    assert len(pool.offered("everything")) == 150
    assert set(range(1, 150, 2)) <= set(pool.offered("best"))
    assert len(pool.offered("best")) == 100
    assert pool.offered("novel") == list(range(50, 150))


def test_a_pool_admits_what_is_good_and_unlike_in_words():
    pool, texts = Pool.empty(1), Memory()
    for text in ("a b c d", "e f g h", "i j k l"):
        pool = offer(pool, "unlike", texts, text, fitness=0.0)
    assert pool.size == 3, "the first are always admitted"
    assert offer(pool, "unlike", texts, "a b c x").size == 3
    assert offer(pool, "unlike", texts, "a b x y").size == 4
    assert offer(pool, "unlike", texts, "a b x y", fitness=0.8).size == 3


def test_a_pool_admits_novel_places_and_moves_its_threshold():
    pool, texts = Pool.empty(1), Memory()
    for i in range(3):
        pool = offer(pool, "novel", texts, str(i), place=0.5)
    assert offer(pool, "novel", texts, "near", place=0.54).size == 3
    for i, place in enumerate((0.6, 0.7, 0.8)):
        pool = offer(pool, "novel", texts, f"far {i}", place=place)
    assert pool.size == 6
    assert float(pool.threshold) == pytest.approx(0.05 * 1.05), "after more than two admissions in a row"
    pool = Pool.empty(1)
    for i in range(3 + 21):
        pool = offer(pool, "novel", texts, str(i), place=0.5)
    assert pool.size == 3
    assert float(pool.threshold) == pytest.approx(0.05 * 0.95), "after more than twenty rejections in a row"


OPINION = "### What one person says about eating vegetables: I like carrots, because they are sweet.\n###\nWhat"
WRITTEN = (
    OPINION,
    length(),
    fail(500),
    "I never eat carrots since they are dull.",
    filtered(),
    malformed(),
    "<b>carrots</b>",
)
"""What comes of requests to write, in turn: some failures pass, some do not."""


def replies():
    """What a model that knows carrots says to each request of QDAIF."""
    written, rated = cycle(WRITTEN), cycle((7, 11, 3))

    def reply(request) -> Answer | str:
        asked = said(request)
        if "Continue the list" in asked:
            return next(written)
        if "Reply with the poem alone" in asked:
            return "The quiet carrot\nlies in the garden at night\nand nobody knows"
        if "whole number from 1" in asked:
            return fields(reason="plain", rating=next(rated) if "carrot" in asked else 1)
        if "positive, negative" in asked:
            return Answer("Positive", tokens=(("Positive", {"Positive": -0.02, "negative": -4.0}),))
        if "yes, no" in asked:
            top = {"Yes": -0.2, "no": -1.8} if "carrots" in asked else {"no": -0.1, "Yes": -2.5}
            return Answer(f"{max(top, key=top.get)}.", tokens=((max(top, key=top.get), top), (".", {".": -0.1})))
        return "Haiku." if "haiku" in asked else "dark"

    return reply


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"text": "carrots", "label": true}\n{"text": "stones", "label": false}\n')
    return str(path)


@pytest.fixture
def served(monkeypatch):
    with Server(replies()) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize(("name", "how"), [("openai:gpt-4o-mini", "logprobs"), ("anthropic:claude-haiku-4-5", "votes")])
def test_it_runs_with_a_model_that_sometimes_fails(served, labels, name, how):
    system = make(world="opinions", votes=2, labels=labels, fm=connect(name, backoff=0.001), **SMALL)
    state, infos = stepped(system, steps=3)
    assert {info["judge/how"] for info in infos} == {how}
    assert infos[0]["calibration/how"] == how
    failed = [
        event.reason.partition(":")[0] for info in infos for key, event in info.items() if key.startswith("failed")
    ]
    assert failed.count("length") == served.requests["length"] > 0
    assert failed.count("filter") == served.requests["filter"] > 0
    assert len(failed) == failed.count("length") + failed.count("filter"), "what passes was tried again"
    assert min(served.requests["500"], served.requests["malformed"]) > 0
    place = 1 / (1 + np.exp(-3.98)) if how == "logprobs" else 1.0
    assert np.allclose(state.places, place)
    best = int(np.argmax(state.archive.fitness))
    assert system.texts.get(np.asarray(state.archive.genomes.text)[best]) == "I like carrots, because they are sweet."


def test_poems_are_rated_by_a_model_without_log_probabilities(served, labels):
    system = make(world="poetry", labels=labels, fm=connect("anthropic:claude-haiku-4-5", backoff=0.001), **SMALL)
    _, (info,) = stepped(system)
    assert info["judge/how"] == "rating+votes"
    failed = [event.reason for key, event in info.items() if key.startswith("failed")]
    assert failed
    assert all(reason == "invalid: a rating of 11 is not from 1 to 10" for reason in failed)
    assert float(info["archive/best"]) == pytest.approx(6 / 9)


def test_the_report_shows_texts_word_for_word_and_never_as_markup(tmp_path):
    run = loop.run("qdaif", steps=1, out=tmp_path / "run", world="poetry", **SMALL)
    page = report.write(run.directory).read_text()
    state = run.state
    best = int(np.argmax(state.archive.fitness))
    first = run.blob(hexadecimal(np.asarray(state.archive.genomes.text)[best])).decode().splitlines()[0]
    assert page.count(first) >= 2, "hovering and in the table"
    assert "Calibration of the judge" in page
    assert (
        pictures.folded("<b>bold</b>\n" + "word " * 14)
        == "&lt;b&gt;bold&lt;/b&gt;<br>" + ("word " * 12).strip() + "<br>word word"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"founders": 30}, "--founders 30: give numbers above zero, and founders that are a multiple of the batch"),
        ({"batch": 0}, "--batch 0"),
        ({"votes": 0}, "--votes 0"),
        ({"temperature": float("nan")}, "--temperature nan"),
        ({"beginning": "zero_shot", "method": "fixed"}, "--method fixed repeats the given examples"),
        ({"world": "poetry", "bins": "quantile"}, "--bins quantile divides probabilities"),
        ({"labels": "nowhere.jsonl"}, "nowhere.jsonl cannot be read"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make(**options)
