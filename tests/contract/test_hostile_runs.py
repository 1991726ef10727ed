"""A run folder that wants to harm who looks at it: nothing in it is executed, nothing outside it is told."""

import json
import os
import re
import sqlite3
import time

import pytest
from starlette.testclient import TestClient

from aiga.core.errors import UsageError
from aiga.dashboard import app as dashboard
from aiga.dashboard import live, places
from aiga.dashboard.app import STATIC, Settings, make_app
from aiga.runs import folder
from tests.recorded import recorded

HERE = "http://127.0.0.1:8420"
SCRIPT = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
SECRET = "the secret of the house"
VIEWS = ("own", "curves", "archive", "cloud", "lineage", "gallery", "models")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder of runs beside a secret, and what of hostile runs can be made once."""
    house = tmp_path_factory.mktemp("house")
    (house / "secret.txt").write_text(SECRET)
    recorded(house / "outside", metrics={"secret/metric": [1.0, 2.0, 3.0]})
    runs = house / "runs"
    recorded(runs / "good")
    recorded(
        runs / f"words {SCRIPT.replace('/', '')}",
        metrics={f"{SCRIPT}/x": [1.0, 2.0, 3.0], "a/words": [SCRIPT] * 3, "a/huge": ["x" * 2_000_000] * 3},
        texts=[SCRIPT, f"{SCRIPT}\n<iframe src='javascript:alert(1)'></iframe>"],
        calls=[(SCRIPT, SCRIPT, SCRIPT), ("ok", "x" * 100_000, "\ud800".encode("utf-8", "replace").decode())],
        options={SCRIPT: SCRIPT, "huge": "y" * 100_000},
        model=SCRIPT,
        created=SCRIPT,
        status=SCRIPT,
    )
    return house


@pytest.fixture(scope="module")
def client(house):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dashboard, "READING", 3.0)
        patch.setattr(dashboard, "DRAWING", 8.0)
        patch.setattr(live, "EVERY", 0.05)
        with TestClient(make_app(Settings(house / "runs")), base_url=HERE) as client:
            yield client


@pytest.fixture
def runs(house, tmp_path):
    """The folder, from which the runs of a test are removed after it."""
    before = {path.name for path in (house / "runs").iterdir()}
    yield house / "runs"
    for path in (house / "runs").iterdir():
        if path.name not in before:
            path.rename(tmp_path / path.name)


def row(client, name, status=None):
    """The row of a run in the list, once it is read, or has the status."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {row["id"]: row for row in client.get("/api/runs").json()["runs"]}
        if name in found and found[name]["status"] != "reading" and status in (None, found[name]["status"]):
            return found[name]
        time.sleep(0.02)
    raise AssertionError(found.get(name))


def everything(client, name):
    """Whatever the dashboard says about a run."""
    answers = [client.get("/api/runs"), client.get("/api/run", params={"run": name})]
    answers += [client.get("/api/figures", params={"run": name, "view": view}) for view in VIEWS]
    answers += [client.get("/api/individual", params={"run": name, "name": who}) for who in ("0", "c1.0")]
    answers += [client.get("/api/calls", params={"run": name})]
    answers += [client.get("/api/compare", params={"run": [name, "good"]})]
    answers += [client.post("/api/replay", json={"run": name, "name": "0"}, headers={"Origin": HERE})]
    return answers


def test_words_of_a_run_are_sent_as_data_that_no_browser_takes_for_a_page(client, house):
    name = next(path.name for path in (house / "runs").iterdir() if path.name.startswith("words"))
    for answer in everything(client, name):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "error" not in (told := answer.json()) or SECRET not in told["error"]
    told = row(client, name)
    assert (told["model"], told["status"], told["metrics"]["a/words"]) == (SCRIPT, SCRIPT, SCRIPT)
    assert max(len(str(value)) for value in (*told["metrics"].values(), *told["options"].values())) < 400
    calls = client.get("/api/calls", params={"run": name}).json()["calls"]
    assert calls[0]["request"][0]["text"] == SCRIPT
    assert calls[1]["cut"]["request"] > 70_000


def test_markup_of_figures_has_no_element_that_a_run_wrote(client, house):
    name = next(path.name for path in (house / "runs").iterdir() if path.name.startswith("words"))
    figures = client.get("/api/individual", params={"run": name, "name": str(1 << 32)}).json()["figures"]
    figures += client.get("/api/figures", params={"run": name, "view": "models"}).json()
    written = [figure["html"] for figure in figures if figure["kind"] == "markup"]
    assert written
    for html in written:
        assert "&lt;script&gt;" in html or "xxx" in html
        assert not re.search(r"<\s*(script|img|iframe)", html)


