"""The dashboard lists runs, shows them, follows them, and lets in who may come in."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import time

import pytest
from starlette.testclient import TestClient

from aiga.core.errors import UsageError
from aiga.dashboard import places, serve
from aiga.dashboard.app import Settings, make_app
from aiga.dashboard.jobs import Answers, Lane
from aiga.dashboard.live import Watcher
from aiga.dashboard.places import Root
from aiga.dashboard.security import loopback
from tests.recorded import recorded

HERE = "http://127.0.0.1:8420"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs beside each other, and two in a folder."""
    folder = tmp_path_factory.mktemp("runs")
    metrics = {"a/x": [1.0, 4.0, 9.0], "a/flat": [2.0, 2.0, 2.0], "a/odd": [float("nan"), float("inf"), 1.0]}
    calls = [("ok", f"What is {i}?", f"It is {i}.") for i in range(30)] + [("timeout", "And 100 %?", "")]
    recorded(folder / "first", metrics=metrics, texts=["one", "one\ntwo"], calls=calls)
    recorded(folder / "broken", metrics={"a/x": [1.0]}, births=1, status="failed", seed=3)
    for seed in (0, 1):
        recorded(folder / "claim" / f"arm-seed{seed}", metrics={"a/x": [seed, 2.0 + seed, 3.0]}, seed=seed)
    return folder


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(make_app(Settings(runs)), base_url=HERE) as client:
        yield client


def listed(client):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        rows = {row["id"]: row for row in client.get("/api/runs").json()["runs"]}
        if all(row["status"] != "reading" for row in rows.values()):
            return rows
    raise AssertionError(rows)


def test_the_list_has_every_run_with_status_progress_cost_and_picture(client):
    rows = listed(client)
    assert set(rows) == {"first", "broken", "claim/arm-seed0", "claim/arm-seed1"}
    first = rows["first"]
    assert (first["status"], first["steps"], first["progress"]) == ("finished", 3, 0.3)
    assert first["title"] == "MAP-Elites: the best of every kind"
    assert first["cost"] == {"usd": pytest.approx(0.031), "tokens": 465, "calls": 31}
    assert first["picture"] == "media/last.png"
    assert first["metrics"]["a/x"] == 9.0
    assert first["command"].endswith("/first")
    assert (rows["broken"]["status"], rows["broken"]["seed"]) == ("failed", 3)


def test_a_runs_page_names_its_views(client):
    told = client.get("/api/run", params={"run": "first"}).json()
    names = [view["name"] for view in told["views"]]
    assert names[:2] == ["own", "curves"]
    assert {"lineage", "gallery", "models"} <= set(names)
    assert told["facts"]["limits"] == {"steps": 10, "minutes": None}


