"""The doctor names what is missing and the command that mends it."""

import shutil
import sys

import pytest

from aiga.cli import doctor


def found(what: str) -> doctor.Finding:
    return next(finding for finding in doctor.examine() if finding.what == what)


def test_whatever_is_not_ok_comes_with_a_mend():
    findings = list(doctor.examine())
    assert {"python", "jax", "extra atari", "data", "disk"} <= {finding.what for finding in findings}
    assert all(finding.mend for finding in findings if finding.state != "ok")


def test_essentials_are_fine_where_the_tests_run(capsys):
    assert doctor.main() == 0
    assert "python" in capsys.readouterr().out


def test_an_extra_that_is_not_installed_is_missing_and_named_in_the_mend(monkeypatch, capsys):
    monkeypatch.setitem(doctor.EXTRAS, "moon", ("no_such_library",))
    assert found("extra moon") == ("extra moon", "missing", "no no_such_library", "pip install 'aiga[moon]'")
    assert doctor.main() == 0
    assert "pip install 'aiga[moon]'" in capsys.readouterr().out


def test_a_full_disk_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "DISK_GB", shutil.disk_usage(tmp_path).total / 1e9 + 1)
    assert found("disk").state == "broken"
    assert doctor.main() == 1


def test_the_data_folder_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))
    assert found("data").state == "ok"
    monkeypatch.setenv("AIGA_DATA", str(tmp_path / "gone"))
    assert found("data").state == "missing"


def test_without_a_browser_pages_cannot_be_printed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("aiga.runs.browser.PLACES", ())
    assert found("browser").state == "missing"
    (tmp_path / "chromium").touch(0o755)
    assert found("browser")[1:3] == ("ok", str(tmp_path / "chromium"))


@pytest.fixture
def bwrap(monkeypatch, tmp_path):
    """A program of that name, which one may write."""
    program = tmp_path / "bwrap"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("AIGA_SANDBOX", "bubblewrap")
    return program


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is a Linux program")
def test_a_sandbox_that_does_not_start_is_missing(bwrap):
    bwrap.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    assert "no permission" in found("bubblewrap").detail
    assert (found("bubblewrap").state, found("sandbox").state) == ("missing", "missing")


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is a Linux program")
def test_a_sandbox_that_does_not_hold_is_missing(bwrap):
    bwrap.write_text('#!/bin/sh\nuntil [ "${1##*/}" = prlimit ]; do shift; done\nexec "$@"\n')
    assert "self-test failed (network, " in found("bubblewrap").detail
    assert found("sandbox").state == "missing"


@pytest.mark.skipif(sys.platform != "linux", reason="the rungs are Linux's")
def test_a_machine_without_a_sandbox_is_told_so_and_how_to_get_one(monkeypatch):
    monkeypatch.setenv("AIGA_SANDBOX", "none")
    assert found("sandbox")[1:] == (
        "missing",
        "model-written programs cannot run: AIGA_SANDBOX=none",
        "unset AIGA_SANDBOX",
    )
    monkeypatch.setenv("AIGA_SANDBOX", "moon")
    assert found("sandbox").detail.startswith("AIGA_SANDBOX=moon is no sandbox")
