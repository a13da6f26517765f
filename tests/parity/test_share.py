"""The CPU's share of an analysis: the same answers in one process and in two."""

from pathlib import Path

import pytest

from goemo_utils.forward import worker
from goemo_utils.parity.emulate import PLAIN
from goemo_utils.parity.place import vector_ulp
from goemo_utils.parity.row import Row
from goemo_utils.parity.share import Share, has_device
from goemo_utils.parity.twins import Twins
from goemo_utils.rehearsal.kept import KEPT
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.rehearsal.children import in_child

GELU = "gelu@encoder.layer.1.intermediate.intermediate_act_fn:scale=1.01"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_roberta(tmp_path_factory.mktemp("share") / "model")


def found(model: Path, folder: Path, apart: bool, **changes: object) -> dict:
    """An analysis without what it took; threads are one a process."""
    job = {
        "kind": "parity",
        "model": str(model),
        "texts": SENTENCES * 3,
        "device": "rehearsal",
        "dtype": "float32",
        "max_length": 64,
        "batch_size": 4,
        "threads": 1,
        "apart": apart,
        "out": str(folder / f"explain-{apart}"),
        **changes,
    }
    parts = worker.run(job, folder / "log")
    return {name: parts[name] for name in parts if name not in ("seconds", "packs")}


@pytest.mark.parametrize(
    "changes",
    [
        {"numerics": "hf32", "attn_implementation": "sdpa"},
        {"numerics": "ascend910b", "fault": GELU},
        pytest.param({"numerics": "exact", "dtype": "bfloat16"}, marks=pytest.mark.long),
    ],
    ids=("hf32", "fault", "bfloat16"),
)
def test_two_processes_find_what_one_finds(model: Path, tmp_path: Path, changes: dict) -> None:
    one, two = (found(model, tmp_path, apart, **changes) for apart in (False, True))
    for name in ("place", "cause", "invariance", "exercise", "names", "yardstick", "probe"):
        assert two[name] == one[name], name
    assert one["place"]["covered"] > 200


def test_a_device_whose_fault_may_count_its_calls_is_in_one_process_alone() -> None:
    assert has_device({"fault": None, "numerics": "hf32"})
    assert not has_device({"fault": GELU})


def test_a_device_that_is_given_up_leaves_no_rounded_weight_behind(model: Path) -> None:
    def given_up() -> tuple[set[int], set[int], set[int], set[int]]:
        twins = Twins.load({"model": str(model), "device": "rehearsal", "numerics": "hf32"})
        ours = {weight.data_ptr() for weight in twins.reference.parameters()}
        theirs = {weight.data_ptr() for weight in twins.candidate.parameters()}
        with KEPT.keeping(twins.weights()):
            before = set(KEPT.weights)
            twins.give_up_device()
            assert twins.candidate is twins.reference
            return ours, theirs, before, set(KEPT.weights)

    (ours, theirs, before, after), _ = in_child(given_up)
    assert before & ours and before & theirs
    assert after == before & ours


def test_rows_from_elsewhere_are_judged_with_those_made_here() -> None:
    def noisy(rms: float) -> Row:
        return Row("layer", "gelu", PLAIN, rms, rms, 0.0, ulp=1.0, own=0.1)

    here, elsewhere = noisy(12.0), noisy(15.0)
    share = Share.__new__(Share)
    share.rows = [here]
    share.judged([elsewhere])
    assert share.rows == [elsewhere, here]
    assert share.ulp == vector_ulp([elsewhere]) > vector_ulp([here])
