"""What the classifier promises: order, shapes, thresholds, limits, and one clear sentence for what
it cannot do.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import current_thread

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from goemo_utils.classifier import onnx_runtime, spread
from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.environment.versions import satisfies
from goemo_utils.errors import DeviceError, ModelError, ParamsError, TextsError
from tests.forward import tiny_model

TEXTS = [
    "I am so happy today!",
    "",
    "No.",
    "This is awful, and I am angry, and it goes on for a while longer.",
    "Thank you 🙂",
    "a\nb",
] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> GoEmotionsClassifier:
    return GoEmotionsClassifier(str(folder), batch_tokens=64)


def expected(folder: Path, texts: list[str]) -> np.ndarray:
    """One text at a time through transformers alone: no padding, no batching, no packing."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = [
            model(**tokenizer(text, truncation=True, max_length=64, return_tensors="pt")).logits[0]
            for text in texts
        ]
    return torch.stack(logits).sigmoid().numpy()


def test_answers_are_those_of_the_model_in_input_order(
    classifier: GoEmotionsClassifier, folder: Path
) -> None:
    _, probs = classifier.predict(TEXTS)
    assert probs.dtype == np.float32
    assert probs.shape == (len(TEXTS), 3)
    np.testing.assert_allclose(probs, expected(folder, TEXTS), atol=1e-5)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(len(TEXTS))))
def test_an_answer_does_not_depend_on_the_texts_around_it(
    classifier: GoEmotionsClassifier, order: list[int]
) -> None:
    _, straight = classifier.predict(TEXTS)
    _, shuffled = classifier.predict([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, straight[list(order)], atol=1e-5)


def test_labels_above_the_threshold_come_most_probable_first(
    classifier: GoEmotionsClassifier,
) -> None:
    results, probs = classifier.predict(TEXTS)
    for labels, row in zip(results, probs, strict=True):
        values = [p for _, p in labels]
        assert values == sorted(values, reverse=True)
        assert {name for name, _ in labels} == {
            name for name, p in zip(classifier.labels, row, strict=True) if p > classifier.threshold
        }


def test_single_label_probabilities_sum_to_one(tmp_path: Path) -> None:
    tiny_model.save_roberta(tmp_path, problem_type="single_label_classification")
    _, probs = GoEmotionsClassifier(str(tmp_path)).predict(TEXTS)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_results_and_an_empty_array(classifier: GoEmotionsClassifier) -> None:
    results, probs = classifier.predict([])
    assert results == []
    assert probs.shape == (0, 3)
    assert probs.dtype == np.float32


@pytest.mark.parametrize("wrong", ["I am so happy today!", b"bytes"])
def test_a_single_string_is_refused_with_a_way_out(
    classifier: GoEmotionsClassifier, wrong: str
) -> None:
    with pytest.raises(TypeError, match="put it in a list"):
        classifier.predict(wrong)


def test_nothing_at_all_is_refused(classifier: GoEmotionsClassifier) -> None:
    with pytest.raises(TypeError, match="NoneType"):
        classifier.predict(None)


def test_an_item_that_is_no_string_is_named(classifier: GoEmotionsClassifier) -> None:
    with pytest.raises(TextsError, match="Text 1 is a NoneType"):
        classifier.predict(["fine", None])


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "I am happy"},
        {"a", "b"},
        np.array("a"),
        np.array([["a", "b"]]),
        pd.DataFrame({"text": ["I am happy"]}),
    ],
)
def test_what_would_give_names_or_no_order_is_refused(
    classifier: GoEmotionsClassifier, wrong: object
) -> None:
    with pytest.raises(TypeError, match=f"{type(wrong).__name__}.*a list of texts was expected"):
        classifier.predict(wrong)


@pytest.mark.parametrize("kind", [np.array, pd.Series, tuple, iter])
def test_any_other_run_of_texts_is_taken(classifier: GoEmotionsClassifier, kind: type) -> None:
    np.testing.assert_array_equal(classifier.predict(kind(TEXTS))[1], classifier.predict(TEXTS)[1])


