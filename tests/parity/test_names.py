"""Faults of a model's own code, of its weights and of events: each is refused and named."""

import pytest

from tests.parity import outsider
from tests.parity.outsider import Device

SHORT = (("roberta", "exact", "mask:drop", "mask"),)
LONG = (
    ("deberta-v2", "exact", "relative_bias:drop", "relative bias"),
    ("roberta", "exact", "neighbour:leak=1e-3,only_batch>=17", "neighbour"),
    ("roberta", "hf32+reorder+ulp", "mask:soft=-10", "mask"),
    ("xlm-roberta", "row_order", "neighbour:leak=1e-4,only_batch>=33", "neighbour"),
    ("mpnet", "exact", "relative_bias:drop", "relative bias"),
    ("bert", "exact", "position:shift=1", "position"),
    ("bert", "exact", "segment:drop", "segment"),
    ("modernbert", "exact", "residual:drop", "residual"),
    ("electra", "exact", "dropout:on", "dropout"),
    ("roberta", "exact", "weights:row=17", "weights"),
    ("roberta", "exact", "weights:nan=17", "NaN weights"),
    ("roberta", "exact", "addmm:saturate=0.1", "saturation"),
    ("roberta", "exact", "addmm:scale=1.05,once_in=20", "intermittent"),
    ("roberta", "exact", "native_layer_norm:scale=1.01,only_batch<=6", "gain"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp("models") / architecture
            made[architecture] = outsider.save(folder, architecture)
        return made[architecture]

    return model


def told(models, tmp_path, device: Device) -> dict:
    model = models(device.architecture)
    answer = outsider.in_child(
        lambda: outsider.line(device, outsider.judged(device, model, tmp_path))
    )
    assert "error" not in answer, answer["error"]
    return answer


@pytest.mark.parametrize(
    ("architecture", "numerics", "fault", "name"),
    [*SHORT, *(pytest.param(*case, marks=pytest.mark.campaign) for case in LONG)],
)
def test_a_fault_is_refused_and_named(architecture, numerics, fault, name, models, tmp_path):
    device = Device(
        architecture, "float32", "eager", numerics, fault, "fault", (name,), honest=False
    )
    answer = told(models, tmp_path, device)
    assert answer["verdict"] == "fail"
    assert name in answer["named"]


@pytest.mark.parametrize(
    ("numerics", "causes"),
    [
        pytest.param("row_order", [], marks=pytest.mark.campaign),
        ("ulp32", ["vector_noise"]),
        pytest.param("hf32_linear", ["hf32_linear"], marks=pytest.mark.campaign),
        pytest.param("truncating", [], marks=pytest.mark.campaign),
        pytest.param("ulp12", ["vector_noise"], marks=pytest.mark.campaign),
        pytest.param("hf32_bmm", ["hf32_bmm"], marks=pytest.mark.campaign),
        pytest.param("hf32+ulp32", ["hf32", "vector_noise"], marks=pytest.mark.campaign),
    ],
)
def test_an_honest_device_passes_with_its_cause(numerics, causes, models, tmp_path):
    answer = told(models, tmp_path, Device("roberta", "float32", "eager", numerics))
    assert answer["verdict"] == ("pass-with-cause" if causes else "pass")
    assert answer["causes"] == causes


@pytest.mark.campaign
@pytest.mark.parametrize("fault", ["reference:tf32", "gold:float32"])
def test_a_yardstick_that_computes_badly_fails_the_gate_reference(fault, models, tmp_path):
    device = Device("roberta", "float32", "eager", "exact", fault, "reference rounds", honest=False)
    answer = told(models, tmp_path, device)
    assert "reference" in answer["failed"]
    assert answer["verdict"] == "fail"
