import pytest

from aiga.runs.claims import claim


@pytest.mark.claims
def test_poet_solves_what_cannot_be_learnt_directly(tmp_path):
    """Wang et al. (2019), sections 4.2 and 4.3: neither by ES in that world nor through a curriculum of worlds."""
    assert claim("poet", seeds=3, out=tmp_path / "runs").holds
