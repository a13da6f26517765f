"""The lab's figures: titles state the finding of the data given, axes are labelled, every point of
the data is drawn and no other.
"""

import math

import numpy as np
import pytest

from goemo_utils.training import ablation, figures, search
from goemo_utils.training.data import Split, Splits

HISTORY = [{"step": s, "loss": 1 / s, "epoch": 1, "held_loss": None} for s in (1, 2, 3, 4)]
EVALUATIONS = [
    {"step": 2, "held_loss": 0.5, "held_macro_f1": 0.3},
    {"step": 4, "held_loss": 0.6, "held_macro_f1": 0.25},
]
CPU = {"requested": "cpu", "name": "a processor", "simulated": False}


def title(figure) -> str:
    return figure.get_suptitle() or figure.axes[0].get_title("left")


def points(axes) -> list[list[tuple[float, float]]]:
    return [list(map(tuple, line.get_xydata())) for line in axes.lines]


def compared(gains: tuple[float, ...], **changes) -> dict:
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "r_drop": 0,
            "label_smoothing": 0,
            "scores": {"macro_f1": 0.4 + gain * (arm == "both"), "accuracy": 0.6},
            "seconds": 1,
            "seconds_per_step": 1,
            "peak_memory": 1,
            "steps": 1,
            "simulated": False,
            "device": CPU,
            "resumed_from": None,
            **changes,
        }
        for seed, gain in enumerate(gains)
        for arm in ablation.ARMS
    ]

    return ablation.summary(runs, "single_label", {"train": 1, "held": 1, "dev": 1})


def searched(scores: list[float | None], **changes) -> dict:
    values = {
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch_size": 32,
        "weight_decay": 0.0,
        "r_drop": 5.0,
        "label_smoothing": 0.1,
        "warm_up": 0.1,
    }

    rows = [
        {"trial": i + 1, **values, "learning_rate": 10 ** (-4 + i / 10), "held_macro_f1": s}
        for i, s in enumerate(scores)
    ]
    best = max(
        (r for r in rows if r["held_macro_f1"] is not None),
        key=lambda r: r["held_macro_f1"],
        default=None,
    )

    return {"space": search.SPACE, "trials": rows, "best": best, "simulated": False, **changes}


def test_labels_are_shown_as_shares_of_all_train_texts_and_of_dev_commonest_first() -> None:
    def split(joy: int, fear: int) -> Split:
        return Split(
            ["text"] * (joy + fear),
            np.eye(2, dtype=np.float32)[[0] * fear + [1] * joy],
            ("fear", "joy"),
        )

    figure = figures.labels(Splits(split(5, 1), split(1, 1), split(1, 3), [], {}))
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["joy", "fear"]
    assert [bar.get_width() for bar in axes.patches] == [
        75,
        25,
        25,
        75,
    ]

    assert axes.get_xlabel() == "texts with the label (%)"
    assert title(figure) == "joy is 3 times as common as fear"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "train, 8 texts",
        "dev, 4 texts",
    ]


def test_curves_show_every_loss_and_mark_the_best_step() -> None:
    figure = figures.curves(HISTORY, EVALUATIONS, False)
    above, below = figure.axes
    assert title(figure) == "Best held-out macro-F1 0.300 at step 2 of 4"
    assert points(above)[:2] == [[(1, 1), (2, 0.5), (3, 1 / 3), (4, 0.25)], [(2, 0.5), (4, 0.6)]]
    assert points(below)[0] == [(2, 0.3), (4, 0.25)]
    assert [(2, 0.3)] in points(below)
    assert above.get_ylabel() == "loss (nats)"
    assert below.get_xlabel() == "optimizer step"


def test_curves_take_the_progress_lines_of_a_running_training_as_they_come() -> None:
    lines = [
        *HISTORY,
        {"step": 4, "steps": 9, "loss": None, "held_loss": 0.5, "held_macro_f1": 0.3},
        {"step": 5, "loss": math.nan},
        {"step": 6, "loss": "NaN"},
    ]
    for n in range(len(lines) + 1):
        figure = figures.curves(lines[:n], lines[:n], True)
        assert title(figure).startswith("SIMULATED. ")

    assert len(points(figure.axes[0])[0]) == 4
    assert len(points(figure.axes[0])[1]) == 1
    assert title(figures.curves([], [], False)) == "Nothing is trained yet"
    assert (
        title(figures.curves(HISTORY, [], False))
        == "Training loss 0.250 after 4 steps, not evaluated yet"
    )