def test_the_pages_scripts_put_nothing_into_a_page_but_text():
    for path in STATIC.glob("*.js"):
        code = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code), (
            path
        )
        assert not re.search(r"https?://(?!www\.w3\.org)", code), path
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|<script(?![^>]*\ssrc=)|https?://|javascript:", page)
    assert "http" not in (STATIC / "style.css").read_text() + (STATIC / "figures.css").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../outside",
        "/etc",
        "good/../../outside",
        "good/media",
        "good/./",
        "good\0",
        "%2e%2e/outside",
        "x" * 5_000,
    ],
)
def test_a_name_that_leads_elsewhere_is_no_run(client, house, name):
    for answer in everything(client, name.replace("/etc", str(house / "outside"))):
        assert "secret/metric" not in answer.text
        assert answer.status_code in (200, 422)
    assert client.get("/api/run", params={"run": name}).status_code == 422


ELSEWHERE = """../../secret.txt media/../../../secret.txt /etc/passwd media/link media/folder/secret.txt
run.sqlite run.json media media/pipe media/loop media/../run.json ./media/last.png"""


@pytest.mark.parametrize("path", [*ELSEWHERE.split(), "", "media/last.png\0"])
def test_only_plain_files_of_the_runs_own_folders_are_sent(client, house, runs, path):
    media = recorded(runs / "reaching") / "media"
    (media / "link").symlink_to(house / "secret.txt")
    (media / "folder").symlink_to(house)
    (media / "loop").symlink_to("loop")
    os.mkfifo(media / "pipe")
    answer = client.get("/media", params={"run": "reaching", "path": path})
    assert answer.status_code == 422
    assert SECRET not in answer.text
    raw = client.get(f"/media?run=reaching&path={path.replace('..', '%2e%2e')}") if "\0" not in path else answer
    assert (raw.status_code, SECRET in raw.text) == (422, False)


def test_a_file_of_a_run_can_only_be_looked_at(client, runs):
    media = recorded(runs / "showing") / "media"
    names = {"a.svg": "image/svg+xml", "b.html": "application/octet-stream", "c.js": "application/octet-stream"}
    names |= {"d.xml": "application/octet-stream", "e.txt": "text/plain", "f.swf": "application/octet-stream"}
    names |= {f"{SCRIPT.replace('/', '')}.png": "image/png", 'q"\r\nX-Evil: 1.png': "image/png"}
    for name, kind in names.items():
        (media / name).write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><script>{SCRIPT}</script></svg>")
        answer = client.get("/media", params={"run": "showing", "path": f"media/{name}"})
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "x-evil" not in answer.headers
        shown = kind.startswith(("image", "text"))
        assert answer.headers["content-disposition"].startswith("inline" if shown else "attachment")


def test_the_static_files_are_those_of_the_package(client):
    for path in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", ""):
        assert client.get(f"/static/{path}").status_code in (404, 405)


def break_json(directory):
    (directory / "run.json").write_text("{not json")


def break_shape(directory):
    (directory / "run.json").write_text('["schema"]')


def break_fields(directory):
    told = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(told | {"options": [1], "limits": "x", "system": {"a": 1}}))


def break_depth(directory):
    (directory / "run.json").write_text("[" * 100_000)


def break_size(directory):
    (directory / "run.json").write_text(" " * (places.LONGEST_MANIFEST + 1))


def break_database(directory):
    (directory / "run.sqlite").write_bytes(os.urandom(5_000))