def test_threads_share_one_classifier(folder: Path) -> None:
    classifier = GoEmotionsClassifier(str(folder))
    jobs = [["happy " * 200, "No."] * 20, TEXTS] * 2
    alone = [classifier.predict(texts)[1] for texts in jobs]
    cut = classifier.truncated
    with ThreadPoolExecutor(4) as pool:
        for _ in range(8):
            for got, expected_ in zip(
                pool.map(lambda texts: classifier.predict(texts)[1], jobs), alone, strict=True
            ):
                np.testing.assert_allclose(got, expected_, atol=1e-5)
    assert classifier.truncated == 9 * cut


def test_an_error_half_way_through_a_stream_reaches_the_caller_and_the_classifier_goes_on(
    classifier: GoEmotionsClassifier,
) -> None:
    def source():
        yield from ["No."] * 3000
        raise OSError("the disk is gone")

    answers = []
    with pytest.raises(OSError, match="the disk is gone"):
        answers.extend(classifier.predict_stream(source()))
    np.testing.assert_array_equal(classifier.predict(TEXTS)[1], classifier.predict(TEXTS)[1])


def test_over_long_texts_are_cut_at_the_models_own_limit_and_counted(folder: Path) -> None:
    classifier = GoEmotionsClassifier(str(folder), max_length=512)
    assert classifier.max_length == 64
    long = "happy today " * 200
    answers = list(classifier.predict_stream(["short", long, "short"]))
    assert [a.truncated for a in answers] == [False, True, False]
    assert classifier.truncated == 1
    np.testing.assert_allclose(answers[1].probabilities, expected(folder, [long])[0], atol=1e-5)


def test_a_text_that_just_fits_is_not_called_cut(folder: Path) -> None:
    classifier = GoEmotionsClassifier(str(folder))
    n = len(AutoTokenizer.from_pretrained(folder)("happy")["input_ids"])
    exact = GoEmotionsClassifier(str(folder), max_length=n)
    exact.predict(["happy"])
    assert exact.truncated == 0
    assert classifier.truncated == 0


def test_half_a_surrogate_pair_is_answered_and_not_a_crash(
    classifier: GoEmotionsClassifier,
) -> None:
    _, probs = classifier.predict(["broken \ud83d text", "fine"])
    assert np.isfinite(probs).all()


@pytest.mark.parametrize("text", ["\ud83d" * 8, "\ud83d\ude42" * 8])
def test_surrogates_that_are_cut_are_counted_as_the_model_sees_them(
    folder: Path, text: str
) -> None:
    classifier = GoEmotionsClassifier(str(folder), max_length=16)
    assert [answer.truncated for answer in classifier.predict_stream([text, "No."])] == [
        True,
        False,
    ]


def test_a_limit_that_leaves_no_room_for_a_text_is_refused(folder: Path) -> None:
    with pytest.raises(ParamsError, match="adds 2 tokens to each text: expected at least 3"):
        GoEmotionsClassifier(str(folder), max_length=2)


def test_a_model_and_a_device_may_be_given_as_objects(
    folder: Path, classifier: GoEmotionsClassifier
) -> None:
    given = GoEmotionsClassifier(folder, device=torch.device("cpu"))
    np.testing.assert_allclose(given.predict(TEXTS)[1], classifier.predict(TEXTS)[1], atol=1e-5)


def test_a_model_that_cannot_take_its_own_tokens_is_refused_in_a_sentence(tmp_path: Path) -> None:
    tiny_model.save(tmp_path, "bert", chunk_size_feed_forward=7)
    with pytest.raises(ModelError, match=r"fails on its first text .*chunk size 7"):
        GoEmotionsClassifier(str(tmp_path), backend="eager")


def test_a_stream_gives_the_same_answers_as_a_list(classifier: GoEmotionsClassifier) -> None:
    results, probs = classifier.predict(TEXTS)
    answers = list(classifier.predict_stream(iter(TEXTS)))
    assert [a.index for a in answers] == list(range(len(TEXTS)))
    assert [a.text for a in answers] == TEXTS
    assert [a.labels for a in answers] == results
    np.testing.assert_array_equal(np.stack([a.probabilities for a in answers]), probs)


