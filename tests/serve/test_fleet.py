"""Which model answers whom, and how one is replaced while requests come."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ParamsError
from goemo_utils.serve import fleet as fleets
from goemo_utils.serve.batcher import Closed
from goemo_utils.serve.fleet import Fleet, Served
from tests.forward.tiny_model import save_roberta

KEYS = [f"user-{n}" for n in range(4000)]


@pytest.fixture
def two(model: Path, classifier: GoEmotionsClassifier):
    """Models a and b; b answers a tenth."""
    served = [Served("a", str(model)), Served("b", str(model))]
    fleet = Fleet(served, lambda path: classifier, {"b": 0.1})
    yield fleet
    fleet.close()


def test_a_model_is_loaded_by_a_thread_that_ends_so_that_only_its_batcher_computes(
    model: Path, classifier: GoEmotionsClassifier
) -> None:
    loading: list[threading.Thread] = []

    def make(path: str) -> GoEmotionsClassifier:
        loading.append(threading.current_thread())
        return classifier

    fleet = Fleet([Served("a", str(model))], make)
    fleet.close()
    assert loading[0] is not threading.current_thread()
    assert not loading[0].is_alive()


def test_shares_are_kept_within_their_interval(two: Fleet) -> None:
    """0.1 of 4000 keys is 400; five standard deviations of a binomial are 95."""
    n_b = sum(two.choose(None, key).name == "b" for key in KEYS)
    assert abs(n_b - 400) < 5 * np.sqrt(4000 * 0.1 * 0.9)


def test_one_key_is_always_answered_by_one_model(two: Fleet) -> None:
    for key in KEYS[:50]:
        assert two.choose(None, key).name == two.choose(None, key).name


def test_a_larger_share_takes_no_key_away_from_the_model(two: Fleet) -> None:
    before = {key for key in KEYS if two.choose(None, key).name == "b"}
    two.shares["b"] = 0.3
    after = {key for key in KEYS if two.choose(None, key).name == "b"}
    assert before < after


def test_a_model_that_is_named_answers_whatever_the_shares(two: Fleet) -> None:
    assert {two.choose("b", key).name for key in KEYS[:50]} == {"b"}
    with pytest.raises(KeyError):
        two.choose("c", "key")


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"c": 0.1}, "--share names 'c', which is not served"),
        ({"b": 1.5}, "--share b=1.5; expected a number from 0 to 1"),
        ({"b": float("nan")}, "--share b=nan"),
        ({"a": 0.6, "b": 0.6}, "add up to 1.2"),
    ],
)
def test_shares_that_cannot_be_are_refused_before_a_model_is_loaded(
    shares: dict[str, float], words: str
) -> None:
    def never(path: str) -> GoEmotionsClassifier:
        raise AssertionError("a model was loaded")

    with pytest.raises(ParamsError, match=words):
        Fleet([Served("a", "x"), Served("b", "y")], never, shares)


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ParamsError, match="expected each name once"):
        Fleet([Served("a", "x"), Served("a", "y")], GoEmotionsClassifier)


def test_a_new_model_takes_the_place_and_the_old_one_answers_what_it_took(tmp_path: Path) -> None:
    folder, told = save_roberta(tmp_path / "model"), []
    fleet = Fleet(
        [Served("m", str(folder))], GoEmotionsClassifier, reloaded=lambda *what: told.append(what)
    )
    old = fleet.versions["m"]
    ids, _ = old.classifier.tokenise(["I am so happy today!"] * 50)
    waiting = old.batcher.submit(ids)
    save_roberta(folder, labels=("joy", "anger", "fear"))
    assert fleet.reload() == {"m": "replaced"}
    assert waiting.result(20).shape == (50, 3)
    assert fleet.versions["m"].classifier.labels == ["joy", "anger", "fear"]
    assert fleet.versions["m"].digest != old.digest
    with pytest.raises(Closed):
        old.batcher.submit(ids)
    assert told == [("m", "replaced")]
    fleet.close()


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    folder, told = save_roberta(tmp_path / "model"), []
    fleet = Fleet(
        [Served("m", str(folder))], GoEmotionsClassifier, reloaded=lambda *what: told.append(what)
    )
    old = fleet.versions["m"]
    before = old.batcher.submit([[0, 1]]).result(20)
    (folder / "model.safetensors").write_bytes(b"half a file")  # in place, under a mapped file
    assert fleet.reload()["m"].startswith("failed: ")
    assert fleet.versions["m"] is old
    assert (old.batcher.submit([[0, 1]]).result(20) == before).all()
    assert told == [("m", "failed")]
    fleet.close()


def test_the_same_files_replace_nothing(model: Path, classifier: GoEmotionsClassifier) -> None:
    fleet = Fleet([Served("m", str(model))], lambda path: classifier)
    old = fleet.versions["m"]
    assert fleet.reload() == {"m": "same"}
    assert fleet.versions["m"] is old
    fleet.close()


def test_a_changed_folder_is_loaded_once_it_has_come_to_rest(tmp_path: Path) -> None:
    one, two = save_roberta(tmp_path / "one"), save_roberta(tmp_path / "two", ("a", "b"))
    release = tmp_path / "current"
    release.symlink_to(one)
    replaced, stop = threading.Event(), threading.Event()
    fleet = Fleet(
        [Served("m", str(release))],
        GoEmotionsClassifier,
        reloaded=lambda name, result: result == "replaced" and replaced.set(),
    )
    watching = threading.Thread(target=fleet.watch, args=(0.05, stop))
    watching.start()
    (tmp_path / "next").symlink_to(two)
    (tmp_path / "next").replace(release)
    assert replaced.wait(30)
    stop.set()
    watching.join(30)
    assert fleet.versions["m"].classifier.labels == ["a", "b"]
    fleet.close()


def test_what_is_no_folder_is_never_thought_changed(tmp_path: Path) -> None:
    assert fleets.signature("embedded") == []
    assert fleets.signature("owner/name") == []
    folder = save_roberta(tmp_path / "m")
    before = fleets.signature(str(folder))
    shutil.copytree(folder, tmp_path / "n")
    assert before
    assert fleets.signature(str(tmp_path / "n")) != before
