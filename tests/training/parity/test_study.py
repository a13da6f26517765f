"""Training parity, through the workers as in a training, and the judgement of what they return."""

import json

import pytest

from goemo_utils.errors import DeviceError, ParamsError
from goemo_utils.forward import worker
from goemo_utils.parity.gates import CANNOT_TELL, EXPLAINED, FAIL, NOT_RUN, PASS
from goemo_utils.training import parity
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.parity import gates
from tests.training.parity.conftest import STEPS


def results(found):
    return {gate["id"]: gate["result"] for gate in found["gates"]}


def test_an_exact_device_trains_as_the_cpu_does_to_the_bit(exact):
    assert exact["verdict"] == "pass"
    assert exact["simulated"]
    assert exact["causes"] == []
    assert exact["faults"] == []
    assert exact["equal_to_reference"]
    assert exact["first_diverging_step"] is None
    assert [row["loss"]["candidate"] for row in exact["curves"]] == [
        row["loss"]["reference"] for row in exact["curves"]
    ]
    assert [row["norms_error"]["candidate"] for row in exact["curves"]] == [
        row["norms_error"]["reference"] for row in exact["curves"]
    ]
    assert "to the bit" in exact["summary"]


def test_every_gate_is_there_in_order_with_its_formula_and_its_n(exact):
    assert [gate["id"] for gate in exact["gates"]] == list(gates.ORDER)
    assert {gate["id"] for gate in exact["gates"] if gate["result"] != PASS} == {"on_device"}
    assert results(exact)["on_device"] == CANNOT_TELL
    for gate in exact["gates"]:
        assert list(gate) == ["id", "result", "value", "limit", "n", "formula", "meaning"]
        assert gate["formula"]
        assert gate["meaning"]


def test_the_training_moved_the_weights_and_the_three_roles_differ_where_they_must(exact):
    """Equal losses of a training that stands still, or of one precision, would prove nothing."""
    losses = [row["loss"]["gold"] for row in exact["curves"]]
    assert len(set(losses)) == STEPS
    assert all(
        row["moved_rms"] > 0 for row in exact["weights"] if "position" not in row["parameter"]
    )
    assert all(row["loss_error"]["reference"] > 0 for row in exact["curves"])
    assert all(row["loss_error"]["noise"] > 0 for row in exact["curves"])
    assert {role: part["device"]["kind"] for role, part in exact["roles"].items()} == {
        "gold": "cpu",
        "reference": "cpu",
        "candidate": "rehearsal",
    }


def test_the_batches_are_the_first_of_the_runs_own_training(exact, splits):
    """Ten texts in batches of four: two full ones, one of two, no text twice."""
    rows = exact["rows"]
    assert sorted(row for batch in rows for row in batch) == list(range(10))
    assert sorted(map(len, rows)) == [2, 4, 4]
    assert len(rows[-1]) == 2


def test_the_result_is_json_and_nothing_but_logs_is_left(exact):
    json.dumps(exact, allow_nan=False)
    assert all(name.endswith(".log") for name in exact["left"])
    assert exact["left"]


@pytest.mark.long
def test_the_same_parameters_give_the_same_result(study, exact):
    def kept(found):
        return {k: v for k, v in found.items() if k not in ("roles", "left")}

    assert kept(study()) == kept(exact)


@pytest.mark.long
def test_hf32_is_no_rounding_and_is_named(study):
    found = study(rehearsal_numerics="hf32+reorder+ulp")
    assert found["verdict"] == "pass-with-cause"
    assert found["causes"] == ["hf32"]
    assert not found["equal_to_reference"]
    assert results(found)["first_gradients"] == EXPLAINED
    assert results(found)["cause"] == PASS
    assert found["first_diverging_step"] == 1
    assert found["first_step_beyond_cause"] is None
    assert found["remedies"][0]["cause"] == "hf32"
    assert max(row["loss_error"]["from_cause"] for row in found["curves"]) < max(
        row["loss_error"]["candidate"] for row in found["curves"]
    )


def test_a_fault_in_the_forward_of_one_layer_fails_and_the_layer_is_named(study):
    found = study(rehearsal_fault="addmm@encoder.layer.0.intermediate.dense:scale=1.0001")
    assert found["verdict"] == "fail"
    assert found["causes"] == ["unexplained"]
    assert results(found)["first_gradients"] == FAIL
    assert [(f["module"], f["operator"]) for f in found["faults"]] == [
        ("roberta.encoder.layer.0.intermediate.dense", "linear")
    ]
    assert "roberta.encoder.layer.0.intermediate.dense" in found["summary"]


def test_a_fault_of_the_backward_pass_alone_fails_and_its_gradient_is_named(study):
    found = study(rehearsal_fault="gelu_backward:scale=1.001")
    by_id = results(found)
    assert found["verdict"] == "fail"
    assert by_id["first_gradients"] == by_id["place"] == FAIL
    assert {f["operator"] for f in found["faults"]} == {"gelu, gradient of its input"}
    first = found["curves"][0]["loss_error"]
    assert first["candidate"] == first["reference"]
    exact_ones = {row["parameter"] for row in found["gradients"] if row["ratio_rms"] <= 1}
    assert "roberta.encoder.layer.1.output.dense.weight" in exact_ones
    assert "roberta.encoder.layer.1.intermediate.dense.weight" not in exact_ones


@pytest.mark.long
def test_nan_fails_and_says_where(study):
    found = study(rehearsal_fault="gelu@encoder.layer.1.intermediate:nan=all")
    assert found["verdict"] == "fail"
    assert results(found)["finite"] == FAIL
    assert found["first_diverging_step"] == 1
    assert "candidate" in found["gates"][0]["meaning"]
    assert found["faults"][0]["operator"] == "gelu"
    json.dumps(found, allow_nan=False)


@pytest.mark.long
def test_other_batches_on_the_device_are_not_compared(study, monkeypatch):
    from safetensors.torch import load_file, save_file

    run = worker.run

    def swapped(job, *rest):
        if job["role"] == "candidate":
            path = f"{job['folder']}/batches.safetensors"
            tensors = load_file(path)
            tensors["0.targets"] = 1.0 - tensors["0.targets"]
            save_file(tensors, path)
        return run(job, *rest)

    monkeypatch.setattr(worker, "run", swapped)
    found = study()
    by_id = results(found)
    assert found["verdict"] == "fail"
    assert by_id["same_start"] == PASS
    assert by_id["same_batches"] == FAIL
    assert all(by_id[id] == NOT_RUN for id in gates.ROUNDING)
    assert not any("loss_error" in row for row in found["curves"])


def test_a_fault_that_never_fires_stops_the_study(study):
    with pytest.raises(DeviceError, match="never fired"):
        study(rehearsal_fault="convolution:scale=2")


@pytest.mark.long
def test_mixed_precision_is_judged_against_a_cpu_of_the_same_precision(study):
    found = study(dtype="bfloat16")
    assert found["verdict"] == "pass"
    assert results(found)["place"] == NOT_RUN
    assert found["curves"][0]["loss_error"]["reference"] > 1e-5


def test_without_steps_there_is_nothing_to_compare(splits, tmp_path):
    with pytest.raises(ParamsError, match="parity_steps"):
        parity.compare(TrainingParams.load(None, {"parity_steps": 0}), splits, tmp_path)
