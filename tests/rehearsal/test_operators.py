"""A sample of the operator table; the whole of it is the command ``goemo selftest operators``."""

import json
from pathlib import Path

import pytest

from goemo_utils.rehearsal import operators
from goemo_utils.rehearsal.table import agreement, markdown
from goemo_utils.rehearsal.trial import Trial
from tests.rehearsal.children import in_child

SAMPLE = [
    "add",
    "addmm",
    "amax",
    "arange",
    "argmax",
    "baddbmm",
    "bernoulli",
    "bmm",
    "cat",
    "clamp",
    "copysign",
    "cumsum",
    "div.no_rounding_mode",
    "einsum",
    "empty_like",
    "eq",
    "erf",
    "exp",
    "expand",
    "fft.rfft",
    "fill",
    "flip",
    "gather",
    "index_put",
    "index_select",
    "linalg.solve",
    "logsumexp",
    "masked_fill",
    "masked_select",
    "matmul",
    "mean",
    "mm",
    "mul",
    "native_layer_norm",
    "new_zeros",
    "nn.functional.conv2d",
    "nn.functional.cross_entropy",
    "nn.functional.dropout",
    "nn.functional.gelu",
    "nn.functional.layer_norm",
    "nn.functional.linear",
    "nn.functional.pad.constant",
    "nn.functional.scaled_dot_product_attention",
    "nonzero",
    "pow",
    "repeat",
    "scatter",
    "sgn",
    "softmax",
    "sort",
    "split",
    "squeeze",
    "sum",
    "tanh",
    "topk",
    "tril",
    "unique",
    "where",
    "zeros_like",
]
REFUSED = ["to_sparse", "sparse.sampled_addmm", "sparse.mm.reduce"]


@pytest.mark.long
def test_the_sample_agrees_with_the_cpu_and_the_refused_say_why() -> None:
    def body() -> list[Trial]:
        return list(operators.run_all(SAMPLE + REFUSED, jobs=2, samples=4, timeout=60))

    trials = {trial.name: trial for trial in in_child(body)[0]}
    assert {name: trials[name].message for name in SAMPLE if trials[name].verdict != "agrees"} == {}
    assert {name: trials[name].verdict for name in REFUSED} == dict.fromkeys(REFUSED, "refused")
    assert all("dense tensors only" in trials[name].message for name in REFUSED)
    assert sum(trial.backwards for trial in trials.values()) > 50


def test_a_child_that_dies_or_hangs_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def misbehave(name: str, *_settings: object) -> Trial:
        import os
        import signal
        import time

        if name == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "hangs":
            time.sleep(60)
        return Trial(name, "agrees", samples=1)

    monkeypatch.setattr(operators, "try_operator", misbehave)
    monkeypatch.setattr(operators, "database", dict)

    def body() -> dict[str, Trial]:
        return {
            trial.name: trial
            for trial in operators.run_all(["dies", "hangs", "lives"], jobs=3, samples=1, timeout=2)
        }

    trials = in_child(body)[0]
    assert trials["dies"].verdict == "died"
    assert "SIGSEGV" in trials["dies"].message
    assert trials["hangs"].verdict == "timeout"
    assert trials["lives"].verdict == "agrees"


def test_results_are_kept_and_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def run_all(names: list[str], *_settings: object) -> list[Trial]:
        tried.extend(names)
        return [Trial(name, "agrees", samples=1) for name in names]

    monkeypatch.setattr(operators, "run_all", run_all)
    monkeypatch.setattr(operators, "database", lambda: dict.fromkeys(["one", "two", "three"]))
    results, page = tmp_path / "operators.jsonl", tmp_path / "operators.md"
    assert operators.main(["--only", "one", "--results", str(results)]) == 0
    assert operators.main(["--results", str(results), "--markdown", str(page)]) == 0
    assert tried == ["one", "two", "three"]
    assert (
        operators.main(
            ["--only", "one", "--samples", "3", "--results", str(tmp_path / "other.jsonl")]
        )
        == 0
    )
    assert operators.main(["--only", "one", "--results", str(tmp_path / "other.jsonl")]) == 0
    assert tried[3:] == ["one", "one"], "results of other settings do not count"
    assert [json.loads(line)["name"] for line in results.read_text().splitlines()] == tried[:3]
    assert "3 of 3 operators" in page.read_text()


def test_an_unknown_operator_could_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operators, "database", lambda: {"matmul": None})
    assert operators.main(["--only", "matmull"]) == 2
    assert "'matmull' is not in PyTorch's operator database" in capsys.readouterr().err


@pytest.mark.parametrize("verdict", ["wrong", "died", "timeout"])
def test_one_harmful_operator_fails_the_table_however_many_agree(verdict: str) -> None:
    trials = [Trial(str(number), "agrees") for number in range(999)] + [Trial("bad", verdict)]
    assert agreement(trials).share > 0.99
    assert agreement(trials).harmful == 1


def test_what_the_cpu_cannot_do_is_not_counted() -> None:
    result = agreement([Trial("a", "agrees"), Trial("b", "refused"), Trial("c")])
    assert result.share == 0.5
    assert agreement([Trial("c")]).share == 0.0


def test_the_page_shows_every_reason_and_says_simulated() -> None:
    page = markdown(
        [
            Trial("a", "agrees", samples=3),
            Trial("b|c", "refused", samples=2, refused=1, message="no | kernel"),
        ],
        samples=3,
    )
    assert "| `b|c` | 2 | 1 | no \\| kernel |" in page
    assert "**simulated**" in page
    assert "no list of what an Ascend NPU supports" in page
