"""Curves of one run and of several: what is a group, what its band is, and that no peak is lost."""

import numpy as np
import pytest
from recorded import recorded

from aiga.core.errors import UsageError
from aiga.inspect.curves import DRAWN, PANELS, against, curves, groups, line
from aiga.runs.figures import outline


@pytest.fixture
def seeds(tmp_path):
    """Two seeds of one setting and one of another."""
    return [
        recorded(tmp_path / "a", {"search/best": [0.0, 2.0, 4.0]}, seed=0, cells=8),
        recorded(tmp_path / "b", {"search/best": [2.0, 4.0]}, seed=1, cells=8),
        recorded(tmp_path / "c", {"search/best": [1.0, 1.0, 5.0]}, seed=0, cells=16),
    ]


def test_runs_that_differ_in_their_seed_alone_are_a_group(seeds):
    assert {label: len(runs) for label, runs in groups(seeds).items()} == {"cells 8": 2, "cells 16": 1}
    assert list(groups(seeds[:2])) == ["map_elites"]


def test_labels_are_short_text_and_told_apart(tmp_path):
    runs = [recorded(tmp_path / end, {"m": [1.0, 2.0]}, text="<b>" + 99 * "x" + end) for end in ("1", "2")]
    first, second = groups(runs)
    assert first.startswith("text &lt;b&gt;xxx")
    assert second == f"{first} (2)"
    assert len(first) < 80
    assert len(curves(runs)[0].content.data) == 2


def test_a_group_is_its_mean_and_one_that_ended_counts_as_far_as_it_got(seeds):
    drawn = line(seeds[:2], "search/best")
    assert drawn.x.tolist() == [0, 1, 2]
    assert drawn.y.tolist() == [1.0, 3.0, 4.0]
    assert drawn.low.tolist() == [0.0, 2.0, 4.0], "of two seeds, the interval is all there is"
    assert drawn.high.tolist() == [2.0, 4.0, 4.0]


def test_the_band_is_the_interval_of_the_mean_and_not_the_spread_of_the_seeds(tmp_path):
    rng = np.random.default_rng(0)
    runs = [recorded(tmp_path / str(i), {"m": [float(rng.normal()), 0.0]}, seed=i) for i in range(16)]
    drawn = line(runs, "m")
    ends = np.array([run.metric("m").values[0] for run in runs])
    error = ends.std() / 4
    assert drawn.low[0] == pytest.approx(ends.mean() - 1.96 * error, abs=0.3 * error)
    assert drawn.high[0] == pytest.approx(ends.mean() + 1.96 * error, abs=0.3 * error)
    assert (drawn.low[1], drawn.high[1]) == (0.0, 0.0)


def test_a_line_of_many_points_keeps_its_peaks_its_ends_and_its_gaps():
    values = np.zeros(100_000)
    values[[41_234, 77_777]] = 9.0, -9.0
    values[50_000:60_000] = np.nan
    rows = outline(values, 2_000)
    assert len(rows) <= 2_000
    assert {0, 41_234, 77_777, 99_999} <= set(rows.tolist())
    assert np.isnan(values[rows]).any()
    assert outline(values[:10]).tolist() == list(range(10))


def test_a_long_run_and_a_long_group_have_no_more_points_than_said(tmp_path):
    peak = np.zeros(2_500)
    peak[1_234] = 1.0
    runs = [recorded(tmp_path / str(seed), {"m": peak.tolist()}, seed=seed) for seed in range(2)]
    alone, both = line(runs[:1], "m"), line(runs, "m")
    assert (len(alone.x) <= DRAWN[0], len(both.x) <= DRAWN[1]) == (True, True)
    assert alone.y.max() == both.y.max() == 1.0


def test_against_seconds_and_evaluations_a_curve_has_other_places(tmp_path):
    run = recorded(tmp_path / "run", {"m": [1.0, 2.0], "search/evaluations": [64, 128]}, seconds=5.0)
    assert against(run, "m", "seconds").steps.tolist() == [5.0, 10.0]
    assert against(run, "m", "evaluations").steps.tolist() == [64.0, 128.0]
    assert against(run, "m", "m").steps.tolist() == [1.0, 2.0]
    with pytest.raises(UsageError, match="no `generations` to draw against"):
        against(run, "m", "generations")


def test_what_never_changes_and_words_are_not_drawn_unless_asked_for(tmp_path):
    run = recorded(
        tmp_path / "run", {"m": [1.0, 2.0], "constant": [3.0, 3.0], "words": ["a", "b"], "late": [None, 1.0]}
    )
    titles = [note.text for note in curves(run)[0].content.layout.annotations]
    assert titles == ["m"]
    assert len(curves(run, ["constant", "late"])[0].content.data) == 2
    assert curves(recorded(tmp_path / "empty", {})) == []
    with pytest.raises(UsageError, match="no run has a metric 'words'"):
        curves(run, ["words"])


def test_each_group_is_one_entry_of_the_legend_and_bands_can_be_left_out(seeds):
    figure = curves(seeds)[0]
    named = [trace.name for trace in figure.content.data if trace.showlegend]
    assert named == ["cells 8 (2 seeds)", "cells 16"]
    assert "95 % intervals of the mean" in figure.caption
    assert sum(trace.fill == "tonexty" for trace in figure.content.data) == 1
    alone = curves(seeds, bands=False)[0]
    assert sum(trace.fill == "tonexty" for trace in alone.content.data) == 0
    assert len(alone.content.data) == 3
    assert [trace.name for trace in alone.content.data if trace.showlegend] == named


def test_many_metrics_are_several_figures_and_axes_can_be_logarithmic(tmp_path):
    run = recorded(tmp_path / "run", {f"m{i}": [1.0, 2.0] for i in range(PANELS + 1)})
    figures = curves(run, log=(False, True))
    assert [figure.title for figure in figures] == ["Curves (1 of 2)", "Curves (2 of 2)"]
    assert {axis.type for axis in figures[0].content.select_yaxes()} == {"log"}
    assert {axis.type for axis in figures[0].content.select_xaxes()} == {"linear"}


def test_runs_can_be_given_under_labels_of_their_own(seeds):
    named = curves({"one": seeds[:2], "other": seeds[2:]}, ["search/best"])[0].content.data
    assert [trace.name for trace in named if trace.showlegend] == ["one (2 seeds)", "other"]
