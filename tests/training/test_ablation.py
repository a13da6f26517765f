"""The ablation pairs its arms by seed, trains nothing twice, and states no spread and no cost that
was not measured.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from goemo_utils.errors import ParamsError, WorkerError
from goemo_utils.training import ablation

LABELS = ("a", "b", "c")
CPU = {"requested": "cpu", "name": "a processor", "simulated": False}


def split(task: str, n_texts: int, seed: int) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    marked = np.eye(3, dtype=np.float32)[rng.integers(0, 3, n_texts)]
    if task == "multi_label":
        marked = np.maximum(marked, (rng.random((n_texts, 3)) < 0.2).astype(np.float32))

    class Sized(SimpleNamespace):
        def __len__(self) -> int:
            return n_texts

    return Sized(
        texts=[f"text {i}" for i in range(n_texts)], targets=marked, labels=LABELS, task=task
    )


def setting(task: str = "multi_label") -> tuple[SimpleNamespace, SimpleNamespace]:
    params = SimpleNamespace(
        seed=7,
        model="embedded",
        ablation_seeds=3,
        r_drop=None,
        label_smoothing=None,
        learning_rate=1e-3,
    )
    return params, SimpleNamespace(
        train=split(task, 50, 0), held=split(task, 40, 1), dev=split(task, 60, 2)
    )


def make(params, splits, out: Path, **changes) -> dict:
    return {
        "out": str(out),
        "model": params.model,
        "texts": splits.train.texts,
        "learning_rate": params.learning_rate,
        **changes,
    }


class Trainer:
    """Stands in for the trainer: better with R-Drop, which costs twice the time; remembers what it
    was asked.
    """

    def __init__(
        self,
        splits: SimpleNamespace,
        stop_at: int | None = None,
        simulated: bool = False,
        resumed: int | None = None,
    ) -> None:
        self.splits, self.stop_at, self.simulated, self.resumed = (
            splits,
            stop_at,
            simulated,
            resumed,
        )
        self.jobs: list[dict] = []

    def __call__(self, job: dict) -> dict:
        if len(self.jobs) == self.stop_at:
            raise WorkerError("The training job was killed by SIGKILL.")
        self.jobs.append(job)
        out, rng = Path(job["out"]), np.random.default_rng(job["seed"])
        out.mkdir(parents=True, exist_ok=True)
        paths = {}

        for name in ("held", "dev"):
            truth = getattr(self.splits, name).targets
            noise = rng.random(truth.shape) * (0.9 if job["r_drop"] else 1.2)
            paths[f"{name}_probabilities"] = str(out / f"{name}.npy")
            np.save(paths[f"{name}_probabilities"], ((truth * 0.5 + noise) / 2).astype(np.float32))

        seconds = (10 + job["seed"]) * (2 if job["r_drop"] else 1)
        return {
            **paths,
            "device": {**CPU, "simulated": self.simulated},
            "seconds": seconds,
            "seconds_per_step": seconds / 100,
            "peak_memory": None,
            "peak_host_memory": 2**20 * seconds,
            "steps": 100,
            "best": {"step": 90, "held_macro_f1": 0.5},
            "stopped_early": False,
            "resumed_from": self.resumed,
        }


def arms(result: dict) -> dict:
    return {a["arm"]: a for a in result["arms"]}


def test_the_four_arms_share_their_seeds_and_differ_in_what_they_are_named_for(tmp_path) -> None:
    params, splits = setting()
    train = Trainer(splits)
    result = ablation.run(params, splits, tmp_path, train, make=make)
    seen = {(j["seed"], j["r_drop"], j["label_smoothing"]) for j in train.jobs}
    assert seen == {
        (seed, alpha, smoothing)
        for seed in (7, 8, 9)
        for alpha in (0, 1.0)
        for smoothing in (0, 0.1)
    }

    assert not any(j["keep_model"] for j in train.jobs)
    assert result["seeds"] == [7, 8, 9]
    assert {arm: (a["r_drop"], a["label_smoothing"]) for arm, a in arms(result).items()} == {
        "plain": (0, 0),
        "+ smoothing": (0, 0.1),
        "+ R-Drop": (1, 0),
        "both": (1, 0.1),
    }


def test_strengths_come_from_the_params_where_they_name_any(tmp_path) -> None:
    params, splits = setting("single_label")
    train = Trainer(splits)
    ablation.run(params, splits, tmp_path / "a", train, seeds=1, make=make)
    params.r_drop, params.label_smoothing = 2.5, 0.2
    ablation.run(params, splits, tmp_path / "b", train, seeds=1, make=make)
    assert [max(j["r_drop"] for j in part) for part in (train.jobs[:4], train.jobs[4:])] == [
        5.0,
        2.5,
    ]
    assert [
        max(j["label_smoothing"] for j in part) for part in (train.jobs[:4], train.jobs[4:])
    ] == [0.1, 0.2]


def test_all_arms_of_a_seed_run_before_the_next_seed_and_none_is_always_first() -> None:
    plan = ablation.order(5, 2)
    assert [seed for seed, _ in plan] == [seed for seed in range(2, 7) for _ in range(4)]
    assert all({arm for _, arm in plan[i : i + 4]} == set(ablation.ARMS) for i in range(0, 20, 4))
    assert {plan[i][1] for i in range(0, 16, 4)} == set(ablation.ARMS)


def test_after_a_kill_only_the_missing_trainings_run_and_the_result_is_the_uninterrupted_one(
    tmp_path,
) -> None:
    params, splits = setting()
    whole = ablation.run(params, splits, tmp_path / "whole", Trainer(splits), make=make)
    with pytest.raises(WorkerError):
        ablation.run(params, splits, tmp_path / "cut", Trainer(splits, stop_at=5), make=make)
    rest, lines = Trainer(splits), []
    assert ablation.run(params, splits, tmp_path / "cut", rest, lines.append, make=make) == whole
    assert len(rest.jobs) == 7
    said = [json.loads(line) for line in lines]
    assert [s["known"] for s in said] == [True] * 5 + [False] * 7
    assert (said[0]["run"], said[-1]["run"], said[0]["runs"]) == (1, 12, 12)


def test_a_changed_parameter_trains_again_and_another_folder_is_no_change(tmp_path) -> None:
    params, splits = setting()
    ablation.run(params, splits, tmp_path / "one", Trainer(splits), make=make)
    (tmp_path / "one").rename(tmp_path / "two")
    same, other = Trainer(splits), Trainer(splits)
    ablation.run(params, splits, tmp_path / "two", same, make=make)
    params.learning_rate = 2e-3
    ablation.run(params, splits, tmp_path / "two", other, make=make)
    assert (len(same.jobs), len(other.jobs)) == (0, 12)


def test_other_weights_in_the_folder_of_the_model_train_again(tmp_path) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    params, splits = setting()
    params.model = str(weights.parent)
    trained = []
    for content in (b"one", b"one", b"two"):
        weights.write_bytes(content)
        train = Trainer(splits)
        ablation.run(params, splits, tmp_path, train, seeds=1, make=make)
        trained.append(len(train.jobs))
    assert trained == [4, 0, 4]


def test_more_seeds_add_to_those_that_are_there(tmp_path) -> None:
    params, splits = setting()
    ablation.run(params, splits, tmp_path, Trainer(splits), seeds=1, make=make)
    more = Trainer(splits)
    assert ablation.run(params, splits, tmp_path, more, seeds=2, make=make)["seeds"] == [7, 8]
    assert len(more.jobs) == 4


def record(arm: str, seed: int, score: float, seconds: float, **changes) -> dict:
    return {
        "arm": arm,
        "seed": seed,
        "r_drop": 0,
        "label_smoothing": 0,
        "scores": {"macro_f1": score, "accuracy": score + 0.1},
        "seconds": seconds,
        "seconds_per_step": seconds / 10,
        "peak_memory": 100,
        "steps": 10,
        "simulated": False,
        "device": CPU,
        "resumed_from": None,
        **changes,
    }


def worked(**changes) -> list[dict]:
    plain = [record("plain", s, v, t) for s, v, t in ((0, 0.40, 10), (1, 0.42, 12), (2, 0.47, 20))]
    return plain + [
        record(arm, s, v, t, **changes)
        for arm in list(ablation.ARMS)[1:]
        for s, v, t in ((0, 0.42, 18), (1, 0.45, 24), (2, 0.48, 50))
    ]


def test_means_differences_interval_and_cost_of_a_worked_example() -> None:
    found = arms(ablation.summary(worked(), "single_label", {"train": 1, "held": 1, "dev": 1}))
    plain, both = found["plain"]["metrics"]["macro_f1"], found["both"]
    assert (plain["mean"], plain["min"], plain["max"]) == pytest.approx((0.43, 0.40, 0.47))
    assert plain["sd"] == pytest.approx(((0.03**2 + 0.01**2 + 0.04**2) / 2) ** 0.5)

    # Differences 0.02, 0.03, 0.01: mean 0.02, sd 0.01, t(0.975, 2) = 4.3027, so 0.02 ± 0.02484.
    difference = both["differences"]["macro_f1"]
    assert difference["values"] == pytest.approx([0.02, 0.03, 0.01])
    assert difference["sd"] == pytest.approx(0.01)
    assert difference["ci95"] == pytest.approx([0.02 - 0.024841, 0.02 + 0.024841], abs=1e-6)
    assert both["cost"] == {
        "seconds": 2.0,
        "seconds_per_step": 2.0,
        "steps": 10.0,
        "peak_memory": 100.0,
    }  # ratios 1.8, 2.0 and 2.5

    assert found["plain"]["differences"] is None
    assert found["plain"]["cost"]["seconds"] == 1


def test_a_resumed_training_has_no_time_to_compare() -> None:
    runs = worked()
    runs[-1] = {**runs[-1], "resumed_from": 4}
    both = arms(ablation.summary(runs, "single_label", {}))["both"]
    assert both["cost"]["seconds"] == pytest.approx(1.9)  # median of 1.8 and 2.0
    assert (
        arms(ablation.summary(worked(resumed_from=4), "single_label", {}))["both"]["cost"][
            "seconds"
        ]
        is None
    )


@pytest.mark.parametrize(
    ("freedom", "known"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423)],
)
def test_t_quantiles_are_those_of_the_tables(freedom: int, known: float) -> None:
    assert ablation.t_quantile(freedom) == pytest.approx(known, abs=5e-5)


def test_two_seeds_state_no_spread_and_the_table_says_so(tmp_path) -> None:
    params, splits = setting()
    result = ablation.run(params, splits, tmp_path, Trainer(splits), seeds=2, make=make)
    plain = arms(result)["plain"]["metrics"]["macro_f1_tuned"]
    assert plain["sd"] is None
    assert plain["ci95"] is None
    assert "±" not in ablation.markdown(result)
    assert "2 of the 3 seeds that a spread needs" in ablation.markdown(result)


def test_a_simulated_device_states_no_cost_and_keeps_no_times(tmp_path) -> None:
    params, splits = setting()
    result = ablation.run(params, splits, tmp_path, Trainer(splits, simulated=True), make=make)
    assert arms(result)["both"]["cost"] == {
        "seconds": None,
        "seconds_per_step": None,
        "steps": 100.0,
        "peak_memory": None,
    }
    kept = [json.loads(path.read_text()) for path in (tmp_path / "ablation").glob("*.json")]
    assert len(kept) == 12
    assert not any(k["seconds"] or k["seconds_per_step"] or k["peak_memory"] for k in kept)
    assert ablation.caption(result).startswith("SIMULATED. ")
    assert "no training cost" in ablation.caption(result)


def test_multi_label_scores_are_at_three_tenths_and_at_thresholds_tuned_on_held_out_texts() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]] * 10, np.float32)
    texts = SimpleNamespace(targets=truth, labels=LABELS, task="multi_label")
    # Every true label lies at 0.2 and every other at 0.1: nothing is marked at 0.3, and all is
    # right at a tuned threshold.
    found = ablation.judge(texts, 0.1 + 0.1 * truth, texts, 0.1 + 0.1 * truth)
    assert found == {
        "macro_f1_at_0.3": 0.0,
        "macro_f1_tuned": 1.0,
        "micro_f1_at_0.3": 0.0,
        "micro_f1_tuned": 1.0,
    }
    blind = ablation.judge(texts, 0.9 - 0.1 * truth, texts, 0.1 + 0.1 * truth)
    assert blind["macro_f1_tuned"] < 1, "thresholds must come from the held-out texts, not from dev"


def test_single_label_scores_go_by_the_most_probable_label() -> None:
    texts = SimpleNamespace(
        targets=np.eye(3, dtype=np.float32)[[0, 0, 1, 2]], labels=LABELS, task="single_label"
    )
    answers = np.array(
        [[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]], np.float32
    )
    # Label 0: tp 1, fn 1. Label 1: tp 1, fp 1. Label 2: tp 1.
    assert ablation.judge(texts, answers, texts, answers) == pytest.approx(
        {"macro_f1": (2 / 3 + 2 / 3 + 1) / 3, "accuracy": 0.75}
    )


def test_the_table_shows_every_arm_and_the_markdown_every_cell(tmp_path) -> None:
    result = ablation.summary(worked(), "single_label", {"train": 1000, "held": 100, "dev": 500})
    frame = ablation.table(result)
    assert list(frame.columns) == list(ablation.ARMS)
    assert frame.loc["macro-F1", "plain"] == "0.430 ± 0.036 (0.400 to 0.470)"
    assert frame.loc["macro-F1: against plain", "both"] == "+0.020 ± 0.010, 95 % -0.005 to +0.045"
    assert frame.loc["time per step ÷ plain", "both"] == "2.00"
    text = ablation.markdown(result)
    assert all(cell in text for cell in frame.to_numpy().ravel())
    assert "Dev scores (500 texts) after training on 1,000, 100 held out" in text


@pytest.mark.parametrize("count", [0, -1])
def test_an_ablation_without_a_seed_is_refused(tmp_path, count: int) -> None:
    params, splits = setting()
    with pytest.raises(
        ParamsError, match=rf"ablation_seeds is {count}: .*at least 1 seed.*Set ablation_seeds: 3"
    ):
        ablation.run(params, splits, tmp_path, Trainer(splits), seeds=count, make=make)
