"""The server's answers are predict's, whoever asks beside; what it cannot answer it says."""

import json
import re
from typing import Any

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.serve import page
from goemo_utils.serve.app import State, make_app
from goemo_utils.serve.cache import Cache
from goemo_utils.serve.fleet import Fleet, Served
from goemo_utils.serve.limits import Limits
from goemo_utils.texts.builtin import BUILTIN
from tests.serve.conftest import Ask, asker, together

TEXTS = [*BUILTIN[:8], "", " ", "名字 😀\u0000", "a " * 200, "\ud83d"]
CLOSE = 1e-6  # batches of another size round the last bits otherwise


def matrix(answer: list[list[dict[str, Any]]], labels: list[str]) -> np.ndarray:
    """Scores [n_texts, n_labels], columns in the order of ``labels``."""
    rows = [{one["label"]: one["score"] for one in row} for row in answer]
    return np.array([[row[label] for label in labels] for row in rows])


def test_predict_gives_every_label_of_every_text_as_goemo_predict_computes_it(
    ask: Ask, classifier: GoEmotionsClassifier
) -> None:
    answer = ask("POST", "/predict", json={"inputs": TEXTS}).json()
    _, probs = classifier.predict(TEXTS)
    assert np.abs(matrix(answer, classifier.labels) - probs).max() <= CLOSE
    for row in answer:
        scores = [one["score"] for one in row]
        assert scores == sorted(scores, reverse=True)


def test_a_text_alone_is_answered_alone(ask: Ask) -> None:
    alone = ask("POST", "/predict", json={"inputs": BUILTIN[0]}).json()
    listed = ask("POST", "/predict", json={"inputs": [BUILTIN[0]]}).json()
    assert listed == [alone]


def test_the_root_answers_as_predict_does(ask: Ask) -> None:
    one, two = (ask("POST", path, json={"inputs": TEXTS}).json() for path in ("/", "/predict"))
    assert one == two


def test_classify_gives_the_labels_above_the_threshold_as_goemo_predict_does(
    ask: Ask, classifier: GoEmotionsClassifier
) -> None:
    answer = ask("POST", "/v1/classify", json={"inputs": TEXTS}).json()
    results, _ = classifier.predict(TEXTS)
    assert answer["threshold"] == classifier.threshold
    assert not answer["simulated"]
    for row, expected in zip(answer["data"], results, strict=True):
        assert [one["label"] for one in row["labels"]] == [label for label, _ in expected]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.99])
def test_a_threshold_of_the_request_counts_for_the_request(ask: Ask, threshold: float) -> None:
    answer = ask("POST", "/v1/classify", json={"inputs": TEXTS, "threshold": threshold}).json()
    every = ask("POST", "/predict", json={"inputs": TEXTS}).json()
    for row, known in zip(answer["data"], every, strict=True):
        assert row["labels"] == [one for one in known if one["score"] > threshold]


def test_top_k_gives_the_most_probable_only(ask: Ask) -> None:
    body = {"inputs": TEXTS, "threshold": 0.001, "top_k": 2}
    answer = ask("POST", "/v1/classify", json=body).json()
    every = ask("POST", "/predict", json={"inputs": TEXTS}).json()
    assert [row["labels"] for row in answer["data"]] == [known[:2] for known in every]


def test_cut_and_empty_texts_are_told(ask: Ask, classifier: GoEmotionsClassifier) -> None:
    known = list(classifier.predict_stream(TEXTS))
    rows = ask("POST", "/v1/classify", json={"inputs": TEXTS}).json()["data"]
    assert [row["truncated"] for row in rows] == [one.truncated for one in known]
    assert [row["empty"] for row in rows] == [one.empty for one in known]
    assert any(one.truncated for one in known)
    assert [row["index"] for row in rows] == list(range(len(TEXTS)))


