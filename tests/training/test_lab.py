"""The lab end to end on a tiny model: labelled texts in, a folder that the porting run takes out,
and a record that its card is rendered from.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from goemo_utils.cli import main
from goemo_utils.params import PROJECT_ROOT
from goemo_utils.records.manifest import locked
from goemo_utils.records.record import read_record
from goemo_utils.training import card, lab
from goemo_utils.training.params import TrainingParams
from tests.forward.tiny_model import save_roberta
from tests.training.synthetic import CUES, make, write

TINY = {
    "epochs": "2",
    "batch_size": "16",
    "learning_rate": "0.003",
    "parity_steps": "2",
    "threads": "1",
    "held_out": "0.2",
}


def table(path: Path, n: int, seed: int, several: bool) -> Path:
    """A .csv of n texts with their labels' names: one a text, or now and then two."""
    split = make(n, seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row, (text, target) in enumerate(zip(split.texts, split.targets, strict=True)):
            names = [split.labels[int(np.flatnonzero(target)[0])]] + (
                ["joy"] if several and row % 5 == 0 else []
            )
            writer.writerow((text, "|".join(sorted(set(names)))))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two trainings through the command line: several labels a text on the rehearsal device, one
    label a text on the CPU.
    """
    root = tmp_path_factory.mktemp("lab")
    tiny = save_roberta(root / "tiny")
    folders = {}

    for name, several, device in (("several", True, "rehearsal"), ("one", False, "cpu")):
        files = {
            part: str(table(root / f"{name}-{part}.csv", n, seed, several))
            for part, n, seed in (("train", 120, 1), ("dev", 40, 2))
        }
        values = {
            **TINY,
            **files,
            "model": str(tiny),
            "device": device,
            "run_id": name,
            "output_root": str(root / "outputs"),
        }

        assert (
            main(
                [
                    "finetune",
                    *(word for key, value in values.items() for word in ("-p", key, value)),
                ]
            )
            == 0
        )

        folders[name] = root / "outputs" / name

    return folders


def test_the_record_is_valid_and_says_what_was_simulated(trained: dict[str, Path]) -> None:
    records = {name: read_record(folder / "10_finetune.json") for name, folder in trained.items()}
    assert (records["several"].simulated, records["one"].simulated) == (True, False)
    assert records["several"].verdict.startswith("SIMULATED: ")
    assert "training parity pass" in records["several"].verdict
    assert records["one"].results["task"] == "single_label"
    assert records["several"].results["task"] == "multi_label"
    assert set(records["several"].results["scores"]) == {"model", "baseline"}


def test_the_card_is_rendered_from_the_scores_beside_it(trained: dict[str, Path]) -> None:
    for folder in trained.values():
        assert not [
            path.name
            for path in (folder / "model").glob("*.[jm]*")
            if str(folder.parents[1]) in path.read_text(encoding="utf-8")
        ]
        facts = json.loads((folder / "model" / "scores.json").read_text(encoding="utf-8"))
        assert (folder / "model" / "README.md").read_text(encoding="utf-8") == card.render(facts)
        assert str(folder.parent) not in card.render(facts), (
            "a card names no path of the machine that made it"
        )
    assert "**SIMULATED**" in (trained["several"] / "model" / "README.md").read_text(
        encoding="utf-8"
    )


def test_the_regularisers_are_the_tasks_own(trained: dict[str, Path]) -> None:
    made = {
        name: read_record(folder / "10_finetune.json").results["training"]
        for name, folder in trained.items()
    }
    assert (made["one"]["alpha"], made["one"]["smoothing"], made["one"]["r_drop_passes"]) == (
        5.0,
        0.1,
        2,
    )
    assert (
        made["several"]["alpha"],
        made["several"]["smoothing"],
        made["several"]["r_drop_passes"],
    ) == (0.0, 0.0, 1)


def test_the_classifier_takes_the_folder_with_its_thresholds_and_gives_the_recorded_score(
    trained: dict[str, Path],
) -> None:
    from goemo_utils import GoEmotionsClassifier
    from goemo_utils.training.data import read_split
    from goemo_utils.training.metrics import scores

    folder = trained["several"]
    classifier = GoEmotionsClassifier(str(folder / "model"))
    kept = json.loads((folder / "model" / "thresholds.json").read_text(encoding="utf-8"))[
        "thresholds"
    ]
    assert list(classifier.threshold) == [kept[label] for label in classifier.labels]
    dev = read_split(folder.parents[1] / "several-dev.csv", labels=list(classifier.labels))
    results, _ = classifier.predict(dev.texts)
    marked = np.array(
        [[label in {name for name, _ in row} for label in classifier.labels] for row in results]
    )

    recorded = read_record(folder / "10_finetune.json").results["scores"]["model"]["tuned"]
    assert scores(dev.targets, marked, 0.5)["macro_f1"] == pytest.approx(recorded["macro_f1"])


def test_a_single_label_folder_loads_as_one(trained: dict[str, Path]) -> None:
    from goemo_utils.forward.model import load_model

    loaded = load_model(str(trained["one"] / "model"))
    assert loaded.task == "single_label"
    assert loaded.labels == sorted(CUES)
    assert loaded.info["thresholds"] is None


TENSORBOARD = ".0"  # events.out.tfevents.….0, records of numbers in protocol buffers


def test_nothing_in_the_folders_is_a_pickle(trained: dict[str, Path]) -> None:
    for folder in trained.values():
        kinds = {
            path.suffix for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
        }
        assert kinds <= {".json", ".safetensors", ".md", ".npy", ".log", TENSORBOARD}
        assert not (folder / "checkpoints").exists()


def test_a_run_of_the_porting_notebooks_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    assert main(["finetune", "-p", "run_id", "mine", "-p", "output_root", str(tmp_path)]) == 2
    assert "Choose another run_id" in capsys.readouterr().err


def test_a_wrong_parameter_ends_with_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", "-p", "label_column", "mood", "-p", "output_root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "mood" in said
    assert "sentiment" in said
    assert "Traceback" not in said


@pytest.mark.long
def test_a_new_model_is_made_by_its_recipe_and_learns(tmp_path: Path) -> None:
    values = yaml.safe_load((PROJECT_ROOT / "params" / "embedded.yaml").read_text(encoding="utf-8"))
    stage = {
        "epochs": 12,
        "rate": 1e-2,
        "word_dropout": 0.0,
        "dropout": 0.0,
        "head_dropout": 0.0,
        "weight_decay": 0.0,
        "averaging": 0.9,
    }

    values["recipe"] |= {
        "vocab_size": 400,
        "width": 16,
        "n_heads": 2,
        "inner_width": 16,
        "teacher_share": 0.0,
        "pooling": stage,
        "finetuning": {**stage, "epochs": 2, "rate": 2e-3},
    }

    (tmp_path / "small.yaml").write_text(
        yaml.safe_dump({**values, "max_length": 32, "batch_size": 16}), encoding="utf-8"
    )
    files = {
        part: str(write(make(n, seed), tmp_path / f"{part}.tsv"))
        for part, n, seed in (("train", 600, 1), ("dev", 200, 2))
    }

    given = {**files, "run_id": "new", "output_root": str(tmp_path)}
    assert (
        main(
            [
                "finetune",
                "-f",
                str(tmp_path / "small.yaml"),
                *(word for key, value in given.items() for word in ("-p", key, value)),
            ]
        )
        == 0
    )

    record = read_record(tmp_path / "new" / "10_finetune.json")
    scores = json.loads((tmp_path / "new" / "model" / "scores.json").read_text(encoding="utf-8"))[
        "scores"
    ]
    assert record.results["scores"] == scores
    assert scores["model"]["at_0.3"]["micro_f1"] > 0.95
    assert scores["baseline"]


def test_a_folder_with_files_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "mine" / "model" / "weights.bin"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    assert main(["finetune", "-p", "run_id", "mine", "-p", "output_root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "holds model of which no training of goemo is known" in said
    assert precious.read_text() == "x"
    assert list((tmp_path / "mine").iterdir()) == [precious.parent]


def test_a_folder_that_cannot_be_written_ends_with_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    assert main(["finetune", "-p", "run_id", "taken", "-p", "output_root", str(tmp_path)]) == 2
    assert "nothing can be written to" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["npu:0", "cuda:7"])
def test_an_absent_device_is_told_before_anything_is_fitted_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(lab, "load", lambda step: pytest.fail("texts were loaded"))
    assert (
        main(
            [
                "finetune",
                "-p",
                "device",
                device,
                "-p",
                "run_id",
                "none",
                "-p",
                "output_root",
                str(tmp_path),
            ]
        )
        == 2
    )

    said = capsys.readouterr()
    assert f"Device '{device}' was requested" in said.err
    assert not said.out
    assert not (tmp_path / "none").exists()


BEGIN = """
import sys
from goemo_utils.training import lab
from goemo_utils.training.params import TrainingParams
step = lab.begin(TrainingParams.load(None, {"device": "cpu", "output_root": sys.argv[1]}))
step = lab.begin(step.params)  # the cell of the notebook that is run twice
print("held", flush=True)
sys.stdin.readline()
lab.release(step.dir)
print("released", flush=True)
sys.stdin.readline()
"""


def test_a_notebook_and_a_command_never_train_in_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    )

    try:
        assert notebook.stdout.readline() == "held\n"
        before = sorted(tmp_path.rglob("*"))
        assert main(["finetune", "-p", "device", "cpu", "-p", "output_root", str(tmp_path)]) == 2
        assert "is being written by another process" in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before
        notebook.stdin.write("\n")
        notebook.stdin.flush()
        assert notebook.stdout.readline() == "released\n"
        params = TrainingParams.load(None, {"device": "cpu", "output_root": str(tmp_path)})
        lab.release(lab.begin(params).dir)
    finally:
        notebook.kill()
        notebook.wait()


def test_a_finished_training_is_let_go(trained: dict[str, Path]) -> None:
    with locked(trained["one"]):
        pass


def test_a_search_without_optuna_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert (
        main(
            [
                "finetune",
                "-p",
                "search_trials",
                "2",
                "-p",
                "run_id",
                "none",
                "-p",
                "output_root",
                str(tmp_path),
            ]
        )
        == 2
    )

    assert "pip install 'goemo[search]'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_label_with_signs_of_a_table_leaves_the_cards_table_whole() -> None:
    assert card._markdown([{"label": "a|b\nc", "f1": "1"}]).splitlines()[-1] == "| a\\|b c | 1 |"


def test_a_finished_training_by_other_parameters_is_named_before_it_is_replaced(
    trained: dict[str, Path],
) -> None:
    values = read_record(trained["one"] / "10_finetune.json").results["params"]
    same = TrainingParams(**values, run_id="one", output_root=str(trained["one"].parent))
    assert lab.replaced(lab.begin(same)) is None
    warning = lab.replaced(lab.begin(same.model_copy(update={"seed": 7})))
    assert "holds another training" in warning
    assert "give a run_id" in warning
