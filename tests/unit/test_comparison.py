"""Runs side by side, and a claim as its own experiment judges it."""

import json

import pytest
from recorded import recorded

from aiga.cli.main import main
from aiga.core.errors import UsageError
from aiga.inspect import comparison
from aiga.runs import claims
from aiga.runs.claims import Claim, difference

SAID = Claim("More is better.", "nobody (2026), Fig. 0", "m", {"size": 2}, {"size": 1}, others={"a third": {}})


@pytest.fixture
def folder(tmp_path):
    """Three seeds of treatment and control, one of a further arm, one that is still going."""
    place = tmp_path / "claim"
    place.mkdir()
    (place / "claim.json").write_text(json.dumps({"system": "map_elites", **SAID._asdict()}))
    for arm, values in {"treatment": [3.0, 4.0, 5.0], "control": [1.0, 1.5, 2.0], "a-third": [2.0]}.items():
        for seed, value in enumerate(values):
            recorded(place / f"{arm}-seed{seed}", {"m": [0.0, value]}, seed=seed, arm=arm)
    recorded(place / "treatment-seed10", {"m": [0.0, -99.0]}, seed=10, arm="treatment", status="stopped")
    return place


def test_a_claim_is_judged_from_its_finished_runs_as_the_experiment_judges_it(folder):
    result = claims.measured(folder)
    assert result.treatment == [3.0, 4.0, 5.0]
    assert result.table["a third"] == {"m": [2.0]}
    assert (result.effect, result.interval) == difference([3.0, 4.0, 5.0], [1.0, 1.5, 2.0])
    assert result.holds


def test_every_seed_is_a_dot_with_medians_effect_interval_and_verdict(folder):
    dots, effect, over, table = comparison.claim(folder)
    assert dots.title == "Claim of map_elites: holds"
    assert "1 runs are not finished" in dots.caption
    assert "95 % interval" in dots.caption
    shown = {trace.name: list(trace.x) for trace in dots.content.data if trace.mode == "markers"}
    assert shown == {"treatment": [3.0, 4.0, 5.0], "control": [1.0, 1.5, 2.0], "a third": [2.0]}
    assert [trace.x[0] for trace in dots.content.data if trace.name == "median"] == [4.0, 1.5, 2.0]
    assert effect.content.data[0].x[0] == pytest.approx(2.5)
    assert over.title == "m over the runs"
    assert table.content[0] == {"arm": "treatment", "metric": "m", "median": "4", "seeds": "3, 4, 5"}


def test_a_claim_without_finished_runs_says_how_many_there_are(folder):
    for run in folder.glob("control-seed*"):
        run.rename(folder.parent / run.name)
    (figure,) = comparison.claim(folder)
    assert "not yet known" in figure.title
    assert figure.content[1] == {"arm": "control", "runs": 0, "finished": 0}
    with pytest.raises(UsageError, match="no finished run of treatment or control"):
        claims.measured(folder)


@pytest.mark.parametrize(
    "spoilt", [{"margin": "wide"}, {"statement": ["<b>"]}, {"others": {"x": 1}}, {"also": None}, {"unknown": 1}]
)
def test_a_claim_that_is_spoilt_is_one_sentence(folder, spoilt):
    noted = json.loads((folder / "claim.json").read_text())
    (folder / "claim.json").write_text(json.dumps(noted | spoilt))
    with pytest.raises(UsageError, match="cannot be read"):
        claims.read(folder)


def test_several_claims_of_a_folder_are_found_in_their_order(folder):
    for number in (10, 2):
        (folder / f"claim-{number}").mkdir()
        (folder / f"claim-{number}" / "claim.json").write_text("{}")
    (folder / "claim-3").mkdir()
    assert [place.name for place in claims.folders(folder)] == ["claim", "claim-2", "claim-10"]
    assert claims.folders(folder / "treatment-seed0") == []


def test_runs_side_by_side_are_dots_curves_medians_and_a_list(folder):
    runs = [folder / f"{arm}-seed{seed}" for arm in ("treatment", "control") for seed in range(3)]
    ends, curves, side, listed = comparison.figures(runs)
    assert [list(trace.x) for trace in ends.content.data if trace.mode == "markers"] == [[3, 4, 5], [1, 1.5, 2]]
    assert curves.title == "Curves"
    assert {"": "m", "arm treatment": "4", "arm control": "1.5"} in side.content
    assert [row["seed"] for row in listed.content] == ["0", "1", "2"] * 2
    with pytest.raises(UsageError, match="is one run"):
        comparison.figures(runs[:1])


def test_compare_writes_a_page_and_shows_a_claim_on_the_terminal(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(folder), "--format", "html"]) == 0
    assert "Claim of map_elites: holds" in (tmp_path / "comparison.html").read_text()
    capsys.readouterr()
    assert main(["compare", str(folder)]) == 0
    assert "the claim holds" in capsys.readouterr().out
    assert main(["compare", str(folder), "--out", "page.html"]) == 2
    assert "give `--format`" in capsys.readouterr().err
