"""The figure says what it shows, also of what could not be compared."""

import json

import pytest

from goemo_utils.training import parity

pytestmark = pytest.mark.long  # both are drawn of a study that trains


def test_the_figure_says_what_it_shows_and_that_it_was_a_rehearsal(exact):
    drawn = parity.figure(exact, True)
    assert drawn._suptitle.get_text().startswith("SIMULATED. ")
    assert "to the bit" in drawn._suptitle.get_text()
    assert all(
        "optimizer step" in axes.get_xlabel() or not axes.get_xlabel() for axes in drawn.axes
    )
    assert any("nats" in axes.get_ylabel() for axes in drawn.axes)
    assert parity.ALT


def test_a_figure_is_drawn_of_what_was_not_finite_and_of_what_was_not_compared(exact):
    lost = json.loads(json.dumps(exact | {"verdict": "fail", "first_diverging_step": 2}))
    lost["curves"][1]["loss"]["candidate"] = lost["curves"][1]["loss_error"]["candidate"] = "NaN"
    assert "step 2" in parity.figure(lost, False).axes[1].get_title(loc="left")
    refused = {
        **exact,
        "verdict": "fail",
        "curves": [
            {k: v for k, v in row.items() if not k.endswith("error")} for row in exact["curves"]
        ],
    }
    assert "Nothing was compared" in parity.figure(refused, False).axes[1].get_title(loc="left")
