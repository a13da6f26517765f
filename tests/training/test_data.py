"""Splits are what was asked for, whole, apart and the same every time, and what lowers their worth
is counted and said.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goemo_utils.errors import TextsError
from goemo_utils.training.data import LABELS, Split, hold_out, load, overlap, read_split
from goemo_utils.training.params import TrainingParams
from tests.training.synthetic import make, write


def params(**values: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "train": "sample",
            "dev": "sample",
            "text_column": None,
            "label_column": None,
            "labels": None,
            "task": "auto",
            "held_out": 0.1,
            "limit": None,
            "seed": 0,
        }
        | values
    )


def frame(n: int, labels: tuple[object, ...] = ("good", "bad"), start: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [f"text {number}" for number in range(start, start + n)],
            "label": [labels[number % len(labels)] for number in range(n)],
        }
    )


def refusal(**values: object) -> str:
    with pytest.raises(TextsError) as caught:
        load(params(**values))
    return str(caught.value)


def test_a_split_survives_being_written_and_read(tmp_path: Path) -> None:
    split = make(50, seed=1)
    again = read_split(write(split, tmp_path / "train.tsv"))
    assert again.texts == split.texts
    assert again.labels == LABELS
    assert (again.targets == split.targets).all()
    assert again.targets.dtype == np.float32


def test_a_split_survives_its_label_ids_and_takes_rows_with_its_task() -> None:
    split = Split.of_ids(["a", "b", "c"], [[1], [0], [1]], ("no", "yes"), "single_label")
    assert split.label_ids() == [[1], [0], [1]]
    assert json.dumps(split.label_ids())
    taken = split.take(np.array([2, 1]))
    assert (taken.texts, taken.targets.tolist(), taken.labels, taken.task) == (
        ["c", "b"],
        [[0, 1], [1, 0]],
        ("no", "yes"),
        "single_label",
    )

    assert split.support() == {"no": 1, "yes": 2}
    several = Split.of_ids(["a", "b"], [[0, 2], []], ("x", "y", "z"), "multi_label")
    assert several.targets.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert several.label_ids() == [
        [0, 2],
        [],
    ]


def test_held_out_texts_and_the_rest_are_the_whole_without_overlap() -> None:
    split = make(40, seed=2)
    split.texts[:] = [f"{number} {text}" for number, text in enumerate(split.texts)]
    fit, held = hold_out(split, 0.25, np.random.default_rng(0))
    assert len(held) == 10
    assert sorted(fit.texts + held.texts) == sorted(split.texts)
    assert overlap(fit, held) == 0
    assert overlap(fit, fit) == 30


def test_holding_out_nothing_is_refused() -> None:
    with pytest.raises(TextsError, match="empty part"):
        hold_out(make(5, seed=3), 0.1, np.random.default_rng(0))


def test_train_held_and_dev_are_apart_and_have_one_vocabulary_and_task() -> None:
    splits = load(params(train=frame(100, (1, -1, 0)), dev=frame(30, (0, 1), start=100)))
    assert [len(part) for part in (splits.train, splits.held, splits.dev)] == [90, 10, 30]
    assert sorted(splits.train.texts + splits.held.texts) == sorted(frame(100)["text"])
    assert {(part.labels, part.task) for part in (splits.train, splits.held, splits.dev)} == {
        (("-1", "0", "1"), "single_label")
    }
    assert splits.dev.label_ids()[:2] == [[1], [2]]
    assert splits.counts["dev"] == {
        "texts": 30,
        "labels": {"-1": 0, "0": 15, "1": 15},
    }
    assert json.dumps(splits.counts)
    assert splits.notes == [
        "Labels without a text in dev: -1; macro-F1 leaves out those that no answer names either,"
        " as scikit-learn does."
    ]


def test_every_text_keeps_its_label_through_drawing_and_parting() -> None:
    data = frame(200, ("a", "b", "c"))
    truth = dict(zip(data["text"], data["label"], strict=True))
    splits = load(params(train=data, dev=None, limit=120))
    for part in (splits.train, splits.held, splits.dev):
        assert [part.labels[i] for (i,) in part.label_ids()] == [truth[text] for text in part.texts]


def test_the_sample_is_loaded_by_default_and_its_dev_is_not_its_train() -> None:
    splits = load(params())
    assert (len(splits.train), len(splits.held), len(splits.dev), splits.train.task) == (
        1800,
        200,
        500,
        "single_label",
    )
    assert splits.counts["overlap"] == splits.counts["duplicates"] == 0
    assert splits.notes == []
    assert load(params(label_column="emotions")).train.labels == LABELS


def test_the_limit_draws_train_texts_at_random_by_the_seed() -> None:
    data = frame(400)
    drawn = [
        load(params(train=data, dev=frame(10, start=900), limit=100, seed=seed))
        for seed in (0, 0, 1)
    ]
    texts = [splits.train.texts + splits.held.texts for splits in drawn]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) == 100
    assert sorted(texts[0]) != sorted(data["text"][:100]), "not the first ones"
    assert "100 of 400 train texts were drawn at random (limit 100, seed 0)." in drawn[0].notes
    assert drawn[0].counts["read"] == 400
    assert len(drawn[0].dev) == 10


def test_a_limit_above_the_texts_changes_nothing() -> None:
    least, most = (
        load(params(train=frame(50), dev=frame(9, start=90), limit=limit)) for limit in (None, 50)
    )
    assert least.train.texts == most.train.texts
    assert most.notes == []


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=6).filter(
        lambda sizes: sum(sizes) >= 20
    ),
    seed=st.integers(0, 2**32 - 1),
    limit=st.none() | st.integers(20, 60),
    dev=st.booleans(),
)
def test_every_label_stays_in_what_is_learned_from(
    sizes: list[int], seed: int, limit: int | None, dev: bool
) -> None:
    labels = [f"label {number}" for number, size in enumerate(sizes) for _ in range(size)]
    data = pd.DataFrame(
        {"text": [f"text {number}" for number in range(len(labels))], "label": labels}
    )
    splits = load(
        params(train=data, dev=None if dev else data, seed=seed, limit=limit, held_out=0.2)
    )
    assert min(splits.train.support().values()) > 0
    assert len(splits.held) > 0
    n_texts = len(splits.train) + len(splits.held) + len(splits.dev) * dev
    assert (
        n_texts
        == min(limit or len(data), len(data))
        == len({*splits.train.texts, *splits.held.texts, *(splits.dev.texts if dev else ())})
    )


def test_without_rare_labels_the_held_texts_are_those_that_hold_out_gives_for_the_seed() -> None:
    splits = load(params(seed=3))
    fit, held = hold_out(read_split("sample"), 0.1, np.random.default_rng(3))
    assert (splits.train.texts, splits.held.texts) == (
        fit.texts,
        held.texts,
    ), "so a model from scratch is tuned on the same texts"


def test_holding_out_every_text_of_the_labels_is_refused() -> None:
    assert "give more texts, or fewer labels" in refusal(
        train=frame(11, tuple("abcdefghijk")), dev=frame(2, ("a", "b"), start=90)
    )


def test_without_dev_it_is_parted_from_train_and_said() -> None:
    splits = load(params(train=frame(100), dev=None, held_out=0.2))
    assert [len(part) for part in (splits.train, splits.held, splits.dev)] == [64, 16, 20]
    assert (
        overlap(splits.train, splits.dev)
        == overlap(splits.held, splits.dev)
        == overlap(splits.train, splits.held)
        == 0
    )
    assert "No dev was given: 20 texts were parted from train at random (seed 0)" in splits.notes[0]


def test_repeated_and_shared_texts_are_counted_and_said() -> None:
    train = pd.concat([frame(100), frame(10)])
    splits = load(params(train=train, dev=pd.concat([frame(4), frame(20, start=500)])))
    assert (splits.counts["duplicates"], splits.counts["overlap"]) == (10, 4)
    assert (
        "4 of 24 dev texts occur letter for letter in train: dev scores lean high." in splits.notes
    )
    assert any(
        note.startswith("10 of 110 train texts repeat another letter for letter;")
        for note in splits.notes
    )
    assert splits.counts["held_overlap"] == overlap(splits.train, splits.held)


def test_empty_texts_are_left_out_counted_and_said() -> None:
    data = frame(40)
    data.loc[[3, 5], "text"] = [" \t", None]
    splits = load(
        params(
            train=data, dev=pd.DataFrame({"text": ["x", "", "y"], "label": ["bad", "bad", "good"]})
        )
    )
    assert splits.counts["dropped"] == {"train": 2, "dev": 1}
    assert len(splits.train) + len(splits.held) == 38
    assert "Empty texts left out: 2 of train, 1 of dev." in splits.notes


def test_labels_with_few_texts_are_named() -> None:
    data = pd.concat([frame(60), frame(3, ("rare",), start=60)])
    (note,) = (
        note
        for note in load(params(train=data, dev=data)).notes
        if note.startswith("Labels with fewer")
    )
    assert note.startswith("Labels with fewer than 5 texts to learn from: rare (")
    assert "good" not in note
    unseen = load(params(train=frame(60), dev=frame(10, start=80), labels="good,bad,unseen"))
    assert unseen.counts["train"]["labels"]["unseen"] == 0
    assert any("unseen (0)" in note for note in unseen.notes)


def test_a_label_of_multi_label_texts_without_a_held_text_is_named() -> None:
    data = pd.concat([frame(60, (["a"], ["a", "b"])), frame(1, (["c"],), start=60)])
    assert (
        "Labels without a text held out: c; their thresholds stay 0.5."
        in load(params(train=data, dev=data)).notes
    )


@pytest.mark.parametrize(
    ("label", "options", "named"),
    [
        ("good", {}, "good"),
        (["good", "bad"], {}, "bad, good"),
        ("bad", {"labels": "good,bad"}, "bad"),
        ([], {"labels": "good,bad"}, "none"),
    ],
)
def test_one_class_is_nothing_to_learn(label: object, options: dict[str, str], named: str) -> None:
    message = refusal(train=frame(40, (label,)), dev=frame(4), **options)
    assert "All 40 texts of the data frame have the same label" in message
    assert f"({named})" in message
    assert "nothing to learn" in message


def test_a_label_of_dev_that_train_does_not_have_is_refused_with_its_line(tmp_path: Path) -> None:
    dev = tmp_path / "dev.csv"
    dev.write_text("text,label\nfine,good\nso so,middling\n", encoding="utf-8")
    message = refusal(train=frame(40), dev=str(dev))
    assert "dev.csv, line 3: label 'middling' is unknown" in message
    assert "found in the data frame: bad, good" in message


def test_a_row_of_dev_with_two_labels_contradicts_a_train_with_one_each() -> None:
    message = refusal(train=frame(40), dev=frame(4, ("good,bad",)))
    assert "row 0: has 2 labels (good, bad), but the task is single_label" in message
    assert "Set task to multi_label" in message
    assert (
        load(
            params(train=frame(40), dev=frame(4, ("good,bad",), start=50), task="multi_label")
        ).train.task
        == "multi_label"
    )


def test_equal_parameters_give_equal_rows_whatever_the_hash_seed(tmp_path: Path) -> None:
    data = frame(300, ("a;b", "c", "d;a", "e"))
    data.to_csv(tmp_path / "train.csv", index=False)
    code = (
        "import sys, json; from types import SimpleNamespace; from goemo_utils.training.data import"
        " load\ns = load(SimpleNamespace(**json.loads(sys.argv[1])))\nprint([(p.texts,"
        " p.label_ids(), p.labels) for p in (s.train, s.held, s.dev)], s.notes, s.counts)"
    )

    asked = json.dumps(vars(params(train=str(tmp_path / "train.csv"), dev=None, limit=200, seed=5)))
    runs = [
        subprocess.run(
            [sys.executable, "-c", code, asked],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert runs[0] == runs[1]
    assert "text 7" in runs[0]


def test_data_are_read_without_importing_torch() -> None:
    code = (
        "import sys, goemo_utils.training.data as data; data.read_split('sample'); print('torch' in"
        " sys.modules, 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(("task", "told"), [("auto", True), ("single_label", False)])
def test_a_name_that_was_parted_at_its_comma_is_told(tmp_path: Path, task: str, told: bool) -> None:
    names = ("Sports, Outdoors", "Home", "Toys")
    rows = [f'"text {i} of them","{names[i % 3]}"' for i in range(120)]
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["text,label", *rows]) + "\n")
    params = TrainingParams.load(None, {"train": str(file), "dev": "none", "task": task})
    splits = load(params)
    assert ("Sports, Outdoors" in splits.train.labels) is not told
    assert any("never stand apart" in note for note in splits.notes) is told
