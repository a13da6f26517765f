"""What a card shows of itself, and the facts that the judges of 09 to 11 rest on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.learn import service
from goemo_utils.learn.exercises import (
    e04_timing,
    e08_find_the_call,
    e09_masks_and_padding,
    e10_rare_events,
    e11_cpu_fallback,
)
from goemo_utils.rehearsal import parse_fault, parse_numerics

SEEDS = range(20)


def test_a_card_shows_nothing_of_what_it_hides() -> None:
    (place,) = e08_find_the_call.places(5, "A")
    card = e08_find_the_call.material(5)["A"]
    for hidden in (place.path, str(place.factor), place.operator):
        assert hidden not in repr(vars(card))


def test_the_counter_of_a_card_cannot_be_set() -> None:
    card = e08_find_the_call.material(5)["A"]
    with pytest.raises(AttributeError):
        card.forwards = 70
    assert "seed" not in dir(card)


def test_the_help_of_the_services_names_nothing_that_they_hide(capsys) -> None:
    with pytest.raises(SystemExit):
        service.main(["--help"])
    told = capsys.readouterr().out
    for word in ("loud", "quiet", "fall", "caution", "silen"):
        assert word not in told.lower()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_requests_of_exercise_11_lie_on_all_sides_of_where_its_operators_begin(
    seed: int,
) -> None:
    counts = [e11_cpu_fallback.crossings_of(seed, n) for n in e11_cpu_fallback.requests(seed)]
    assert len(set(counts)) == 3
    assert e11_cpu_fallback.of_the_run_before(seed) not in e11_cpu_fallback.operators(seed, "A")


@pytest.mark.parametrize("seed", SEEDS)
def test_each_draw_of_exercise_10_needs_a_large_batch_and_many_forwards(seed: int) -> None:
    words = {e10_rare_events.trouble(seed, card).what for card in e10_rare_events.CARDS}
    assert words & {"batch", "both"}
    assert "turn" in words


@pytest.mark.parametrize("seed", SEEDS)
def test_no_choice_of_words_alone_is_right_in_exercise_09(seed: int) -> None:
    found = [e09_masks_and_padding.trouble(seed, card) for card in e09_masks_and_padding.CARDS]
    assert len({one.share for one in found}) == 3
    assert any(one.tokens for one in found)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_the_crossings_of_exercise_11_are_taken_in_any_form_that_says_them(kind: Any) -> None:
    asked = e11_cpu_fallback.requests(3)
    right = [e11_cpu_fallback.crossings_of(3, tokens) for tokens in asked]
    pairs = list(zip(asked, right, strict=True))
    assert e11_cpu_fallback._miscounted(kind(right), 3) is None
    assert e11_cpu_fallback._miscounted(dict(pairs), 3) is None
    assert e11_cpu_fallback._miscounted(kind(pairs), 3) is None
    assert e11_cpu_fallback._miscounted(kind(right[::-1]), 3) is not None


@pytest.mark.parametrize("answer", [None, "812", [1, 2], {1: 2}, {1, 2, 3}, [1, "2", 3]])
def test_what_are_no_three_crossings_is_refused_and_is_no_guess(answer: Any) -> None:
    with pytest.raises(ParamsError):
        e11_cpu_fallback._miscounted(answer, 3)


def test_the_rule_of_exercise_02_is_what_the_rehearsal_device_does() -> None:
    code = (
        "import torch; from goemo_utils import rehearsal; rehearsal.enable(devices=2)\n"
        "from goemo_utils.learn.exercises import e02_mixed_devices as e\n"
        "def run(what, one, other):\n"
        "    a = torch.ones([2] * one.axes).to(one.device)\n"
        "    b = torch.ones([2] * other.axes).to(other.device)\n"
        "    if what == 'index': return a[b.long() - 1]\n"
        "    return torch.cat([a, b]) if what == 'cat' else a + b\n"
        "for what, one, other, truth, _ in e.CASES:\n"
        "    try:\n        run(what, one, other)\n        raised = False\n"
        "    except (RuntimeError, IndexError) as error:\n"
        "        raised = 'device' in str(error)\n"
        "    assert raised == truth, (what, one, other)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_queue_holds_its_pace_in_no_attribute() -> None:
    pace = e04_timing.pace_of(5)
    queue = e04_timing.material(5)
    queue.run()
    shown = repr({name: getattr(queue, name) for name in dir(queue)})
    for hidden in (pace.work, pace.launch, pace.steady):
        assert str(hidden) not in shown


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_card_hides_is_a_fault_of_the_rehearsal_device(seed: int) -> None:
    hiding = [
        *(e08_find_the_call.hidden(seed, card) for card in e08_find_the_call.CARDS),
        *(e09_masks_and_padding.hidden(seed, card) for card in e09_masks_and_padding.CARDS),
        *(e10_rare_events.hidden(seed, card) for card in e10_rare_events.CARDS),
    ]
    for hidden in hiding:
        parse_numerics(hidden.numerics)
        parse_fault(hidden.fault)
    for program in e11_cpu_fallback.PROGRAMS:
        assert len(parse_fault(e11_cpu_fallback.fault(seed, program))) >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_three_cards_differ_and_padding_is_at_fault_on_one(seed: int) -> None:
    shares = [e09_masks_and_padding.trouble(seed, card).share for card in "XYZ"]
    assert len(set(shares)) == 3
    assert {"padding", "late padding"} & set(shares)
    assert "turn" in {e10_rare_events.trouble(seed, card).what for card in "PQR"}


def test_words_may_come_twice_among_the_cards_of_exercise_10() -> None:
    words = [[e10_rare_events.trouble(s, card).what for card in "PQR"] for s in SEEDS]
    assert {len(set(three)) for three in words} >= {2, 3}
    assert {word for three in words for word in three} == set(e10_rare_events.OCCASIONS)


@pytest.mark.parametrize(
    ("share", "tokens", "harmed"),
    [
        ("padding", None, [1]),
        ("late padding", 29, [1]),
        ("late padding", 30, []),
        ("neighbour", None, [0, 1]),
        ("length", 29, [0, 1]),
        ("length", 30, []),
        ("nothing", None, []),
    ],
)
def test_each_share_harms_its_own_texts_of_a_batch(
    share: str, tokens: int | None, harmed: list[int]
) -> None:
    assert e09_masks_and_padding.Trouble(share, tokens).harmed([30, 9]) == harmed


def test_the_embedded_model_calls_each_operator_as_often_as_the_judge_counts() -> None:
    import torch

    from goemo_utils.forward.model import load_model

    loaded = load_model("embedded")
    batch = loaded.tokenizer(["one", "two words"], padding=True, return_tensors="pt")
    with torch.no_grad(), torch.profiler.profile() as profile:
        loaded.model.eval()(**batch)
    counts = {row.key: row.count for row in profile.key_averages()}
    for operator, calls in e11_cpu_fallback.CALLS.items():
        assert counts[f"aten::{operator}"] == calls
