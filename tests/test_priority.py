import os

import pytest

from napari_seg_trainer.priority import NICENESS, NICENESS_VARIABLE, VARIABLES, environment, niceness, set_variables


@pytest.mark.parametrize(
    ("chosen", "step"), [("3", 3), ("0", 0), ("40", 19), ("", NICENESS), ("-5", NICENESS), ("much", NICENESS)]
)
def test_how_far_to_step_back_can_be_chosen(monkeypatch, chosen, step):
    monkeypatch.setenv(NICENESS_VARIABLE, chosen)
    assert niceness() == step


def test_without_a_choice_others_go_first(monkeypatch):
    monkeypatch.delenv(NICENESS_VARIABLE)
    assert niceness() == NICENESS


def test_what_the_user_has_set_stays(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert VARIABLES.items() <= environment().items()
    set_variables()
    assert {name: os.environ[name] for name in VARIABLES} == VARIABLES
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    set_variables()
    assert os.environ["GOMP_SPINCOUNT"] == environment()["GOMP_SPINCOUNT"] == "7"
