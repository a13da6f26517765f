"""A new model in the folder takes the old one's place between two batches, or changes nothing."""

import threading
import time
from pathlib import Path

from goemo_utils.classifier.classifier import GoEmotionsClassifier, Prediction
from goemo_utils.stream.model import Model
from tests.forward import tiny_model

TEXTS = ["I am so happy today!", "This is awful."]


def labels_of(model: Model) -> set[str]:
    predictions, facts = model.answer(TEXTS)
    assert facts == {"model": model.digest[:12]}
    assert all(isinstance(one, Prediction) for one in predictions)
    return set(model.classifier.labels)


def test_a_model_is_replaced_a_broken_one_is_not_taken_and_the_same_one_is_told(
    tmp_path: Path,
) -> None:
    folder = tiny_model.save_roberta(tmp_path / "model")
    told: list[str] = []
    model = Model(str(folder), GoEmotionsClassifier, lambda result, _: told.append(result))
    before = model.digest
    assert labels_of(model) == {"joy", "anger", "neutral"}

    tiny_model.save_roberta(folder, labels=("good", "bad"))
    assert model.reload() == "replaced"
    assert labels_of(model) == {"good", "bad"}
    assert model.digest != before

    assert model.reload() == "same"
    (folder / "config.json").write_text("{half", encoding="utf-8")
    assert model.reload() == "failed"
    assert labels_of(model) == {"good", "bad"}
    assert told == ["replaced", "same", "failed"]


def test_a_folder_is_looked_at_until_its_files_have_come_to_rest(tmp_path: Path) -> None:
    folder = tiny_model.save_roberta(tmp_path / "model")
    stop, replaced = threading.Event(), threading.Event()
    model = Model(str(folder), GoEmotionsClassifier, lambda *_: replaced.set())
    watcher = threading.Thread(target=model.watch, args=(0.02, stop))
    watcher.start()
    time.sleep(0.1)
    assert not replaced.is_set()

    tiny_model.save_roberta(folder, labels=("good", "bad"))
    assert replaced.wait(30)
    stop.set()
    watcher.join()
    assert labels_of(model) == {"good", "bad"}
