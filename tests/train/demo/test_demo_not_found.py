"""What nothing in a photo answers is told, and changes nothing."""

from __future__ import annotations

import pytest
from demo_photos import SIDE, demo_model, demo_session
from toy import NAMES, micro

from seem_train import Predictor
from seem_train.demo.asking import NothingFoundError
from seem_train.demo.models import DemoModel
from seem_train.demo.wire import Click, Prompt


def test_what_nothing_answers_is_told_and_leaves_the_table_as_it_was() -> None:
    model = demo_model()
    sure = DemoModel(model.predictor, "sure", 1 << 30, min_text_score=0.99)
    session = demo_session(sure)
    session.prompt(Prompt(points=[Click(30, 40)]))
    before = session.state
    with pytest.raises(NothingFoundError, match=r"^nothing found for «the blue ball» \(best 0\.\d\d\)$"):
        session.prompt(Prompt(text="the blue ball"))
    with pytest.raises(NothingFoundError, match=r"^nothing found for the point \(30, 40\) \(best 0\.\d\d\)$"):
        session.prompt(Prompt(points=[Click(30, 40)], min_score=1))
    assert session.state is before
    found = session.prompt(Prompt(text="the blue ball", min_score=0))
    assert found.score is not None and found.score < 0.99


def test_a_photo_in_which_nothing_is_sure_says_how_sure_the_surest_is() -> None:
    model = DemoModel(Predictor(micro(), NAMES, size=SIDE), "unsure", 1 << 30)
    session = demo_session(model)
    with pytest.raises(
        NothingFoundError, match=r"the surest segment scores 0\.\d\d; it takes more than 0\.8"
    ):
        session.everything()
    assert not session.history.can_undo
