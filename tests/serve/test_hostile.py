"""Ten thousand hostile texts, and whatever schemathesis makes of the description."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.serve.app import make_app
from goemo_utils.serve.fleet import Fleet
from tests.serve.conftest import as_json, together
from tests.serve.process import serving

# beside this Python, whether its folder is on the path or not
SCHEMATHESIS = shutil.which("schemathesis", path=sysconfig.get_path("scripts"))
pytestmark = pytest.mark.long
PIECES = [
    "\x00", "\ud800", "\udfff", "\u202e", "\ufeff", "\u200d", "😀", "e\u0301" * 20, "名字",
    "<s>", "</s>", "<mask>", "<pad>", "[NAME]", "{{7*7}}", "${x}", "'; --", "<script>", "\\u0000",
    "\r\n", "\t", " " * 50, "a" * 300, "9" * 400, "ا" * 30, "\U0010ffff", "-1e999", "NaN", "null",
]  # fmt: skip


def hostile(n: int) -> list[str]:
    """Texts of up to twelve such pieces, and some of any character there is."""
    rng = np.random.default_rng(0)
    texts = []
    for number in range(n):
        if number % 4:
            texts.append("".join(rng.choice(PIECES, rng.integers(0, 12))))
        else:
            texts.append("".join(map(chr, rng.integers(0, 0x110000, rng.integers(0, 60)))))
    return texts


def test_ten_thousand_hostile_texts_are_all_answered_as_goemo_predict_answers_them(
    fleet: Fleet, classifier: GoEmotionsClassifier
) -> None:
    texts = hostile(10_000)
    app = make_app(fleet)
    parts = [texts[at : at + 100] for at in range(0, len(texts), 100)]
    answers = [
        answer
        for at in range(0, len(parts), 10)
        for answer in together(
            app,
            [("POST", "/v1/classify", as_json({"inputs": part})) for part in parts[at : at + 10]],
        )
    ]
    assert {answer.status_code for answer in answers} == {200}
    results, _ = classifier.predict(texts)
    told = [
        [one["label"] for one in row["labels"]]
        for answer in answers
        for row in answer.json()["data"]
    ]
    differing = [i for i, row in enumerate(results) if [label for label, _ in row] != told[i]]
    assert len(told) == len(texts)
    assert len(differing) <= 2, "a probability on the threshold may fall either way, hardly more"


@pytest.mark.skipif(SCHEMATHESIS is None, reason="no schemathesis on this machine")
def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_described(
    model: Path, tmp_path: Path
) -> None:
    with serving("--model_path", model) as server:
        done = subprocess.run(
            [
                str(SCHEMATHESIS), "run", f"{server.url}/openapi.json", "--max-time", "60",
                "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color",
            ],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,  # it keeps what it found in the folder that it runs in
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    print(done.stdout[-400:])
