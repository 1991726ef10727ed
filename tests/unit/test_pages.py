"""Pages of figures: self-contained, light, by day and by night, on paper, and as Markdown."""

import re

import numpy as np
import pytest
from PIL import Image
from recorded import recorded

from aiga.cli.main import main
from aiga.core.errors import UsageError
from aiga.runs import browser, report
from aiga.runs.figures import Figure, Markup
from aiga.runs.lighten import FRAMES, MOST, lightened
from aiga.runs.pages import ROWS, Document, page

graph = pytest.importorskip("plotly.graph_objects")
BROWSER = pytest.mark.skipif(browser.found() is None, reason="no Chromium, Chrome or Edge on this machine")
CURVE = Figure("A curve", "It rises.", graph.Figure(graph.Scatter(x=[0, 1], y=[0, 1], name="</script><b>")))
TREE = Figure("A tree", "", Markup('<p>below</p><svg viewBox="0 0 9 9"><path d="M0 0"/></svg>\n\n<p>after</p>'))
TABLE = Figure("What | was", "", [{"a|b": "<b>1</b>\nline", "c": "*2*"}])


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.gif"
    frames = [Image.new("RGB", (6, 4), (20 * i, 0, 0)) for i in range(9)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def said(*figures, kind="screen"):
    return page(Document("A title", "a line", figures), kind)


def test_plotly_is_in_a_page_once_and_only_if_a_figure_needs_it():
    assert said(CURVE, CURVE._replace(title="Another")).count("plotly.js v") == 1
    assert len(said(TABLE, TREE)) < 10_000


def test_a_page_may_run_its_own_scripts_alone_and_ask_nobody_for_anything():
    text = said(CURVE)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert "script-src 'none'" in said(TABLE)
    assert "\\u003c/script>\\u003cb>" in text, "what a figure says ends no script"


def test_a_page_has_colours_for_day_and_night_and_its_figures_too():
    text = said(CURVE)
    assert "prefers-color-scheme: dark" in text
    assert '"dark":{' in text
    assert '"template"' not in re.search(r'id="f0">(.*?)</script>', text, re.DOTALL)[1], "all figures share two"


def test_large_clouds_and_many_moments_are_thinned_and_the_caption_says_so():
    n = 3 * MOST
    content = graph.Figure(graph.Scattergl(x=np.arange(n), y=np.arange(n), mode="markers", marker={"size": np.ones(n)}))
    content.add_scatter(x=np.arange(n), y=np.zeros(n), mode="lines")
    content.frames = [graph.Frame(name=str(i)) for i in range(100)]
    content.update_layout(sliders=[{"steps": [{"label": str(i)} for i in range(100)]}])
    slim = lightened(Figure("Cloud", "Points.", content))
    assert slim.caption == "Points. (20,000 of 60,000 points are shown; 40 of 100 moments are shown, evenly chosen.)"
    cloud, line = slim.content.data
    assert len(cloud.x) == len(cloud.marker.size) == MOST
    assert (cloud.x[0], cloud.x[-1], len(line.x)) == (0, n - 1, n)
    assert [frame.name for frame in slim.content.frames][:: FRAMES[1] - 1] == ["0", "99"]
    assert [step.label for step in slim.content.layout.sliders[0].steps][:: FRAMES[1] - 1] == ["0", "99"]
    assert len(content.data[0].x) == n, "the figure itself is as it was"


def test_names_that_only_a_click_needs_are_left_out_of_a_page():
    points = {"x": [0], "y": [0], "customdata": ["1311768467"]}
    moved = [graph.Frame(data=[graph.Scatter(points)])]
    assert "1311768467" not in said(Figure("", "", graph.Figure(graph.Scatter(points), frames=moved)))
    assert "1311768467" in said(Figure("", "", graph.Figure(graph.Scatter(points, hovertemplate="%{customdata}"))))


def test_long_tables_are_cut_and_too_many_pictures_named(film, monkeypatch):
    text = said(Figure("Long", "", [{"row": i} for i in range(ROWS + 1)]))
    assert f"The first {ROWS:,} of {ROWS + 1:,} rows." in text
    monkeypatch.setattr("aiga.runs.pages.EMBEDDED", 0)
    assert "film.gif in the run" in said(Figure("Film", "", film))
    assert "data:image" not in said(Figure("Film", "", film))


def test_on_paper_a_film_is_four_of_its_moments(film):
    assert said(Figure("Film", "", film)).count("data:image/gif") == 1
    assert said(Figure("Film", "", film), kind="print").count("data:image/png") == 4


def test_a_picture_that_was_shown_is_not_shown_again(film, tmp_path):
    run = recorded(tmp_path / "run", {"m": [1.0]})
    text = report.write(run.directory, [Figure("Film", "", film), Figure("Again", "", film)]).read_text()
    assert (text.count("data:image/gif"), "Again" in text) == (1, False)


def test_a_report_as_markdown_without_a_browser_has_tables_and_pictures_and_says_so(film, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    run = recorded(tmp_path / "run", {"m": [1.0]})
    path = report.write(run.directory, [CURVE, TREE, TABLE, Figure("Film", "", film)], "md", tmp_path / "my report.md")
    text = path.read_text()
    assert "Figures are left out" in text
    assert "A curve" not in text
    assert "| a\\|b | c |\n| --- | --- |\n| \\<b\\>1\\</b\\> line | \\*2\\* |" in text
    assert "## What \\| was" in text
    assert "](my%20report_pictures/04-film.gif)" in text
    assert '<img alt="A tree" src="my%20report_pictures/02-a-tree.svg">' in text
    drawn = (tmp_path / "my report_pictures" / "02-a-tree.svg").read_text()
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "| system | map\\_elites |" in text


def test_a_pdf_without_a_browser_is_one_sentence_with_the_fix(tmp_path, monkeypatch, capsys):
    run = recorded(tmp_path / "run", {"m": [1.0, 2.0]}, system="none_such")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="install one"):
        report.write(run.directory, [CURVE], "pdf")
    with pytest.raises(UsageError, match="no format `docx`"):
        report.write(run.directory, [CURVE], "docx")
    assert main(["report", str(run.directory), "--out", str(tmp_path / "nowhere" / "x.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@BROWSER
def test_a_browser_prints_a_report_as_pdf(tmp_path):
    run = recorded(tmp_path / "run", {"m": [1.0]})
    path = report.write(run.directory, [CURVE, TREE], "pdf")
    assert path.name == "report.pdf"
    assert path.read_bytes().startswith(b"%PDF-")
    assert b"/Type /Page" in path.read_bytes()
    assert report.write(run.directory, [TABLE], "pdf").read_bytes().startswith(b"%PDF-"), "without a figure too"


@BROWSER
def test_a_browser_makes_the_pictures_of_markdown(tmp_path):
    run = recorded(tmp_path / "run", {"m": [1.0]})
    text = report.write(run.directory, [CURVE, TABLE], "md").read_text()
    assert "![A curve](report_pictures/01-a-curve.png)" in text
    with Image.open(run.directory / "report_pictures" / "01-a-curve.png") as picture:
        assert picture.width > 1_000
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 10, "something is drawn"
