import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_runs import Birth, name, written

from aiga.core.errors import UsageError
from aiga.inspect import individuals
from aiga.runs.events import Cloud
from aiga.runs.figures import Figure, Markup
from aiga.runs.record import Run

PNG = b"\x89PNG\r\n\x1a\n"
FAMILY = [
    Birth(0, fitness=1.0, cell=4, text=b"one\ntwo\n"),
    Birth(1, parent=0, fitness=2.0, cell=4, replaced=0, text=b"one\n<script>three</script>\n"),
    Birth(2, parent=1, other=0, fitness=float("nan"), text=PNG),
    Birth(3, parent=1, text=b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n"),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(written(tmp_path / "run", FAMILY))


def facts(figure: Figure) -> dict[str, str]:
    return {row[""]: row["value"] for row in figure.content}


def test_the_facts_say_where_it_came_from_and_what_became_of_it(run: Run):
    first = facts(individuals.figures(run, name(0))[0])
    assert first["born"] == "at step 0, by by hand"
    assert first["fitness"] == "1"
    assert first["cell"] == "4"
    assert first["parents"] == "none"
    assert first["children"] == "1: 1.0"
    assert first["replaced"] == "by 1.0 at step 1"
    third = facts(individuals.figures(run, name(2))[0])
    assert third["parents"] == "1.0, 0.0"
    assert third["fitness"] == "failed or not known"
    assert "cell" not in third


def test_its_line_and_its_children_can_be_clicked(run: Run):
    children, line = individuals.figures(run, name(1))[1].content.data
    assert list(line.customdata) == [name(0), name(1)]
    assert list(children.customdata) == [name(2), name(3)]


def test_its_text_is_compared_to_its_parents_and_nothing_in_it_is_markup(run: Run):
    shown = individuals.figures(run, name(1))[2].content
    assert isinstance(shown, Markup)
    assert "<script>" not in shown.html
    assert "&lt;script&gt;three" in shown.html
    assert "+&lt;script&gt;three" in shown.html
    assert "-two" in shown.html


def test_a_picture_is_shown_and_a_diff_is_coloured(run: Run):
    picture, diff = (individuals.figures(run, name(step))[2].content.html for step in (2, 3))
    assert picture.startswith('<img alt="" src="data:image/png;base64,iVBORw0K')
    assert "+new" in diff
    assert "background:#d3f4dc" in diff


def test_a_huge_text_is_cut(tmp_path: Path):
    run = Run(written(tmp_path / "run", [Birth(0, text=b"x\n" * 10**6), Birth(1, parent=0, text=b"y\n" * 10**6)]))
    shown = individuals.figures(run, name(1))[2].content.html
    assert "more letters" in shown
    assert len(shown) < 10**6


@pytest.mark.parametrize("wrong", ["", "-1", "77", "1.0", "²", "9" * 25, "<img>", "c", "c1", "c1.1", "c99.x"])
def test_a_name_of_nobody_is_refused(run: Run, wrong: str):
    with pytest.raises(UsageError):
        individuals.figures(run, wrong)


def test_texts_that_do_not_differ_say_so():
    assert individuals.difference("same", "same") == "(no line differs)"


def test_a_pseudo_offspring_has_facts_and_the_line_of_its_parent(tmp_path: Path):
    behaviour, two = np.array([[[0.5, 1 / 3], [2, 3]]]), np.ones((1, 2), int)
    cloud = Cloud(
        np.array([[1, 0]]), np.array([4]), behaviour, two.astype(float), two, two, np.zeros((1, 2), np.uint32)
    )
    run = Run(written(tmp_path / "run", FAMILY, {"cloud": cloud}))
    told, line = individuals.figures(run, "c1.0")
    assert facts(told)["behaviour"] == "0.5, 0.333333"
    assert facts(told)["parent"] == name(1)
    assert list(line.content.data[1].customdata) == [name(0), name(1)]


@pytest.mark.parametrize(
    ("column", "value"), [("step", "now"), ("fitness", "<b>"), ("others", "[[]]"), ("others", "{"), ("blob", "none")]
)
def test_a_damaged_row_is_told_of(run: Run, column: str, value: str):
    with closing(sqlite3.connect(run.directory / "run.sqlite")) as database:
        database.execute(f"UPDATE lineage SET {column} = ? WHERE id = 0", (value,))
        database.commit()
    with pytest.raises(UsageError, match=r"restore a copy|has no blob"):
        individuals.figures(run, "0")