def test_a_text_that_may_not_be_cut_is_refused(ask: Ask) -> None:
    body = {"inputs": ["short", "a " * 200], "truncate": False}
    answer = ask("POST", "/predict", json=body)
    assert answer.status_code == 422
    assert "more than 64 tokens" in answer.json()["error"]
    assert ask("POST", "/predict", json={**body, "inputs": "short"}).status_code == 200


@pytest.mark.parametrize("entries", [0, 50])
def test_order_and_answers_are_the_same_whatever_runs_beside(
    fleet: Fleet, classifier: GoEmotionsClassifier, entries: int
) -> None:
    rng = np.random.default_rng(0)
    asked = [[str(text) for text in rng.choice(TEXTS[:8], rng.integers(1, 9))] for _ in range(60)]
    app = make_app(fleet, cache=Cache(entries))
    answers = together(app, [("POST", "/predict", {"json": {"inputs": texts}}) for texts in asked])
    for texts, answer in zip(asked, answers, strict=True):
        assert answer.status_code == 200
        _, probs = classifier.predict(texts)
        assert np.abs(matrix(answer.json(), classifier.labels) - probs).max() <= CLOSE


def test_the_cache_gives_the_very_answer_and_is_counted(fleet: Fleet) -> None:
    ask = asker(make_app(fleet, cache=Cache(100)))
    first, second = (ask("POST", "/predict", json={"inputs": TEXTS[:4]}) for _ in range(2))
    assert first.content == second.content
    told = ask("GET", "/metrics").text
    assert "goemo_cache_hits_total 4.0" in told
    assert "goemo_cache_misses_total 4.0" in told
    assert 'goemo_texts_total{model="model"' in told


@pytest.mark.parametrize("path", ["/predict", "/v1/classify", "/"])
def test_every_refusal_is_a_sentence_with_its_kind(ask: Ask, path: str) -> None:
    for status, options in (
        (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
        (415, {"content": b"a=b", "headers": {"content-type": "text/plain"}}),
        (422, {"json": {"input": "a"}}),
        (422, {"json": {"inputs": ["a"] * 257}}),
        (413, {"json": {"inputs": "a" * 1_100_000}}),
    ):
        answer = ask("POST", path, **options)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "error_type"}
        assert answer.json()["error"].endswith((".", "}."))


def test_other_addresses_and_methods_are_told_too(ask: Ask) -> None:
    assert ask("GET", "/nothing").status_code == 404
    refused = ask("PUT", "/predict")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
    assert ask("OPTIONS", "/").headers["allow"] == "GET, POST"
    assert "error" in refused.json()


def test_a_model_that_is_not_served_is_refused(ask: Ask) -> None:
    answer = ask("POST", "/v1/classify", json={"inputs": "a", "model": "other"})
    assert answer.status_code == 422
    assert "expected one of model" in answer.json()["error"]


def test_too_many_tokens_are_refused(fleet: Fleet) -> None:
    ask = asker(make_app(fleet, Limits(tokens=40)))
    assert ask("POST", "/predict", json={"inputs": "a " * 20}).status_code == 200
    answer = ask("POST", "/predict", json={"inputs": ["a " * 20] * 2})
    assert answer.status_code == 413
    assert "at most 40" in answer.json()["error"]


class Wrong(GoEmotionsClassifier):
    """Gives NaN for a text of one word, and fails on a text of two."""

    def probabilities(self, ids: Any) -> np.ndarray:
        rows = super().probabilities(ids)
        lengths = [len(row) for row in ids]
        if 5 in lengths:
            raise RuntimeError("the device is lost")
        rows[[length == 3 for length in lengths]] = np.nan
        return rows


