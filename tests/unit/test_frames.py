from pathlib import Path

import numpy as np
from small_runs import Birth, name, written

import aiga
from aiga.runs.events import Failed, Rejected
from aiga.runs.record import Run

FAMILY = [Birth(0, fitness=1.0, cell=0), Birth(1, parent=0, fitness=2.0, cell=0, replaced=0), Birth(2, cell=1)]
MORE = [{"model": "a", "loss": 0.5, "lost": Rejected((3, 0), "too long")}, {"loss": 0.25, "failed": Failed("x", "y")}]


def test_a_loaded_run_is_a_run(tmp_path: Path):
    run = aiga.load(written(tmp_path / "run", FAMILY))
    assert isinstance(run, Run)
    assert run.metric("archive/size").values.tolist() == [0, 1, 2]


def test_metrics_are_a_row_each_with_numbers_and_texts_apart(tmp_path: Path):
    frames = aiga.load(written(tmp_path / "run", FAMILY, *MORE)).frames
    long = frames.metrics()
    assert long.columns.tolist() == ["step", "name", "value", "text"]
    assert long[long["name"] == "loss"]["value"].tolist() == [0.5, 0.25]
    assert long[long["name"] == "model"]["text"].tolist() == ["a"]
    assert long[long["name"] == "model"]["value"].isna().all()
    wide = frames.wide()
    assert wide.columns.tolist() == ["archive/size", "loss"]
    assert wide.loc[3, "loss"] == 0.5
    assert np.isnan(wide.loc[0, "loss"])


def test_the_lineage_has_missing_values_and_says_who_is_alive(tmp_path: Path):
    frames = aiga.load(written(tmp_path / "run", FAMILY)).frames
    lineage = frames.lineage()
    assert lineage["name"].tolist() == [name(0), name(1), name(2)]
    assert lineage["parent"].isna().tolist() == [True, False, True]
    assert lineage["alive"].tolist() == [False, True, True]
    assert lineage["sign"].isna().all()
    assert frames.elites()["cell"].tolist() == [0, 1]


def test_events_have_a_column_for_each_field(tmp_path: Path):
    events = aiga.load(written(tmp_path / "run", FAMILY, *MORE)).frames.events()
    assert events["kind"].tolist() == ["rejected", "failed"]
    assert events["reason"].tolist() == ["too long", "y"]


def test_a_run_in_which_nothing_happened_has_empty_frames(tmp_path: Path):
    frames = aiga.load(written(tmp_path / "run", [])).frames
    for frame in (frames.metrics(), frames.wide(), frames.lineage(), frames.elites(), frames.events(), frames.calls()):
        assert frame.empty


def test_figures_are_those_of_the_views(tmp_path: Path):
    run = aiga.load(written(tmp_path / "run", FAMILY))
    assert [figure.title for figure in run.figures("archive")] == ["The archive through time"]
    assert "Lineage" in [figure.title for figure in run.figures()]
