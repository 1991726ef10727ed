"""One generation of agents that rewrite themselves, with a real model: only where `AIGA_TEST_FM` names one.

AIGA_TEST_FM='http://HOST:PORT/v1#MODEL' python -m pytest tests/contract/test_real_model.py
"""

import os

import pytest

from aiga.runs.loop import run

MODEL = os.environ.get("AIGA_TEST_FM", "")


@pytest.mark.enable_socket
@pytest.mark.skipif(not MODEL, reason="AIGA_TEST_FM names no model")
def test_a_generation_with_a_real_model(tmp_path):
    options = {"domain": "polyglot-lite", "stages": (3,), "generations": 1, "steps": 3, "children": 1, "finalists": 1}
    done = run("dgm", seed=0, out=tmp_path / "run", fm=MODEL, budget_tokens=3_000_000, **options)
    assert done.status == "finished"
    assert 0 <= done.metric("report/score").values[-1] <= 1
    assert len(done.lineage()["id"]) + len(list(done.events("rejected"))) == 2