def break_end(directory):
    data = (directory / "run.sqlite").read_bytes()
    (directory / "run.sqlite").write_bytes(data[: len(data) // 2])


def break_tables(directory):
    database = sqlite3.connect(directory / "run.sqlite")
    database.execute("DROP TABLE metrics")
    database.commit()
    database.close()


def break_kinds(directory):
    database = sqlite3.connect(directory / "run.sqlite")
    database.execute("UPDATE metrics SET value = 'many' WHERE name IN (SELECT id FROM names WHERE name = 'run/steps')")
    database.execute("UPDATE lineage SET fitness = 'high', step = 'late'")
    database.commit()
    database.close()


def lose_database(directory):
    (directory / "run.sqlite").unlink()


def lose_manifest(directory):
    (directory / "run.json").unlink()


def pipe_manifest(directory):
    (directory / "run.json").unlink()
    os.mkfifo(directory / "run.json")


def pipe_database(directory):
    (directory / "run.sqlite").unlink()
    os.mkfifo(directory / "run.sqlite")


def pipe_lock(directory):
    (directory / "run.lock").unlink()
    os.mkfifo(directory / "run.lock")


def link_manifest(directory):
    (directory / "run.json").unlink()
    (directory / "run.json").symlink_to(directory.parents[1] / "outside" / "run.json")


def link_database(directory):
    (directory / "run.sqlite").unlink()
    (directory / "run.sqlite").symlink_to(directory.parents[1] / "outside" / "run.sqlite")


BROKEN = [value for name, value in list(globals().items()) if name.startswith(("break_", "lose_", "pipe_", "link_"))]


@pytest.mark.parametrize("damage", BROKEN)
def test_a_run_that_cannot_be_read_says_why_and_the_others_are_shown(client, runs, damage):
    damage(recorded(runs / damage.__name__))
    told = row(client, damage.__name__, "unreadable")
    assert told["fault"].endswith(".")
    assert str(runs) not in told["fault"]
    for answer in everything(client, damage.__name__):
        assert answer.status_code in (200, 422)
        assert "secret/metric" not in answer.text
        assert "Traceback" not in answer.text
    assert row(client, "good")["status"] == "finished"


def test_a_run_that_is_being_made_is_not_called_unreadable(client, runs):
    directory = recorded(runs / "begins")
    (directory / "run.json").rename(runs / "kept.json")
    lock = folder.locked(directory)
    deadline = time.monotonic() + 1  # some looks
    while time.monotonic() < deadline:
        rows = {row["id"]: row["status"] for row in client.get("/api/runs").json()["runs"]}
        assert rows["begins"] == "reading"
        time.sleep(0.2)
    (runs / "kept.json").rename(directory / "run.json")
    os.close(lock)
    assert row(client, "begins")["status"] == "finished"


def test_a_database_that_never_ends_is_given_up(client, runs):
    directory = recorded(runs / "endless")
    database = sqlite3.connect(directory / "run.sqlite")
    database.executescript(
        "BEGIN; ALTER TABLE metrics RENAME TO kept; CREATE VIEW metrics AS WITH RECURSIVE more(name, step, value) AS "
        "(SELECT 1, 1, 1 UNION ALL SELECT 1, step + 1, 1 FROM more) SELECT * FROM more WHERE step < 0; COMMIT;"
    )
    database.close()
    told = row(client, "endless", "unreadable")
    assert "longer than 3 seconds" in told["fault"]
    assert client.get("/api/run", params={"run": "good"}).status_code == 200


def test_a_link_to_a_run_elsewhere_is_not_followed(client, house, runs):
    (runs / "linked").symlink_to(house / "outside")
    (runs / "folder").mkdir()
    (runs / "folder" / "linked").symlink_to(house / "outside")
    names = {row["id"] for row in client.get("/api/runs").json()["runs"]}
    assert not {"linked", "folder/linked"} & names
    assert client.get("/api/run", params={"run": "linked"}).status_code == 422
    assert "secret/metric" not in client.get("/api/compare", params={"run": ["linked", "good"]}).text


@pytest.mark.parametrize(
    "system", ["{folder}/evil.py", "evil", "media.evil", "os.path", "../runs/own/evil.py", "evil.py"]
)
def test_a_run_cannot_name_code_that_is_then_executed(client, runs, system):
    directory = recorded(runs / "own", system=system.format(folder=runs / "own"))
    for place in (directory, directory / "media"):
        (place / "evil.py").write_text(f"open({str(runs / 'own' / 'executed')!r}, 'w')\ndef make(): pass\n")
    refusals = [answer.json() for answer in everything(client, "own")]
    assert not (directory / "executed").exists()
    assert any("--trust" in str(told) or "there is no system" in str(told) for told in refusals)


def test_links_among_a_runs_pictures_keep_what_writes_pictures_from_being_run(house, runs):
    directory = recorded(runs / "overwriting")
    (directory / "media" / "map.png").symlink_to(house / "secret.txt")
    assert places.faults(directory) == ""
    assert "no plain file" in places.faults(directory, writing=True)
    (directory / "media" / "map.png").unlink()
    assert places.faults(directory, writing=True) == ""


def test_a_folder_of_a_claim_with_links_is_not_compared(client, house, runs):
    for seed in (0, 1):
        recorded(runs / "claim" / f"treatment-seed{seed}")
    (runs / "claim" / "treatment-seed2").symlink_to(house / "outside")
    (runs / "claim" / "claim.json").write_text(json.dumps({"system": "evil", "treatment": {}, "control": {}}))
    answer = client.get("/api/compare", params={"folder": "claim"})
    assert (answer.status_code, "holds a link" in answer.json()["error"]) == (422, True)


def test_a_root_that_is_a_secret_place_gives_its_runs_and_nothing_else(house):
    with pytest.raises(UsageError, match="is no folder"):
        make_app(Settings(house / "secret.txt"))


def test_markup_is_rebuilt_from_a_closed_list():
    """What the page's own list leaves out; it is run in a browser by the end-to-end tests."""
    code = (STATIC / "markup.js").read_text()
    listed = set(re.findall(r"[\w-]+", code[code.index("const HTML") : code.index("const DROPPED")]))
    assert not listed & {"script", "style", "iframe", "object", "embed", "form", "input", "base", "meta", "link", "use"}
    attributes = code[code.index("const ATTRIBUTES") : code.index("const NAMESPACE")]
    assert not re.search(r"\b(href|src|srcset|action|formaction|on\w+load|onerror|xlink)\b", attributes)
