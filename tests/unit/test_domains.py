import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.data.domains import elsewhere


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("AIGA_DATA", str(tmp_path))


@pytest.mark.parametrize(("domain", "source"), [("digits", "drawn"), ("textures", "textures")])
def test_every_domain_has_twenty_grey_pictures_of_each_class_to_choose_and_to_test_on(domain, source):
    found = elsewhere(domain, 3)
    assert found.held.shape == found.test.shape == (3, 20, 28, 28)
    assert found.held.dtype == np.uint8
    assert found.source == source
    assert not (found.held == found.test).all()


def test_digits_are_dark_on_light_as_characters_are():
    assert elsewhere("digits", 10).test.mean() > 127


def test_there_are_no_more_digits_than_ten():
    assert len(elsewhere("digits", 50).test) == 10


def test_one_class_is_refused():
    with pytest.raises(UsageError, match="1 classes were asked for"):
        elsewhere("textures", 1)


def test_cifar_must_be_found():
    with pytest.raises(UsageError, match="cifar10 is not at"):
        elsewhere("cifar10", 2)