def test_a_stream_is_read_chunk_by_chunk(classifier: GoEmotionsClassifier) -> None:
    read: list[int] = []

    def source():
        for i in range(10_000):
            read.append(i)
            yield "No."

    next(classifier.predict_stream(source()))
    assert len(read) < 5_000


def test_answers_a_list_ahead_are_the_same(classifier: GoEmotionsClassifier) -> None:
    texts = [f"{text} {number}" for number in range(300) for text in ("No.", "", *TEXTS)]
    one_by_one = list(classifier.predict_chunks(texts, skip_empty=True, first=7))
    ahead = list(classifier.predict_ahead(texts, skip_empty=True, first=7))
    assert [len(chunk) for chunk in ahead] == [len(chunk) for chunk in one_by_one]
    for these, those in zip(chain(*ahead), chain(*one_by_one), strict=True):
        assert (these.index, these.text, these.labels) == (those.index, those.text, those.labels)


def test_empty_texts_can_be_left_out_and_keep_their_place(classifier: GoEmotionsClassifier) -> None:
    answers = list(classifier.predict_stream(["No.", "  ", "", "Yes."], skip_empty=True))
    assert [a.empty for a in answers] == [False, True, True, False]
    assert answers[1].labels == []
    assert answers[1].probabilities is None
    assert next(classifier.predict_stream([""], skip_empty=True)).empty


def test_the_tokenizer_is_left_without_padding(classifier: GoEmotionsClassifier) -> None:
    classifier.predict(TEXTS)
    assert classifier.inputs.tokenizer.backend_tokenizer.padding is None


def test_auto_packs_on_the_cpu_and_says_so(classifier: GoEmotionsClassifier) -> None:
    assert classifier.backend_used == (
        "packed" if torch.backends.mkldnn.is_available() else "eager"
    )
    assert classifier.backend_reason
    assert classifier.placement["on_device"]


def test_packed_and_eager_agree(folder: Path, classifier: GoEmotionsClassifier) -> None:
    eager = GoEmotionsClassifier(str(folder), backend="eager")
    assert eager.backend_used == "eager"
    np.testing.assert_allclose(eager.predict(TEXTS)[1], classifier.predict(TEXTS)[1], atol=1e-5)


def test_auto_falls_back_to_eager_and_records_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    classifier = GoEmotionsClassifier(str(folder))
    assert classifier.backend_used == "eager"
    assert "oneDNN" in classifier.backend_reason
    with pytest.raises(ModelError, match="oneDNN"):
        GoEmotionsClassifier(str(folder), backend="packed")


