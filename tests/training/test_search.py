"""The search stays in its space, is judged on held-out texts, survives a kill and ends with exactly
the trials that were asked for.
"""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from goemo_utils.errors import DeviceError, GoemoError, ParamsError, WorkerError
from goemo_utils.training import search
from goemo_utils.training.params import TrainingParams

RNG = np.random.default_rng(0)
TRUTH = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 40)]
NOISE = RNG.random(TRUTH.shape)


class Held(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.targets)


SPLITS = SimpleNamespace(
    train=SimpleNamespace(task="multi_label", texts=["a", "b"]),
    held=Held(targets=TRUTH, task="multi_label"),
)


@pytest.fixture(autouse=True)
def needs_optuna(request) -> None:
    if request.node.name != "test_without_optuna_one_sentence_names_the_extra":
        pytest.importorskip("optuna")


def params(**changes) -> TrainingParams:
    return TrainingParams(**{"epochs": 4.0, "search_trials": 5, "seed": 3, **changes})


def make(params, splits, out: Path, **changes) -> dict:
    return {
        "out": str(out),
        "texts": splits.train.texts,
        "model": params.model,
        "seed": params.seed,
        **changes,
    }


class Trainer:
    """Stands in for the trainer: the better, the nearer the learning rate to 1e-3; ``bad`` maps the
    place of a call to what happens there.
    """

    def __init__(self, bad: dict | None = None, simulated: bool = False) -> None:
        self.bad, self.simulated, self.jobs = bad or {}, simulated, []

    def __call__(self, job: dict) -> dict:
        self.jobs.append({name: value for name, value in job.items() if name != "out"})
        out, happens = Path(job["out"]), self.bad.get(len(self.jobs) - 1, 0.0)
        out.mkdir(parents=True, exist_ok=True)
        if isinstance(happens, BaseException):
            raise happens
        far = abs(math.log10(job["learning_rate"]) + 3)
        np.save(out / "held.npy", (TRUTH + NOISE * (0.5 + far) + happens).astype(np.float32))
        return {
            "held_probabilities": str(out / "held.npy"),
            "device": {"simulated": self.simulated},
        }


def test_it_ends_with_the_number_of_trials_and_names_the_best_ready_to_type(tmp_path) -> None:
    train = Trainer()
    result = search.run(params(), SPLITS, tmp_path, train, make=make)
    assert [r["trial"] for r in result["trials"]] == [1, 2, 3, 4, 5]
    assert len(train.jobs) == 5
    best = max(result["trials"], key=lambda r: r["held_macro_f1"])
    assert result["best"] == best
    words = result["line"].split()
    assert words[::3] == ["-p"] * 7
    # The line, read as the command line reads it, gives the very settings that were trained.
    loaded = TrainingParams.load(None, dict(zip(words[1::3], words[2::3], strict=True)))
    assert {name: getattr(loaded, name) for name in search.SPACE} == {
        name: best[name] for name in search.SPACE
    }
    assert not list((tmp_path / "search").glob("trial-*")), "what trials wrote is removed"


def test_every_trial_lies_in_the_space_and_trains_no_longer_than_the_params(tmp_path) -> None:
    result = search.run(params(search_trials=20), SPLITS, tmp_path, Trainer(), make=make)
    for r in result["trials"]:
        assert 1e-5 <= r["learning_rate"] <= 3e-3
        assert r["epochs"] in (1, 2, 3, 4)
        assert r["batch_size"] in (16, 32, 64)
        assert 0 <= r["weight_decay"] <= 0.1
        assert r["r_drop"] in (0, 1, 5)
        assert r["label_smoothing"] in (0, 0.1)
        assert 0 <= r["warm_up"] <= 0.2
    # Two learning rates may round to the same three digits; two trials are never all alike.
    drawn = {tuple(r[name] for name in search.SPACE) for r in result["trials"]}
    assert len(drawn) == 20
    assert sum(result["importance"].values()) == pytest.approx(1)
    assert set(result["importance"]) == set(search.SPACE)


