"""A claim is run against its control, and says honestly whether it holds."""

import json
from pathlib import Path

import pytest

from aiga.core.errors import UsageError
from aiga.runs.claims import claim, difference, markdown, measured

WANDER = str(Path(__file__).parents[1] / "toys" / "wander.py")


def test_a_claim_that_is_true_holds_and_its_experiment_can_be_continued(tmp_path):
    result = claim(WANDER, seeds=2, out=tmp_path / "claim")
    assert result.holds
    assert len(result.treatment) == len(result.control) == 2
    assert result.interval[0] > 0
    assert set(result.table) == {"treatment", "control", "plain"}
    assert json.loads(json.dumps(result._asdict()))["holds"] is True
    assert "| plain |" in markdown(result)
    again = claim(WANDER, seeds=3, out=tmp_path / "claim")
    assert again.treatment[:2] == result.treatment, "finished runs are read, not repeated"
    assert len(again.treatment) == 3
    told = measured(tmp_path / "claim")
    assert told == again, "its folder says the same, and runs nothing"
    assert again.seconds > result.seconds, "also of runs that were read"


def test_the_effect_is_positive_where_the_treatment_is_better():
    assert difference([3.0, 3.0], [1.0, 1.0]) == (2.0, [2.0, 2.0])
    assert difference([3.0, 3.0], [1.0, 1.0], "lower") == (-2.0, [-2.0, -2.0])
    effect, (low, high) = difference([0.0, 10.0, 5.0, 3.0], [1.0, 2.0, 9.0, 4.0])
    assert low < effect < high
    assert low < 0 < high, "noise is no effect"


def test_a_folder_of_another_experiment_is_refused(tmp_path):
    claim(WANDER, seeds=1, out=tmp_path)
    manifest = tmp_path / "control-seed0" / "run.json"
    manifest.write_text(manifest.read_text().replace("0.01", "0.02"))
    with pytest.raises(UsageError, match="other options than the claim's"):
        claim(WANDER, seeds=1, out=tmp_path)


def test_an_experiment_with_a_list_among_its_options_can_be_continued(tmp_path):
    listed = tmp_path / "listed.py"
    listed.write_text(Path(WANDER).read_text() + "\n\nCLAIM = CLAIM._replace(others={'plain': {'shape': (1, 2)}})\n")
    first, again = (claim(str(listed), seeds=1, out=tmp_path / "runs") for _ in range(2))
    assert first.table == again.table


def test_seeds_with_different_data_are_not_put_together(tmp_path, monkeypatch):
    sourced = tmp_path / "sourced.py"
    told = '"walk/doubled": doubled,'
    sourced.write_text(Path(WANDER).read_text().replace(told, told + " 'data/source': os.environ['TOLD'],"))
    monkeypatch.setenv("TOLD", "drawn")
    claim(str(sourced), seeds=1, out=tmp_path / "runs")
    monkeypatch.setenv("TOLD", "omniglot")
    with pytest.raises(UsageError, match=r"different data \(drawn in .*treatment-seed0, omniglot in .*seed1\)"):
        claim(str(sourced), seeds=2, out=tmp_path / "runs")
    with pytest.raises(UsageError, match="different data"):
        measured(tmp_path / "runs")


def test_an_experiment_that_was_stopped_says_how_to_go_on_with_it(tmp_path, monkeypatch):
    several = tmp_path / "halted.py"
    several.write_text(Path(WANDER).read_text() + "\n\nCLAIM = (CLAIM, CLAIM)\n")
    monkeypatch.setattr("aiga.runs.record.Run.status", "stopped")
    with pytest.raises(UsageError, match=f"claim {several} --seeds 1 --which 2 --out {tmp_path / 'runs'}`"):
        claim(str(several), seeds=1, which=2, out=tmp_path / "runs")


def test_a_system_without_a_claim_says_so(tmp_path):
    (tmp_path / "unclaimed.py").write_text("def make():\n    pass\n")
    with pytest.raises(UsageError, match="states no claim"):
        claim(str(tmp_path / "unclaimed.py"))


def test_of_several_claims_each_has_its_runs_and_all_are_told_apart(tmp_path):
    several = tmp_path / "several.py"
    own = Path(WANDER).read_text()
    several.write_text(own + "\n\nCLAIM = (CLAIM, CLAIM._replace(statement='Or not.', margin=1e9))\n")
    first, second = (claim(str(several), seeds=1, which=n, out=tmp_path / "runs") for n in (1, 2))
    assert (first.claim, first.holds) == ("Longer steps lead further.", True)
    assert (second.claim, second.holds) == ("Or not.", False)
    assert (tmp_path / "runs" / "treatment-seed0").exists()
    assert (tmp_path / "runs" / "claim-2" / "treatment-seed0").exists()
    made = [(tmp_path / "runs" / place / "treatment-seed0" / "run.json").read_text() for place in ("", "claim-2")]
    assert made[0] == made[1], "the same run serves both"
    with pytest.raises(UsageError, match=r"--which is 3, but .* states 2"):
        claim(str(several), which=3)


def test_a_run_of_another_length_does_not_serve_another_claim(tmp_path):
    several = tmp_path / "longer.py"
    several.write_text(Path(WANDER).read_text() + "\n\nCLAIM = (CLAIM, CLAIM._replace(steps=CLAIM.steps + 1))\n")
    first, second = (claim(str(several), seeds=1, which=n, out=tmp_path / "runs") for n in (1, 2))
    assert first.treatment != second.treatment
