import subprocess
import sys
from pathlib import Path

import pytest
from large_runs import large_run
from small_runs import Birth, written

from aiga.core.errors import UsageError
from aiga.inspect import views
from aiga.runs.record import Run

FAMILY = [Birth(0, fitness=1.0, cell=0), Birth(1, parent=0, fitness=2.0, cell=1)]
OPEN = """
import re, sys
from pathlib import Path
from aiga.runs.record import Run
from aiga.inspect import individuals, views
run = Run(sys.argv[1])
names = [name for name in views.has(run) if not views.needs_jax(name)]
figures = [figure for name in names for figure in views.figures(run, name)]
figures += individuals.figures(run, str(run.lineage("id")["id"][0]))
assert "jax" not in sys.modules, "jax was imported"
print(len(figures), int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def opened(directory: Path) -> list[int]:
    """Figures, and megabytes at most, of a process that opens a run."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def test_the_views_come_in_the_order_of_a_report():
    assert list(views.VIEWS) == ["own", "curves", "archive", "cloud", "lineage", "gallery", "models"]
    assert [name for name in views.VIEWS if views.needs_jax(name)] == ["own"]


def test_a_run_has_the_views_it_has_something_for(tmp_path: Path):
    run = Run(written(tmp_path / "run", FAMILY))
    assert views.has(run) == ["own", "curves", "archive", "lineage"]
    (run.media / "last.png").write_bytes(b"")
    assert views.has(run)[-1] == "gallery"
    assert [figure.content.name for figure in views.figures(run, "gallery")] == ["last.png"]


def test_an_empty_run_has_no_figures_but_perhaps_its_own(tmp_path: Path):
    run = Run(written(tmp_path / "run", []))
    assert views.has(run) == ["own"]
    assert not any(views.figures(run, name) for name in views.VIEWS if name != "own")


def test_a_link_among_the_media_is_not_shown(tmp_path: Path):
    run = Run(written(tmp_path / "run", FAMILY))
    (tmp_path / "secret.png").write_bytes(b"")
    (run.media / "link.png").symlink_to(tmp_path / "secret.png")
    assert views.figures(run, "gallery") == []


def test_a_view_that_does_not_exist_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no view `maps`; there are own"):
        views.figures(Run(written(tmp_path / "run", FAMILY)), "maps")


def test_unknown_choices_are_ignored_and_wrong_ones_refused(tmp_path: Path):
    run = Run(written(tmp_path / "run", FAMILY))
    assert views.figures(run, "curves", {"colour": "blue", "names": "archive/size", "log": "y"})
    with pytest.raises(UsageError, match="log"):
        views.figures(run, "curves", {"log": "both"})


@pytest.mark.parametrize(
    ("system", "foreign"),
    [
        ("map_elites", False),
        ("map_elites:x", False),
        ("/tmp/map_elites.py", True),
        ("climb.py", True),
        ("os.path", True),
        ("../map_elites", True),
        ("no_such_system", True),
        ("", True),
    ],
)
def test_a_system_that_is_not_of_the_catalogue_is_foreign(tmp_path: Path, system: str, foreign: bool):
    assert views.foreign(Run(written(tmp_path / "run", [], system=system))) is foreign


def test_a_run_is_opened_without_jax(tmp_path: Path):
    figures, megabytes = opened(large_run(tmp_path / "run", 30_000).directory)
    assert figures >= 6
    assert megabytes < 200
