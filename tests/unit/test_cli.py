"""The command line: one sentence for every mistake, the signature as the interface."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import recorded

from aiga.cli.main import COMMANDS, main

WANDER = str(Path(__file__).parents[1] / "toys" / "wander.py")


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"aiga {command}" in shown for command in COMMANDS)


def test_help_on_run_without_a_system_shows_the_options_of_every_run(capsys):
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--pool STR" in shown
    assert "--scale" not in shown


def test_the_options_of_a_system_are_the_signature_of_its_make(capsys):
    assert main(["run", WANDER, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--scale FLOAT" in shown
    assert "Length of a step." in shown
    assert "--minutes FLOAT" in shown


def test_the_papers_settings_are_the_defaults_of_the_preset_paper(capsys):
    assert main(["run", WANDER, "--preset", "paper", "--help"]) == 0
    scale = next(line for line in capsys.readouterr().out.splitlines() if "--scale" in line)
    assert "2.0" in scale


def test_run_show_and_resume_follow_each_other(tmp_path, capsys):
    directory = str(tmp_path / "run")
    assert main(["run", WANDER, "--steps", "2", "--workers", "1", "--out", directory, "--scale", "3"]) == 0
    assert main(["resume", directory, "--steps", "3"]) == 0
    capsys.readouterr()
    assert main(["show", directory, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 3
    assert summary["options"]["scale"] == 3
    assert main(["show", directory]) == 0
    shown = capsys.readouterr().out
    assert "finished, 3 steps" in shown
    assert "aiga resume" in shown


def test_compare_puts_runs_side_by_side(tmp_path, capsys):
    directories = [str(tmp_path / name) for name in ("a", "b")]
    for seed, directory in enumerate(directories):
        assert main(["run", WANDER, "--steps", "1", "--workers", "1", "--out", directory, "--seed", str(seed)]) == 0
    capsys.readouterr()
    assert main(["compare", *directories]) == 0
    seeds = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("seed"))
    assert seeds.split() == ["seed", "0", "1"]


CLAIMING = """
from aiga.runs.claims import Claim
from wander import make
CLAIM = Claim("Walks end.", "nowhere", "archive/size", {}, {}, steps=1, margin=MARGIN)
"""


@pytest.mark.parametrize(("margin", "code", "verdict"), [(-1, 0, "the claim holds"), (1, 1, "does not hold")])
def test_the_exit_code_of_claim_says_whether_it_holds(margin, code, verdict, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(WANDER).parent))
    own = tmp_path / f"claiming_{code}.py"
    own.write_text(CLAIMING.replace("MARGIN", str(margin)))
    words = ["claim", str(own), "--seeds", "1", "--out", str(tmp_path / "runs"), "--workers", "1"]
    assert main(words) == code
    assert verdict in capsys.readouterr().out
    assert main([*words, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["holds"] is (code == 0)


def test_an_option_given_by_the_user_beats_the_papers(tmp_path, capsys):
    directory = tmp_path / "run"
    assert (
        main(
            [
                "run",
                WANDER,
                "--steps",
                "1",
                "--workers",
                "1",
                "--out",
                str(directory),
                "--preset",
                "paper",
                "--scale",
                "1",
            ]
        )
        == 0
    )
    assert json.loads((directory / "run.json").read_text())["options"]["scale"] == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lst"], "did you mean `list`"),
        (["list", "--jso"], "did you mean `--json`"),
        (["list", "extra"], "does not know what to do with `extra`"),
        (["show"], "needs DIRECTORY;"),
        (["export", "."], "needs --to;"),
        (["export", ".", "--to"], "`--to` needs a value"),
        (["export", ".", "--to", "excel"], "`--to` takes tensorboard or wandb, not `excel`"),
        (["compare", ".", ".", "--format", "doc"], "`--format` takes html, pdf or md, not `doc`"),
        (["resume", ".", "--workers", "many"], "`--workers` takes INT or auto, not `many`"),
        (["run", "anml", "--rates", "x"], "`--rates` takes FLOAT, not `x`"),
        (["approve", ".", "one", "maybe"], "`ANSWER` takes yes or no, not `maybe`"),
        (["show", "."], "give the folder of a run"),
        (["compare", "one"], "two or more"),
        (["claim", "nothing", "--seeds", "x"], "`--seeds` takes INT, not `x`"),
        (["bench", "nothing"], "there is no benchmark `nothing`"),
        (["dashboard", "nowhere"], "nowhere is no folder"),
        (["dashboard", ".", "--port", "70000"], "--port is 70000"),
        (["dashboard", ".", "--token", "short"], "--token needs 8 or more"),
        (["run"], "needs the system first"),
        (["run", "--seed", "1"], "needs the system first"),
        (["run", "map_elite"], "there is no system `map_elite`"),
        (["run", "nowhere.py"], "there is no file"),
        (["run", WANDER, "--scal", "1"], "did you mean `--scale`"),
        (["run", WANDER, "--scale", "wide"], "`--scale` takes FLOAT, not `wide`"),
        (["run", WANDER, "--preset", "papr"], "`laptop` or `paper`"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence_and_exit_code_2(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert expected in told.err
    assert told.err.startswith("aiga: ")
    assert told.err.count("\n") == 1


DROPPED = "-dac_override,-dac_read_search"
BARRED = [] if os.geteuid() else ["setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}"]
"""Before a command of root's: it may no longer open what others may not."""