def test_the_first_trial_is_the_params_own_settings_if_the_space_has_them(tmp_path) -> None:
    own = search.run(params(), SPLITS, tmp_path / "in", Trainer(), trials=1, make=make)["trials"][0]
    assert {name: own[name] for name in search.SPACE} == {
        "learning_rate": 3e-4,
        "epochs": 4,
        "batch_size": 32,
        "weight_decay": 0.01,
        "r_drop": 0,
        "label_smoothing": 0,
        "warm_up": 0.1,
    }
    assert search.run(
        params(batch_size=48), SPLITS, tmp_path / "out", Trainer(), trials=1, make=make
    )["trials"][0]["batch_size"] in (16, 32, 64)


@pytest.mark.parametrize("cut_at", [0, 3])
def test_killed_and_started_again_it_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path, cut_at: int
) -> None:
    whole = Trainer()
    expected = search.run(params(search_trials=8), SPLITS, tmp_path / "whole", whole, make=make)

    with pytest.raises(KeyboardInterrupt):
        search.run(
            params(search_trials=8),
            SPLITS,
            tmp_path / "cut",
            Trainer({cut_at: KeyboardInterrupt()}),
            make=make,
        )

    rest = Trainer()
    found = search.run(params(search_trials=8), SPLITS, tmp_path / "cut", rest, make=make)
    assert rest.jobs == whole.jobs[cut_at:]
    assert [r | {"seconds": 0} for r in found["trials"]] == [
        r | {"seconds": 0} for r in expected["trials"]
    ]


def test_a_journal_whose_last_line_was_cut_off_is_read_up_to_it(tmp_path) -> None:
    search.run(params(), SPLITS, tmp_path, Trainer(), trials=3, make=make)
    journal = tmp_path / "search" / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker')
    more = Trainer()
    assert len(search.run(params(), SPLITS, tmp_path, more, trials=5, make=make)["trials"]) == 5
    assert len(more.jobs) == 2
    assert all(json.loads(line) for line in journal.read_text().splitlines()), (
        "the journal is JSON, line by line"
    )


def test_a_finished_search_trains_nothing_more_and_more_trials_go_on_from_it(tmp_path) -> None:
    first, again, more = Trainer(), Trainer(), Trainer()
    result = search.run(params(), SPLITS, tmp_path, first, make=make)
    assert search.run(params(), SPLITS, tmp_path, again, make=make) == result
    assert not again.jobs
    longer = search.run(params(search_trials=7), SPLITS, tmp_path, more, make=make)
    assert len(more.jobs) == 2
    assert longer["trials"][:5] == result["trials"]


@pytest.mark.parametrize("change", [{"model": "random:embedded"}, {"seed": 4}, {"epochs": 3.0}])
def test_other_settings_are_another_search(tmp_path, change: dict) -> None:
    search.run(params(), SPLITS, tmp_path, Trainer(), make=make)
    other = Trainer()
    search.run(params(**change), SPLITS, tmp_path, other, make=make)
    assert len(other.jobs) == 5


def test_the_params_value_of_a_searched_setting_is_no_change_of_the_search(tmp_path) -> None:
    search.run(params(), SPLITS, tmp_path, Trainer(), make=make)
    same = Trainer()
    search.run(params(learning_rate=1e-4), SPLITS, tmp_path, same, make=make)
    assert not same.jobs


