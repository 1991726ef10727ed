"""A report shows a run, needs no network and executes nothing that a run says."""

import re
from pathlib import Path

import numpy as np
import pytest

from aiga.cli.main import main
from aiga.core.errors import UsageError
from aiga.runs.compare import compare
from aiga.runs.loop import run
from aiga.runs.report import thinned, write

WANDER = str(Path(__file__).parents[1] / "toys" / "wander.py")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(WANDER, steps=5, out=tmp_path_factory.mktemp("report") / "run", scale=2.0)


def test_a_report_holds_options_curves_lineage_and_the_systems_own_figures(finished):
    page = write(finished.directory).read_text()
    for text in ("finished after 5 steps", "{&quot;scale&quot;: 2.0}", "walk/doubled", "Stepping stones", "a &amp; b"):
        assert text in page
    assert "no foundation model was used" in page


def test_the_command_shows_all_views_of_a_run_in_their_order(finished, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["report", str(finished.directory), "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    headings = re.findall(r"<h2>(.*?)</h2>", path.read_text())
    assert headings[0].startswith("&lt;script&gt;"), "the system's own"
    assert headings[-2:] == ["What was run", "Last values"]
    assert headings.index("Curves") == 1


def test_a_report_asks_nothing_of_the_network(finished):
    page = write(finished.directory).read_text()
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", markup)
    assert "cdn" not in markup


def test_what_a_run_says_is_text_and_not_markup(finished):
    page = write(finished.directory).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_long_curves_are_thinned_to_their_ends():
    steps, values = thinned(np.arange(100_000), np.arange(100_000) * 2.0)
    assert len(steps) <= 2_000
    assert (steps[0], steps[-1]) == (0, 99_999)
    assert np.array_equal(values, steps * 2.0)


def test_a_run_without_records_has_a_report_too(tmp_path):
    broken = tmp_path / "run"
    with pytest.raises(RuntimeError):
        run(WANDER, steps=5, out=broken, breaks_at=1)
    assert "failed after 0 steps" in write(broken).read_text()


def test_comparing_shows_what_differs_and_the_last_metrics(finished, tmp_path):
    other = run(WANDER, steps=2, seed=1, out=tmp_path / "other")
    rows = compare([finished.directory, other.directory])
    assert [row["seed"] for row in rows] == [0, 1]
    assert [row["scale"] for row in rows] == [2.0, "default"]
    assert [row["run/steps"] for row in rows] == [5, 2]
    with pytest.raises(UsageError, match="holds no run"):
        compare([tmp_path])
