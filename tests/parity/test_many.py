"""Many texts in parts: the result is that of one piece, and the same command goes on."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils import parity
from goemo_utils.errors import GoemoError, ParamsError, TextsError
from goemo_utils.forward import worker
from goemo_utils.forward.pack import write_pack
from goemo_utils.notebook.tables import number
from goemo_utils.params import Params
from goemo_utils.parity import many
from goemo_utils.parity.merged import judged
from goemo_utils.parity.tally import Answers, Rules, Tally, first, second
from tests.parity.packs import Pack, manifest, three

N = 2000
RULES = {
    "multi_label": Rules("multi_label", 0.3, 2.0**-14),
    "single_label": Rules("single_label", 0.3, 2.0**-14),
}


def cut(packs: tuple[Pack, Pack, Pack], rows: slice) -> Answers:
    return Answers(*(pack.tensors["logits"][rows] for pack in packs))


def merged(packs: tuple[Pack, Pack, Pack], size: int, rules: Rules) -> dict[str, Any]:
    """The judgement of parts of ``size`` texts, each of which went through JSON."""
    slices = [slice(start, start + size) for start in range(0, N, size)]
    total = Tally()
    for rows in slices:
        told = json.dumps(first(cut(packs, rows), rules).written())
        total += Tally.read(json.loads(told))
    bound = 2 * total.most["reference"]
    for rows in slices:
        total += second(cut(packs, rows), rules, bound)
    facts = manifest(N, 28, task=rules.task) | {"device": {}}
    return judged(total, facts, rules, bound)


@pytest.mark.parametrize("task", list(RULES))
@pytest.mark.parametrize("error", [1e-6, 3e-3])
def test_the_parts_give_the_figures_of_one_piece(task: str, error: float) -> None:
    gold, reference, candidate = packs = three(N, error=error, layers=0, task=task)
    whole: Any = parity.judge(gold, reference, candidate, 0.3)
    parts = merged(packs, 144, RULES[task])
    wanted = {row["id"]: row["value"] for row in whole["metrics"]}
    assert {row["id"] for row in parts["metrics"]} <= set(wanted)
    for row in parts["metrics"]:
        assert number(row["value"]) == number(wanted[row["id"]]), row["id"]
    gates = {gate["id"]: gate for gate in whole["gates"]}
    for gate in parts["gates"]:
        assert gate["result"] == gates[gate["id"]]["result"], gate["id"]
    flips = next(gate for gate in parts["gates"] if gate["id"] == "flips")
    assert flips["unexplained"] == gates["flips"]["unexplained"]
    assert flips["outside"] == gates["flips"]["outside"]
    bound = next(gate for gate in parts["gates"] if gate["id"] == "flip_bound")
    assert bound["value"] == gates["flip_bound"]["value"]


def test_however_the_texts_are_cut_the_result_has_the_same_bits() -> None:
    packs = three(N, error=3e-3, layers=0)
    results = [merged(packs, size, RULES["multi_label"]) for size in (N, 500, 112)]
    assert results[0] == results[1] == results[2]


def test_a_value_that_is_not_finite_fails_and_decides_nothing() -> None:
    packs = three(N, layers=0)
    packs[2].tensors["logits"][7, 3] = np.nan
    told = merged(packs, 1000, RULES["multi_label"])
    gates = {gate["id"]: gate["result"] for gate in told["gates"]}
    assert told["verdict"] == "fail"
    assert gates["finite"] == "fail"
    assert gates["flips"] == gates["largest_error"] == "cannot tell"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Forward runs that answer at once, the same for the same text; the jobs that were run."""
    ran: list[dict[str, Any]] = []

    def run(job: dict[str, Any], log: Path, progress: Any = None) -> dict[str, Any]:
        ran.append(job)
        rng = [np.random.default_rng(int(text)) for text in job["texts"]]
        z = np.array([one.normal(-1, 2, 28) for one in rng])
        noise = {"gold": 0.0, "reference": 1e-6, "candidate": -1e-6}[job["role"]]
        dtype = np.float64 if job["role"] == "gold" else np.float32
        facts = manifest(len(z), 28, role=job["role"], texts_digest=str(job["texts"]))
        told = facts | {"device": {}, "dtype": job["dtype"]}
        write_pack(job["out"], {"logits": (z + noise).astype(dtype)}, told)
        return told

    monkeypatch.setattr(worker, "run", run)
    monkeypatch.setattr(worker, "address", lambda: "")
    return ran


def params(folder: Path, texts: int = 100, **more: Any) -> Params:
    file = folder / "texts.txt"
    file.write_text("\n".join(map(str, range(texts))), encoding="utf-8")
    return Params.load(None, {"texts": str(file), **more})


@pytest.mark.parametrize("workers", [1, 3])
def test_parts_and_workers_change_no_bit_of_the_result(
    tmp_path: Path, workers: int, answers: list[Any]
) -> None:
    asked = params(tmp_path)
    whole = many.judge(asked, tmp_path / "one", 1000)
    parts = many.judge(asked, tmp_path / "parts", 30, workers)
    assert (parts["parts"], parts["part_texts"]) == (4, 32)
    for key in ("metrics", "gates", "verdict", "n_texts"):
        assert parts[key] == whole[key], key


def test_the_same_command_goes_on_after_the_last_whole_part(
    tmp_path: Path, answers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = params(tmp_path)
    whole = many.judge(asked, tmp_path / "o", 32)
    (tmp_path / "o" / "part-00002" / "tally.json").unlink()
    answers.clear()
    assert many.judge(asked, tmp_path / "o", 32) == whole
    assert [job["role"] for job in answers] == ["gold", "reference", "candidate"]


def test_parts_of_other_parameters_are_computed_anew(tmp_path: Path, answers: list[Any]) -> None:
    many.judge(params(tmp_path), tmp_path / "o", 64)
    answers.clear()
    many.judge(params(tmp_path, seed=1), tmp_path / "o", 64)
    assert len(answers) == 6


def test_the_limit_counts_and_empty_texts_do_not(tmp_path: Path, answers: list[Any]) -> None:
    asked = params(tmp_path, limit=40)
    Path(asked.texts).write_text("\n".join(["1", "", " ", *map(str, range(60))]), encoding="utf-8")
    assert many.judge(asked, tmp_path / "o", 16)["n_texts"] == 40


def test_no_text_is_a_failure(tmp_path: Path, answers: list[Any]) -> None:
    asked = params(tmp_path)
    Path(asked.texts).write_text("\n \n", encoding="utf-8")
    with pytest.raises(TextsError, match="holds no texts: nothing compared is a failure"):
        many.judge(asked, tmp_path / "o", 16)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--part", "0"], "--part is 0; expected"),
        (["--workers", "0"], "--workers is 0; expected 1 to 64"),
        (["-p", "device", "rehearsal:4"], "names several cards, and goemo judge uses one"),
        (["-p", "reference", "PACK"], "a pack of other texts"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_runs(
    tmp_path: Path, given: list[str], said: str, answers: list[Any]
) -> None:
    pack = write_pack(tmp_path / "reference", {"logits": np.zeros((1, 1))}, {"role": "reference"})
    command = argparse.ArgumentParser()
    many.add_arguments(command)
    words = [str(pack) if word == "PACK" else word for word in given]
    with pytest.raises(ParamsError) as refused:
        many.run(command.parse_args([*words, "--output", str(tmp_path / "o")]))
    assert said in str(refused.value)
    assert answers == []
    assert isinstance(refused.value, GoemoError)