@pytest.mark.skipif(bool(BARRED) and not shutil.which("setpriv"), reason="root may open everything")
@pytest.mark.parametrize(
    "words", [["show"], ["compare", "."], ["dashboard", "--port", "0"]], ids=lambda words: words[0]
)
def test_a_folder_that_may_not_be_opened_is_named(words, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    try:
        command = [*BARRED, sys.executable, "-m", "aiga", *words, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        folder.chmod(0o700)
    assert done.returncode == 2
    assert done.stderr.startswith(f"aiga: {folder}")
    assert "(Permission denied)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mistake_reads_the_same_where_the_terminal_knows_no_boxes():
    words = [sys.executable, "-m", "aiga", "claim", "nothing", "--seeds", "x"]
    for encoding in ("ascii", "utf-8"):
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": encoding})
        assert done.stderr == "aiga: `--seeds` takes INT, not `x`; see `aiga claim --help`.\n"


def test_list_as_json_holds_what_the_table_shows(capsys):
    assert main(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert main(["list"]) == 0
    table = capsys.readouterr().out
    assert all(set(entry) == {"name", "title", "papers", "pillar", "needs"} for entry in entries)
    assert all(entry["name"] in table for entry in entries)


def test_python_m_aiga_is_the_same_and_a_closed_pipe_is_no_error():
    code = f"{sys.executable} -m aiga list --json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "["
    assert done.stderr == ""


def test_a_benchmark_is_found_in_the_checkout_and_its_rows_are_shown(tmp_path, monkeypatch, capsys):
    row = {"bench": "toy", "row": "a", "unit": "1/s", "ours": 2.0, "peer": 1.0, "peer_name": "budget", "ratio": 2.0}
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "bench_toy.py").write_text(f"def rows():\n    return [{row!r}]\n")
    monkeypatch.setattr("aiga.cli.main.CHECKOUT", tmp_path)
    assert main(["bench", "toy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row]
    assert main(["bench"]) == 0
    assert "budget" in capsys.readouterr().out


def test_without_a_checkout_bench_says_where_benchmarks_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aiga.cli.main.CHECKOUT", tmp_path)
    assert main(["bench"]) == 2
    assert "source checkout" in capsys.readouterr().err


def test_a_report_of_a_run_whose_system_is_elsewhere_shows_the_rest(tmp_path, capsys):
    run = recorded(tmp_path / "run", {"m": [1.0, 2.0]}, system=str(tmp_path / "gone.py"))
    assert main(["report", str(run.directory)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("aiga: the report lacks the system's own figures: there is no file")
    assert "Curves" in Path(told.out.strip()).read_text()


def test_a_report_of_a_run_whose_own_figures_fail_shows_the_rest_and_where_they_failed(tmp_path, capsys):
    system = tmp_path / "failing.py"
    system.write_text("def make():\n    pass\n\n\ndef figures(run):\n    return 1 / 0\n")
    run = recorded(tmp_path / "run", {"m": [1.0, 2.0]}, system=str(system))
    assert main(["report", str(run.directory)]) == 1
    told = capsys.readouterr()
    assert "failing.py" in told.err
    assert told.err.endswith("lacks the system's own figures: ZeroDivisionError: division by zero\n")
    assert "Curves" in Path(told.out.strip()).read_text()