def test_reduced_precision_runs_only_when_asked(
    folder: Path, classifier: GoEmotionsClassifier
) -> None:
    assert classifier.dtype == "float32"
    low = GoEmotionsClassifier(str(folder), dtype="bfloat16")
    assert low.dtype == "bfloat16"
    assert low.predict(TEXTS)[1].dtype == np.float32
    np.testing.assert_allclose(low.predict(TEXTS)[1], classifier.predict(TEXTS)[1], atol=0.1)


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    tiny_model.save_roberta(tmp_path, head=False)
    with pytest.raises(ModelError, match="head"):
        GoEmotionsClassifier(str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_an_absent_device_is_an_error_and_never_the_cpu(folder: Path) -> None:
    with pytest.raises(DeviceError):
        GoEmotionsClassifier(str(folder), device="cuda:0")


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"threshold": 1.0}, "threshold"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"batch_tokens": 1.5}, "batch_tokens is 1.5"),
        ({"max_length": None}, "max_length is None"),
        ({"max_length": "64"}, "max_length is '64'"),
        ({"dtype": "int4"}, "int4"),
        ({"backend": "fast"}, "fast"),
        ({"dtype": "int8", "backend": "eager"}, "int8"),
        ({"dtype": "int8", "device": "cuda:0"}, "dtype='int8' is for the CPU"),
        ({"backend": "packed", "device": "cuda:0"}, "packed"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings_: dict, words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        GoEmotionsClassifier("embedded", **settings_)


@pytest.mark.parametrize(
    "settings_", [{"backend": "onnxruntime"}, {"backend": "onnxruntime", "dtype": "int8"}]
)
def test_onnx_runtime_without_the_extra_names_the_extra(
    settings_: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_runtime, "missing", lambda: ["onnxruntime", "onnx"])
    with pytest.raises(ModelError, match="pip install"):
        GoEmotionsClassifier(str(folder), **settings_)


@pytest.mark.skipif(bool(onnx_runtime.missing()), reason="needs the onnx extra")
@pytest.mark.parametrize(("dtype", "limit"), [(None, 1e-5), ("int8", 0.2)])
def test_onnx_runtime_answers_like_torch(
    dtype: str | None, limit: float, folder: Path, classifier: GoEmotionsClassifier
) -> None:
    onnx = GoEmotionsClassifier(str(folder), backend="onnxruntime", dtype=dtype)
    assert onnx.backend_used == "onnxruntime"
    np.testing.assert_allclose(onnx.predict(TEXTS)[1], classifier.predict(TEXTS)[1], atol=limit)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_int8_needs_no_extra_and_tells_what_it_costs(
    folder: Path, classifier: GoEmotionsClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_runtime, "missing", lambda: ["onnxruntime", "onnx"])
    int8 = GoEmotionsClassifier(folder, dtype="int8")
    assert (int8.backend_used, int8.info["dtype"]) == ("packed", "int8")
    assert "int8" in int8.backend_reason
    assert "differ from float32's" in int8.backend_reason
    difference = np.abs(int8.predict(TEXTS)[1] - classifier.predict(TEXTS)[1]).max()
    assert 1e-5 < difference < 0.2


def test_int8_that_cannot_be_had_is_refused_and_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(
        ModelError,
        match=(
            r"dtype='int8' cannot be had: .*no oneDNN.* Use dtype='float32', or"
            r" backend='onnxruntime'"
        ),
    ):
        GoEmotionsClassifier(folder, dtype="int8")


@pytest.mark.parametrize(
    "backend",
    [
        "auto",
        pytest.param(
            "onnxruntime",
            marks=pytest.mark.skipif(bool(onnx_runtime.missing()), reason="needs the onnx extra"),
        ),
    ],
)
def test_batches_side_by_side_answer_alike(
    backend: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(spread, "SMALLEST", 16)
    try:
        torch.set_num_threads(1)
        one = GoEmotionsClassifier(folder, batch_tokens=64, backend=backend)
        alone = one.predict(TEXTS)[1]
        torch.set_num_threads(3)
        ran = []
        monkeypatch.setattr(
            GoEmotionsClassifier,
            "_run",
            lambda self, ids, run=GoEmotionsClassifier._run: (
                ran.append(current_thread().name) or run(self, ids)
            ),
        )
        np.testing.assert_allclose(one.predict(TEXTS)[1], alone, atol=1e-5)
        assert len(ran) >= 3
        assert all(name.startswith("goemo-batch") for name in ran)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not satisfies(torch.__version__, ">=2.10"), reason="the rehearsal's floor")
def test_the_rehearsal_device_gives_the_same_answers_and_says_that_it_is_simulated(
    folder: Path, classifier: GoEmotionsClassifier
) -> None:
    code = (
        "import sys, numpy as np; from goemo_utils import GoEmotionsClassifier as C;c ="
        f" C({str(folder)!r}, device='rehearsal'); np.save(sys.argv[1],"
        f" c.predict({TEXTS!r})[1]);assert c.placement['simulated'] and c.placement['on_device']"
        " and c.backend_used == 'eager', c.placement"
    )
    _in_a_fresh_process(code, folder / "rehearsed.npy")
    np.testing.assert_allclose(
        np.load(folder / "rehearsed.npy"), classifier.predict(TEXTS)[1], atol=1e-5
    )


def _in_a_fresh_process(code: str, *arguments: Path) -> None:
    """The rehearsal device cannot be taken away again, so it never enters the process of the other
    tests.
    """
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        # Ten seconds; at the lowest priority of a busy machine two minutes were not enough.
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
