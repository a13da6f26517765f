"""The words a user writes into rehearsal_numerics and rehearsal_fault."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import NUMERICS, catalogue, parse_fault, parse_numerics
from goemo_utils.rehearsal.grammar import FAULTS, parse_size


def test_the_parsers_need_no_torch() -> None:
    code = (
        "import sys; from goemo_utils import rehearsal as r; r.parse_numerics('hf32+ulp');"
        " r.parse_fault('gelu:nan'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NUMERICS)
def test_every_documented_mode_parses_and_names_its_source(name: str) -> None:
    assert parse_numerics(name).text == name
    assert "source: " in NUMERICS[name]
    assert "\n" not in NUMERICS[name]


def test_exact_deviates_in_nothing() -> None:
    numerics = parse_numerics("exact")
    assert (
        numerics.matmul,
        numerics.convolution,
        numerics.tanh_gelu,
        numerics.linear,
        numerics.batched,
        numerics.order,
        numerics.ulp,
    ) == (None, None, False, None, None, None, 0)


def test_modes_compose_in_any_order() -> None:
    assert parse_numerics("ulp+hf32+tanh_gelu") == parse_numerics("tanh_gelu + ulp + hf32")


def test_an_untouched_910b_rounds_convolutions_but_not_matmul() -> None:
    numerics = parse_numerics("ascend910b")
    assert (numerics.matmul, numerics.convolution) == (None, "hf32")
    assert numerics.tanh_gelu
    assert numerics.order == "reorder"
    assert numerics.ulp == 4


def test_a_910b_with_hf32_switched_on_rounds_matmul_too() -> None:
    assert parse_numerics("ascend910b+hf32").matmul == "hf32"


@pytest.mark.parametrize("text", ["", "hf33", "hf32+tf32", "exact+ulp", "ulp+ulp", "hf32+", None])
def test_arithmetic_that_makes_no_sense_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(DeviceError, match=r"^The rehearsal arithmetic .*\.$"):
        parse_numerics(text)


def test_a_fault_names_operator_module_kind_and_value() -> None:
    (fault,) = parse_fault("aten::native_layer_norm@encoder.layer.1.output.LayerNorm:scale=1.01")
    assert (fault.operator, fault.module) == (
        "native_layer_norm",
        "encoder.layer.1.output.LayerNorm",
    )
    assert (fault.kind, fault.value) == ("scale", 1.01)


def test_several_faults_are_joined_by_semicolons() -> None:
    kinds = [
        fault.kind
        for fault in parse_fault(
            "gelu:nan; tanh:fallback"
            " ;oom=1.5MiB;slow_first=2;_softmax:zero=row;gelu:clamp=1;gelu:add=-1e-3"
        )
    ]
    assert kinds == ["nan", "fallback", "oom", "slow_first", "zero", "clamp", "add"]


def test_no_fault_is_an_empty_tuple() -> None:
    assert parse_fault(None) == parse_fault("") == ()


def test_plain_oom_has_no_limit_of_its_own() -> None:
    assert parse_fault("oom")[0].value == math.inf


@pytest.mark.parametrize(
    "text",
    [
        "gelu",
        "gelu:explode",
        "gelu:scale",
        "gelu:scale=x",
        "gelu:scale=nan",
        "gelu:clamp=-1",
        "gelu:zero=column",
        "gelu:nan=1",
        "gelu@:nan",
        "gelu:oom=3",
        "tanh:fallback=1",
        "slow_first",
        "slow_first=-1",
    ],
)
def test_a_malformed_fault_is_refused_and_the_form_is_shown(text: str) -> None:
    with pytest.raises(DeviceError, match=r"^The fault .*expected"):
        parse_fault(text)


def test_every_kind_of_fault_is_documented_with_an_example_that_parses() -> None:
    for kind, description in FAULTS.items():
        example = description.split(" ")[0].replace("OPERATOR[@MODULE]", "gelu@layer.1")
        example = example.replace("[@MODULE]", "@layer.1").replace("[@PARAMETER]", "@weight")
        assert parse_fault(example)[0].kind == kind


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("200MiB", 200 * 2**20), ("1.5 GB", 1_500_000_000)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1MiB", "a lot", "3 parsecs"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="memory size"):
        parse_size(text)


def test_the_page_of_the_guide_is_what_the_code_prints() -> None:
    page = Path(__file__).parents[2] / "docs" / "rehearsal-faults.md"
    assert page.read_text(encoding="utf-8") == catalogue.page()


@pytest.mark.parametrize(
    "text",
    ["hf32+hf32_linear", "tf32+hf32_bmm", "reorder+row_order", "ulp+ulp32", "ascend910b+ulp12"],
)
def test_two_modes_that_set_the_same_thing_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="keep one of them"):
        parse_numerics(text)