def test_nan_and_crashes_are_failed_trials_with_their_reason_and_do_not_stop_it(tmp_path) -> None:
    train = Trainer(
        {
            1: math.nan,
            2: WorkerError("The training job was killed by SIGKILL. The end of its log:\nkilled"),
            3: GoemoError("The training diverged: the loss is nan at step 3 of 9."),
        }
    )

    result = search.run(params(), SPLITS, tmp_path, train, make=make)
    assert [r["state"] for r in result["trials"]] == [
        "scored",
        "failed",
        "failed",
        "failed",
        "scored",
    ]

    assert [r["reason"] for r in result["trials"]][1:4] == [
        "the model answers with NaN",
        "The training job was killed by SIGKILL. The end of its log:",
        "The training diverged: the loss is nan at step 3 of 9.",
    ]
    assert (
        search.table(result)["state"].tolist()[-1]
        == "The training diverged: the loss is nan at step 3 of 9."
    )

    assert result["best"]["state"] == "scored"


def test_a_search_without_a_score_names_no_best(tmp_path) -> None:
    result = search.run(
        params(), SPLITS, tmp_path, Trainer(dict.fromkeys(range(5), math.nan)), make=make
    )
    assert result["best"] is None
    assert result["line"] is None
    assert "No trial has a score" in search.markdown(result)


def test_what_fails_every_trial_alike_is_raised_and_is_no_trial(tmp_path) -> None:
    with pytest.raises(DeviceError):
        search.run(
            params(),
            SPLITS,
            tmp_path,
            Trainer({2: DeviceError("The device cuda:0 is absent.")}),
            make=make,
        )
    assert (
        len(search.run(params(), SPLITS, tmp_path, Trainer(), trials=2, make=make)["trials"]) == 2
    )


def test_a_simulated_device_keeps_no_times_and_says_so(tmp_path) -> None:
    result = search.run(params(), SPLITS, tmp_path, Trainer(simulated=True), trials=2, make=make)
    assert [r["seconds"] for r in result["trials"]] == [
        None,
        None,
    ]
    assert "SIMULATED" in search.markdown(result)


def test_the_tables_show_the_declared_space_and_every_trial_best_first(tmp_path) -> None:
    result = search.run(params(), SPLITS, tmp_path, Trainer(), make=make)
    shown = search.space_table(result)
    assert list(shown.index) == list(search.SPACE)
    assert shown.loc["epochs", "values"] == "1 to 4"
    assert shown.loc["batch_size", "values"] == "16 | 32 | 64"
    assert result["importance"] is None and set(shown["importance"]) == {"–"}, (
        "five trials say nothing about importance"
    )
    scored = search.table(result)["held-out macro-F1"].astype(float).tolist()
    assert len(scored) == 5
    assert scored == sorted(scored, reverse=True)
    assert result["line"] in search.markdown(result)
    assert "flatters" in search.markdown(result)


def test_the_objective_of_many_labels_tunes_each_half_of_the_texts_on_the_other() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1]] * 10, np.float32)
    held = Held(targets=truth, task="multi_label")
    assert search.objective(held, 0.1 + 0.1 * truth) == 1, (
        "no common threshold: low probabilities in the right order are right"
    )
    uneven = 0.1 + 0.1 * truth
    uneven[
        1::2
        # every second text lies higher: thresholds of one half mark all or nothing of the other
    ] += 0.5
    assert search.objective(held, uneven) == pytest.approx(2 * 10 / (2 * 10 + 10 + 10))
    assert math.isnan(search.objective(held, np.where(truth > 0, math.nan, 0.1)))


def test_the_objective_of_a_single_label_is_macro_f1_of_the_most_probable() -> None:
    held = Held(targets=np.eye(3, dtype=np.float32)[[0, 0, 1, 2]], task="single_label")
    assert search.objective(
        held, np.array([[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]])
    ) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_without_optuna_one_sentence_names_the_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        GoemoError, match=r"needs Optuna.*pip install 'goemo\[search\]'.*search_trials: 0"
    ):
        search.run(params(), SPLITS, tmp_path, Trainer(), make=make)


def test_a_search_without_a_trial_is_refused(tmp_path) -> None:
    with pytest.raises(ParamsError, match=r"search_trials is 0: .*at least 1 trial"):
        search.run(params(search_trials=0), SPLITS, tmp_path, Trainer(), make=make)