def test_figures_come_as_json_and_only_when_they_have_changed(client):
    asked = {"run": "first", "view": "curves"}
    answer = client.get("/api/figures", params=asked)
    figure = answer.json()[0]
    assert (figure["kind"], figure["title"]) == ("plotly", "Curves")
    assert {trace["type"] for trace in figure["figure"]["data"]} == {"scatter"}
    again = client.get("/api/figures", params=asked, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_choices_reach_the_figures(client):
    asked = {"run": "first", "view": "curves", "names": "a/flat", "log": "y"}
    layout = client.get("/api/figures", params=asked).json()[0]["figure"]["layout"]
    assert layout["yaxis"]["type"] == "log"
    wrong = client.get("/api/figures", params=asked | {"names": "nothing"})
    assert (wrong.status_code, "no run has a metric 'nothing'" in wrong.json()["error"]) == (422, True)


def test_pictures_are_sent_and_named_by_figures(client, runs):
    figure = client.get("/api/figures", params={"run": "first", "view": "gallery"}).json()[0]
    assert (figure["kind"], figure["file"]) == ("picture", "media/last.png")
    answer = client.get("/media", params={"run": "first", "path": figure["file"]})
    assert answer.content == (runs / "first" / "media" / "last.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"


def test_an_individual_has_facts_and_a_change(client):
    told = client.get("/api/individual", params={"run": "first", "name": str(1 << 32)}).json()
    assert told["replayable"] is False
    assert [figure["kind"] for figure in told["figures"]][:2] == ["table", "plotly"]
    assert "two" in told["figures"][-1]["html"]
    nobody = client.get("/api/individual", params={"run": "first", "name": "5"})
    assert (nobody.status_code, "no individual" in nobody.json()["error"]) == (422, True)


def test_calls_are_paged_and_searched(client):
    page = client.get("/api/calls", params={"run": "first", "start": "20"}).json()
    assert (page["total"], len(page["calls"]), page["outcomes"]) == (31, 11, ["ok", "timeout"])
    spoken = page["calls"][0]["request"]
    assert spoken[0] == {"who": "user", "text": "What is 20?"}
    assert spoken[1]["who"] == "settings"
    for text, count in (("what IS 2", 11), ("100 %", 1), ("_", 0), ("100_%", 0)):
        assert client.get("/api/calls", params={"run": "first", "text": text}).json()["total"] == count
    failed = client.get("/api/calls", params={"run": "first", "outcome": "timeout"}).json()
    assert [call["outcome"] for call in failed["calls"]] == ["timeout"]
    assert client.get("/api/calls", params={"run": "first", "start": "-1"}).status_code == 422


def test_every_page_says_what_a_browser_may_do(client):
    for path in ("/", "/static/app.js", "/api/runs", "/nowhere", "/media?run=first&path=media/last.png"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'self' 'unsafe-inline'" not in headers["content-security-policy"]
    assert "text/html" in client.get("/").headers["content-type"]
    assert "sandbox" in headers["content-security-policy"]


def test_another_site_is_not_answered(runs):
    client = TestClient(make_app(Settings(runs)))
    assert client.get(f"{HERE}/").status_code == 200
    for host in ("127.0.0.1:1", "localhost:8420", "[::1]:8420", "localhost"):
        assert client.get("/", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8420", "127.evil", ""):
        assert client.get("/", headers={"Host": host}).status_code == 403
    crossing = {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/api/runs", headers=crossing).status_code == 403


def test_a_replay_is_asked_from_the_dashboards_own_page(client):
    question = {"run": "first", "name": "1"}
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.post("/api/replay", json=question, headers=origin).status_code == 403
    assert client.get("/api/replay").status_code == 405
    own = {"Origin": HERE}
    assert client.post("/api/replay", content=b"[1]", headers=own).status_code == 422
    assert client.post("/api/replay", content=b"x" * 20_000, headers=own).status_code == 422
    assert client.post("/api/replay", json={"run": "../first"}, headers=own).status_code == 422


def test_a_token_opens_the_door_once_and_the_cookie_from_then_on(runs):
    client = TestClient(make_app(Settings(runs, token="secret-token", local=False)), base_url="http://box:8420")
    assert client.get("/").status_code == 401
    assert client.get("/?token=secret-tokem").status_code == 401
    assert client.get("/api/runs", headers={"Cookie": "aiga-dashboard=secret-token"}).status_code == 401
    entered = client.get("/?token=secret-token&x=1", follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "/?x=1")
    led = client.get("http://box:8420//elsewhere.example/?token=secret-token", follow_redirects=False)
    assert led.headers["location"] == "/elsewhere.example/", "a path, and no other site"
    cookie = entered.headers["set-cookie"]
    assert "secret-token" not in cookie
    assert all(part in cookie.lower() for part in ("httponly", "samesite=strict"))
    assert client.get("/").status_code == 200
    stranger = TestClient(client.app, base_url="http://box:8420")
    assert stranger.get("/static/app.js").status_code == 401
    assert stranger.get("/", headers={"Authorization": "Bearer secret-token"}).status_code == 200


def test_only_this_machines_own_addresses_are_loopback():
    assert all(map(loopback, ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost")))
    assert not any(map(loopback, ("0.0.0.0", "::", "10.0.0.1", "box", "")))


def test_a_taken_port_is_refused_if_it_was_asked_for_and_passed_over_if_not(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {number} is taken"):
            serve.bound("127.0.0.1", number)
        monkeypatch.setattr(serve, "PORT", number)
        with serve.bound("127.0.0.1", None) as free:
            assert number < free.getsockname()[1] < number + serve.TRIED
    with pytest.raises(UsageError, match="--port is 70000"):
        serve.bound("127.0.0.1", 70000)
    with pytest.raises(UsageError, match="cannot be listened on"):
        serve.bound("192.0.2.1", None)


def test_beyond_this_machine_there_is_always_a_token():
    assert serve._token("", local=True) == ""
    assert len(serve._token("", local=False)) >= 32
    assert serve._token("long-enough", local=False) == "long-enough"
    with pytest.raises(UsageError, match="8 or more"):
        serve._token("short", local=False)
    assert serve.address("::1", 1, "abc") == "http://[::1]:1/?token=abc"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        Root(tmp_path / "nowhere")


def test_runs_are_found_below_folders_but_not_below_runs(tmp_path):
    for path in ("a/run.json", "a/media/b/run.json", "c/d/run.sqlite", ".hidden/run.json", "e/f/g/h/i/j/run.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert Root(tmp_path).runs() == places.Found(["a", "c/d"], complete=True)
    assert Root(tmp_path / "a").runs().names == ["."]


def test_a_task_that_takes_too_long_is_ended_and_the_next_one_is_answered():
    async def both():
        lane = Lane(0.3)
        try:
            with pytest.raises(UsageError, match=r"longer than 0\.3 seconds"):
                await lane.ask(time.sleep, 60)
            lane.seconds = 30.0
            with pytest.raises(UsageError, match="was killed"):
                await lane.ask(os._exit, 3)
            with pytest.raises(UsageError, match="cannot be shown"):
                await lane.ask(int, "x")
            return await lane.ask(abs, -3)
        finally:
            lane.close()

    assert asyncio.run(both()) == 3


def test_what_nobody_waits_for_makes_room_for_the_next_question():
    async def left():
        return True

    async def asked():
        answers = Answers()
        lane = Lane(60.0, answers.wanted)
        try:
            with pytest.raises(UsageError, match="nobody waits"):
                await answers.get("slow", 1, lambda: lane.ask(time.sleep, 60), left)
            return await asyncio.wait_for(lane.ask(abs, -3), 30)
        finally:
            lane.close()

    assert asyncio.run(asked()) == 3


def test_the_same_question_is_computed_once_until_the_run_changes():
    asked = []

    async def compute():
        asked.append(1)
        await asyncio.sleep(0.01)
        return b"answer"

    async def all_at_once():
        answers = Answers()
        await asyncio.gather(*(answers.get("q", 1, compute) for _ in range(5)))
        await answers.get("q", 1, compute)
        await answers.get("q", 2, compute)

    asyncio.run(all_at_once())
    assert len(asked) == 2


def test_a_stream_tells_of_what_changed_and_of_nothing_else(tmp_path):
    async def followed():
        lane = Lane(30.0)
        watcher = Watcher(Root(tmp_path), lane)
        try:
            await watcher.listed(patience=10)
            stream = watcher.changes(lambda: False)
            await anext(stream)
            recorded(tmp_path / "second", births=1)
            added = await asyncio.wait_for(anext(stream), 10)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 2.5)
            return added
        finally:
            watcher.close()
            lane.close()

    recorded(tmp_path / "first", births=1)
    added = asyncio.run(followed())
    assert '"id":"second"' in added
    assert '"id":"first"' not in added


def test_the_server_never_imports_jax():
    code = (
        "import sys, aiga.dashboard.app, aiga.dashboard.serve, aiga.inspect.views;"
        "sys.exit(bool({'jax', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_port_that_may_not_be_used_is_said_in_a_sentence(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serve, "_listening", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        serve.bound("127.0.0.1", 80)