def test_labels_are_sorted_by_f1_and_show_their_support() -> None:
    rows = [
        {"label": "fear", "f1": 0.5, "support": 90},
        {"label": "grief", "f1": 0.0, "support": 13},
        {"label": "gratitude", "f1": 0.9, "support": 1358},
    ]
    figure = figures.per_label(rows)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["gratitude", "fear", "grief"]
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.5, 0.0]
    assert "1,358" in axes.texts[0].get_text()
    assert title(figure) == "F1 from 0.90 (gratitude) down to 0.00 (grief)"


def test_reliability_draws_the_filled_bins_and_states_the_error() -> None:
    bins = [
        {"from": f, "to": f + 0.1, "mean_probability": p, "share_true": t, "n": n}
        for f, p, t, n in ((0.1, 0.1, 0.1, 90), (0.5, None, None, 0), (0.8, 0.8, 0.5, 10))
    ]
    figure = figures.reliability(bins)
    assert title(figure) == "Calibration error 0.030 over 100 probabilities"  # 10 · 0.3 / 100
    assert points(figure.axes[0])[1] == [(0.1, 0.1), (0.8, 0.5)]
    assert [tuple(s[1]) for s in figure.axes[1].collections[0].get_segments()] == [
        (0.1, 90),
        (0.8, 10),
    ]


def test_the_ablation_draws_every_training_and_every_mean() -> None:
    result = compared((0.01, 0.02, 0.03))
    figure = figures.ablation(result, {"macro_f1": 0.38})
    axes = figure.axes[0]
    assert len(figure.axes) == 2
    drawn = sorted(y for line in axes.lines[:3] for _, y in line.get_xydata())
    assert drawn == pytest.approx(sorted([0.4] * 9 + [0.41, 0.42, 0.43]))
    assert [s[0][1] for s in axes.collections[0].get_segments()] == pytest.approx(
        [0.4, 0.4, 0.4, 0.42]
    )
    assert [t.get_text() for t in axes.get_xticklabels()] == list(ablation.ARMS)
    assert axes.get_ylabel() == "dev macro-F1"
    assert "linear baseline" in axes.texts[0].get_text()
    assert not figure.axes[1].texts


@pytest.mark.parametrize(
    ("gains", "claim"),
    [
        (
            (0.020, 0.021, 0.022),
            (
                "Highest mean dev macro-F1: both, +0.021 against plain, 95 % interval above 0 (3"
                " seeds an arm)"
            ),
        ),
        (
            (0.05, -0.02, 0.01),
            (
                "Highest mean dev macro-F1: both, +0.013 against plain, which 3 seeds an arm cannot"
                " tell from none"
            ),
        ),
        (
            (0.02,),
            (
                "Highest mean dev macro-F1: both, +0.020 against plain, which 1 seed an arm cannot"
                " tell from none"
            ),
        ),
        (
            (-0.02, -0.02, -0.02),
            "No arm has a higher mean dev macro-F1 than plain training (3 seeds an arm)",
        ),
    ],
)
def test_the_ablation_claims_no_more_than_its_seeds_show(
    gains: tuple[float, ...], claim: str
) -> None:
    assert title(figures.ablation(compared(gains))) == claim
    assert title(figures.ablation(compared(gains, simulated=True))) == f"SIMULATED. {claim}"


def test_the_search_draws_scores_best_so_far_and_a_panel_a_parameter() -> None:
    figure = figures.search(searched([0.2, 0.1, None, 0.3, 0.25]))
    above, *panels = figure.axes
    assert title(figure) == "5 trials, 1 of them failed: best held-out macro-F1 0.300 at trial 4"
    assert points(above)[:2] == [
        [(1, 0.2), (2, 0.1), (4, 0.3), (5, 0.25)],
        [(1, 0.2), (2, 0.2), (4, 0.3), (5, 0.3)],
    ]
    assert [p.get_xlabel() for p in panels] == ["learning_rate (log)", *list(search.SPACE)[1:]]
    assert all(len(points(p)[0]) == 4 for p in panels)
    assert panels[0].get_xscale() == "log"
    assert {x for x, _ in points(panels[2])[0]} == {1}, "batch size 32 is the second of its choices"


def test_a_search_without_a_score_is_drawn_and_says_so() -> None:
    assert (
        title(figures.search(searched([None, None], simulated=True)))
        == "SIMULATED. 2 trials, 2 of them failed: none has a score"
    )


def test_every_figure_has_its_text_for_those_who_cannot_see_it() -> None:
    assert set(figures.ALT) == {
        "labels",
        "curves",
        "per_label",
        "reliability",
        "ablation",
        "search",
    }
    assert all(
        callable(getattr(figures, name)) and text.endswith(".")
        for name, text in figures.ALT.items()
    )