def test_nan_and_a_failing_model_are_500_with_the_cause_and_take_no_others(model: Any) -> None:
    wrong = Wrong(model)
    one, two = "x", "? ?"
    lengths = [len(row) for row in wrong.tokenise([one, two])[0]]
    assert lengths == [3, 5]
    fleet = Fleet([Served("model", str(model))], lambda path: wrong)
    app = make_app(fleet)
    inputs = [BUILTIN[0], one, BUILTIN[1], two, BUILTIN[2]]
    answers = together(app, [("POST", "/predict", {"json": {"inputs": text}}) for text in inputs])
    assert [answer.status_code for answer in answers] == [200, 500, 200, 500, 200]
    assert "NaN" in answers[1].json()["error"]
    assert "the device is lost" in answers[3].json()["error"]
    fleet.close()


def test_a_full_queue_and_a_late_answer_are_503_with_a_time_to_come_back(model: Any) -> None:
    import threading

    go = threading.Event()

    class Slow(GoEmotionsClassifier):
        def probabilities(self, ids: Any) -> np.ndarray:
            go.wait(20)
            return super().probabilities(ids)

    fleet = Fleet([Served("model", str(model))], lambda path: Slow(model), queue=2)
    app = make_app(fleet, Limits(seconds=0.5, queue=2))
    request = ("POST", "/predict", {"json": {"inputs": ["a", "b"]}})
    answers = together(app, [request] * 6)
    go.set()
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error_type"] for answer in answers} == {"overloaded", "timeout"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    fleet.close()


def test_health_ready_and_draining(fleet: Fleet) -> None:
    state = State()
    ask = asker(make_app(fleet, state=state))
    assert ask("GET", "/health").json() == {"status": "ok"}
    assert ask("GET", "/ready").json()["models"].keys() == {"model"}
    state.draining = True
    assert ask("GET", "/ready").status_code == 503
    assert ask("GET", "/health").status_code == 200


def test_two_models_are_told_apart_and_their_agreement_is_counted(
    model: Any, classifier: GoEmotionsClassifier
) -> None:
    other = GoEmotionsClassifier(model, max_length=8)
    makes = iter([classifier, other])
    served = [Served("a", str(model)), Served("b", str(model))]
    fleet = Fleet(served, lambda path: next(makes), {"b": 0.5})
    app = make_app(fleet, compare=1.0)
    bodies = [{"inputs": [text], "key": f"k{n}"} for n, text in enumerate(BUILTIN)]
    answers = together(app, [("POST", "/v1/classify", {"json": body}) for body in bodies])
    assert {answer.json()["model"] for answer in answers} == {"a", "b"}
    named = asker(app)("POST", "/v1/classify", json={"inputs": BUILTIN[0], "model": "b"})
    assert named.headers["x-goemo-version"].startswith("b@")
    told = asker(app)("GET", "/metrics").text
    assert re.search(r'goemo_compared_texts_total\{model="a",other="b"\} [1-9]', told)
    assert re.search(r'goemo_agreed_texts_total\{in="label_set",model="a",other="b"\} \d', told)
    fleet.close()


@pytest.mark.parametrize("path", ["/?lang=en", "/?lang=zh", "/docs"])
def test_a_page_fetches_nothing_from_another_host(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", answer.text)


def test_the_page_speaks_both_languages_with_the_same_words_to_fill(ask: Ask) -> None:
    assert set(page.WORDS["en"]) == set(page.WORDS["zh"])
    assert 'lang="en"' in ask("GET", "/").text
    assert 'lang="zh-Hans"' in ask("GET", "/", headers={"accept-language": "zh-CN,zh"}).text


def test_the_description_names_every_address_and_what_it_refuses(ask: Ask) -> None:
    found = ask("GET", "/openapi.json").json()
    states = {"/health", "/ready", "/metrics", "/docs"}
    assert set(found["paths"]) == {"/", "/predict", "/v1/classify", *states}
    for path in ("/", "/predict", "/v1/classify"):
        told = found["paths"][path]["post"]["responses"]
        assert set(told) == {"200", "400", "408", "413", "415", "422", "500", "503"}
    json.dumps(found, allow_nan=False)
