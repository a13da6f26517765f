"""Calls repeated one by one: what is judged, what is left out, and what is named."""

import math
import random
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from goemo_utils.parity import imitate
from goemo_utils.parity.cause import Rung, different, local_attribution
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Detail, details
from goemo_utils.parity.error import compare
from goemo_utils.parity.place import add_accumulated, faults, heat, is_hot, layer_of, locate
from goemo_utils.parity.replay import Calls, replay
from goemo_utils.parity.row import Row
from tests.parity.twin_models import Odd, batch, twins
from tests.rehearsal.children import in_child

LOWEST = torch.finfo(torch.float32).min


def test_a_kernel_as_good_as_the_cpus_has_ratio_one():
    gold = torch.linspace(-1, 1, 100, dtype=torch.float64)
    cpu = gold + 1e-7
    error = compare(gold - 1e-7, cpu, gold, None)
    assert error.rms == pytest.approx(1.0)
    assert error.max == pytest.approx(1.0)


@pytest.mark.parametrize(("large", "faulty"), [(1, False), (1280, True)])
def test_a_gain_that_the_rounding_of_a_few_large_elements_makes_is_no_fault(large, faulty):
    """Met in a clean run in bfloat16: 1,280 values of four tokens, of which few are large."""
    gold = torch.full((1280,), 1e-2, dtype=torch.float64)
    gold[:large] = 1.0
    device = gold.clone()
    device[:large] *= 1 + 2.5e-3

    error = compare(device, gold.bfloat16(), gold, None)
    row = Row("layer", "linear", PLAIN, error.rms, error.max, error.gain, dtype="bfloat16")

    assert error.gain == pytest.approx(2.5e-3, rel=0.2)
    assert replace(row, gain_noise=error.gain_noise).hot is faulty


def test_an_exact_cpu_kernel_is_given_the_floor_of_its_dtype():
    gold = torch.ones(100, dtype=torch.float64)
    error = compare((gold * (1 + 1e-5)).float(), gold.float(), gold, None)
    rms, top, gain = error.rms, error.max, error.gain
    assert rms == pytest.approx(1e-5 / (2**-23 / 4), rel=0.01)
    assert top == pytest.approx(rms, rel=0.01)
    assert gain == pytest.approx(1e-5, rel=0.01)


def test_of_few_elements_the_largest_may_be_exact_on_the_cpu_and_four_units_off_on_the_device():
    """Met in a clean run of one text: a GELU of 32 values of which one is large came out at 24
    times the CPU's largest error, and 20 are a fault.
    """
    gold = torch.full((32,), 1e-2, dtype=torch.float64)
    gold[3] = 8.0
    device = gold.clone()
    device[3] *= 1 + 4 * 2.0**-24
    error = compare(device, gold.float(), gold, None)
    rms, top = error.rms, error.max
    assert rms < 10
    assert top == pytest.approx(8.0)
    device[3] += 1e-3
    assert compare(device, gold.float(), gold, None).max > 1000


def test_padding_is_nobodys():
    real = torch.tensor([[True, False]])
    gold = torch.ones(1, 2, 3, dtype=torch.float64)
    device = gold.clone()
    device[0, 1] = 5.0
    assert compare(device, gold, gold, real).rms == 0
    assert compare(device.unsqueeze(1), gold.unsqueeze(1), gold.unsqueeze(1), real).rms == 0


def test_a_masked_score_is_left_out_but_must_stay_masked():
    gold = torch.tensor([1.0, LOWEST], dtype=torch.float64)
    assert compare(torch.tensor([1.0, -math.inf]), gold.float(), gold, None).rms == 0
    assert compare(torch.tensor([1.0, 0.5]), gold.float(), gold, None).rms == math.inf
    assert compare(torch.tensor([1.0, -LOWEST]), gold.float(), gold, None).rms == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_infinitely_wrong(bad):
    gold = torch.ones(4, dtype=torch.float64)
    ratio = compare(torch.tensor([1, 1, bad, 1]), gold.float(), gold, None).rms
    assert is_hot(row("a", "f", ratio))
    assert not math.isfinite(ratio)


@pytest.mark.parametrize("architecture", imitate.ARCHITECTURES)
def test_the_cpu_beside_itself_has_no_fault_and_every_call_is_covered(architecture):
    found = locate(twins(architecture=architecture), [batch()], PLAIN)
    assert found["faults"] == []
    assert found["not_covered"] == []
    assert found["worst"]["ratio_rms"] <= 1.0
    assert found["covered"] >= 40
    assert {"linear", "layer_norm", "softmax", "gelu", "embedding"} <= {
        o["operator"] for o in found["operators"]
    }


@pytest.mark.parametrize(
    "module",
    [
        "roberta.encoder.layer.1.output.LayerNorm",
        "roberta.encoder.layer.0.attention.self.query",
        "classifier.out_proj",
    ],
)
def test_a_weight_that_differs_on_the_device_is_found_at_its_address_alone(module):
    of = twins()
    with torch.no_grad():
        of.candidate.get_submodule(module).weight.mul_(1 + 1e-4)
    found = locate(of, [batch()], PLAIN)["faults"]
    assert [f["module"] for f in found] == [module]
    assert found[0]["gain"] == pytest.approx(1e-4, rel=0.1)


def test_a_fused_attention_at_fault_is_split_into_its_steps():
    of = twins(attention="sdpa")
    kernel = torch.nn.functional.scaled_dot_product_attention
    rows, _ = replay(of, [batch()], [PLAIN])
    assert any(r.operator == kernel.__name__ for r in rows)
    of.candidate.set_attn_implementation("sdpa")
    path = "roberta.encoder.layer.0.attention.self"
    assert not any(is_hot(r) for r in rows if r.module == path)


def test_calls_in_place_are_judged_on_what_they_were_given_and_others_are_counted():
    of = twins(Odd())
    rows, skipped = replay(of, [batch()], [PLAIN])
    assert [r.operator for r in rows] == ["linear", "add_", "mul_", "add"]
    assert not any(is_hot(r) for r in rows)
    assert list(skipped) == [("", "only_float32", "RuntimeError: no kernel for torch.float64")]


class Shares(torch.nn.Module):
    """A float made of whole numbers alone, as relative positions and lengths are."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 4)

    def forward(self, input_ids, attention_mask=None, **_):
        return self.linear((input_ids / attention_mask.sum()).unsqueeze(-1))


def test_a_call_that_makes_floats_of_whole_numbers_is_judged_too():
    rows, skipped = replay(twins(Shares()), [batch()], [PLAIN])
    assert [r.operator for r in rows] in (["__truediv__", "linear"], ["div", "linear"])
    assert not skipped
    assert not any(is_hot(r) for r in rows)


def test_a_replay_leaves_no_hook_and_no_change_behind():
    of = twins()

    def hooks():
        return sum(
            len(m._forward_hooks) + len(m._forward_pre_hooks) for m in of.reference.modules()
        )

    before, hooked = of.run(of.reference, [batch()]), hooks()
    replay(of, [batch()], [Claim("hf32", True)])
    after = of.run(of.reference, [batch()])
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert hooks() == hooked


def row(module, operator, rms=1.0, top=1.0):
    return Row(module, operator, PLAIN, rms, top, 0.0)


def test_both_limits_count_and_nan_is_above_them():
    assert not is_hot(row("a", "f", 10.0, 20.0))
    assert is_hot(row("a", "f", 10.1))
    assert is_hot(row("a", "f", 1, 20.1))
    assert is_hot(row("a", "f", math.nan))


def test_an_operator_hot_in_all_its_places_is_one_fault():
    rows = [
        row("a", "layer_norm", 50),
        row("b", "layer_norm", 70),
        row("c", "linear", 60),
        row("d", "linear"),
    ]
    found = faults(rows)
    assert [(f["module"], f["operator"]) for f in found] == [
        ("all 2 modules that call it", "layer_norm"),
        ("c", "linear"),
    ]
    assert found[0]["modules"] == ["a", "b"]
    assert found[0]["ratio_rms"] == 70


def test_a_fault_that_is_not_finite_comes_first_and_is_written_in_words():
    found = faults(
        [
            row("a", "f", 60),
            row("b", "g", math.inf),
            row("c", "f"),
            row("c", "g"),
            row("d", "h", math.nan),
            row("d", "h", 50),
            row("e", "h"),
        ]
    )
    assert [(f["module"], f["ratio_rms"]) for f in found] == [
        ("b", "infinite"),
        ("d", "NaN"),
        ("a", 60),
    ]
    assert found[1]["reading"] == "output is NaN"
    assert "masked score" in found[0]["reading"]


def test_nan_infinity_and_an_ignored_mask_are_told_apart():
    gold = torch.ones(2, 3)

    def ratio(change):
        return compare(change(gold.clone()), gold, gold.double(), None).rms

    assert math.isnan(
        ratio(lambda t: t.index_put_((torch.tensor(0), torch.tensor(0)), torch.tensor(math.nan)))
    )
    assert (
        ratio(lambda t: t.index_put_((torch.tensor(0), torch.tensor(0)), torch.tensor(math.inf)))
        == math.inf
    )
    masked = gold * torch.finfo(torch.float32).min
    assert compare(gold, masked, masked.double(), None).rms == math.inf


def test_what_is_nan_in_gold_is_no_fault_of_a_device_that_gives_nan_there_too():
    gold = torch.tensor([[1.0, math.nan, math.inf]], dtype=torch.float64)
    same = torch.tensor([[1.0, math.nan, math.inf]])
    assert compare(same, same, gold, None).rms == 0.0
    assert compare(torch.tensor([[1.0, 2.0, math.inf]]), same, gold, None).rms == math.inf
    assert math.isnan(compare(torch.tensor([[math.nan, math.nan, math.inf]]), same, gold, None).rms)


FUSED = "roberta.encoder.layer.1.attention.self"


@torch.no_grad()
def fused(numerics: str, scale: float | None = None) -> dict:
    """What is located in a model with fused attention whose softmax in the layer FUSED is off by
    ``scale``; for a child, as the rehearsal device stays on.
    """
    of = imitate.twins(imitate.network("roberta", attention="sdpa"))
    fault = (
        imitate.fault(imitate.Path(of), "_softmax", FUSED, lambda output: output.mul_(1 + scale))
        if scale
        else nullcontext()
    )
    with imitate.arithmetic(numerics, 3) as claim, fault:
        found = locate(of, imitate.random_batches(of, random.Random(2), 8), claim)
    return {
        "faults": [(f["module"], f["operator"]) for f in found["faults"]],
        "split": [f["operator"] for f in (found.get("split") or {}).get("faults", [])],
    }


@pytest.mark.parametrize(
    "numerics", ["hf32+reorder+ulp", "tf32+reorder+ulp", "bf16_matmul+reorder+ulp"]
)
def test_a_fused_attention_whose_operands_are_rounded_is_no_fault(numerics):
    assert in_child(lambda: fused(numerics))[0]["faults"] == []


@pytest.mark.parametrize(
    ("numerics", "scale", "named"),
    [
        ("hf32+reorder+ulp", 1e-3, "scaled_dot_product_attention"),
        ("bf16_matmul+reorder+ulp", 1e-4, "softmax"),
    ],
)
def test_a_fault_inside_a_fused_attention_is_found_in_the_call_or_in_its_steps(
    numerics, scale, named
):
    found, _ = in_child(lambda: fused(numerics, scale))
    assert found == {"faults": [(FUSED, named)], "split": ["softmax"]}


def test_the_map_tells_a_call_that_was_not_covered_from_nan_and_from_none_at_all():
    of = twins()
    layer = "roberta.encoder.layer"
    rows = [
        row(f"{layer}.0.output", "add", math.nan),
        row(f"{layer}.1.output", "add", 1.5),
        row(f"{layer}.1.extra", "mul", math.inf),
    ]
    found = heat(
        rows,
        of.reference,
        [(f"{layer}.0.attention", "odd"), (f"{layer}.1.output", "add"), ("head", "odd")],
    )
    assert {r["module"]: r["values"] for r in found["rows"]} == {
        "output add": ["NaN", 1.5],
        "extra mul": [None, "infinite"],
        "attention odd": ["not covered", None],
    }
    assert found["outside"] == [{"module": "head odd", "value": "not covered"}]
    add_accumulated(found, {1: 2.0})
    assert found["rows"][-1]["values"] == [2.0, "not covered"]


def test_the_map_has_a_column_per_layer_and_keeps_what_is_outside():
    of = twins()
    rows = [
        row("roberta.encoder.layer.0.output.dense", "linear", 2.0),
        row("roberta.encoder.layer.1.output.dense", "linear", 3.0),
        row("classifier.dense", "linear", 4.0),
    ]
    found = heat(rows, of.reference)
    assert found["columns"] == ["0", "1"]
    assert found["rows"] == [{"module": "output.dense linear", "values": [2.0, 3.0]}]
    assert found["outside"] == [{"module": "classifier.dense linear", "value": 4.0}]
    assert layer_of("roberta.encoder.layer.10.output", ["roberta.encoder.layer"]) == (10, "output")


@torch.no_grad()
def test_a_device_that_differs_from_every_claim_is_unknown_and_not_accepted():
    of = twins()
    for name, parameter in of.candidate.named_parameters():
        if parameter.dim() == 2 and "embeddings" not in name:
            parameter.mul_(1 + 3e-3)
    claim, families = local_attribution(
        of, [batch()], {"dtype": "float32", "left": None, "right": None}
    )
    assert claim == PLAIN
    assert families["gelu"]["named"] == "plain"
    gold, reference, candidate = (
        of.run(m, [batch()]) for m in (of.gold, of.reference, of.candidate)
    )
    assert Rung(of, [batch()], claim, gold, reference).residual(candidate).value > 3


@torch.no_grad()
def test_a_nan_is_never_accepted():
    of = twins()
    gold, reference = (of.run(m, [batch()]) for m in (of.gold, of.reference))
    candidate = {n: t.clone() for n, t in reference.items()}
    candidate["hidden.1"][0, 0] = math.nan
    left = Rung(of, [batch()], PLAIN, gold, reference).residual(candidate)
    assert left.value == math.inf
    assert left.at == "hidden.1"


def test_the_same_text_again_is_no_other_text():
    ids, mask = (
        torch.tensor([[5, 6, 1], [5, 6, 9], [5, 6, 7]]),
        torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1]]),
    )
    assert (
        different(
            [
                {"input_ids": ids, "attention_mask": mask},
                {"input_ids": ids[2:], "attention_mask": mask[2:]},
            ]
        )
        == 2
    )


def test_with_few_texts_a_rung_is_perturbed_more_often_and_each_time_otherwise():
    assert details(24) == details(5000) == list(DETAILS[1:])
    assert [len(details(n)) for n in (1, 6, 16)] == [10, 4, 2]
    assert all(
        len(set(details(n))) == len(details(n)) and Detail() not in details(n) for n in range(1, 30)
    )


def test_what_draws_new_numbers_is_not_compared() -> None:
    """A model may make modules within a forward (BigBird): their first weights are drawn."""
    taken: list[str] = []
    made = torch.empty(4, 4)
    with Calls([""], lambda call: taken.append(call.operator), None, {}), torch.no_grad():
        torch.nn.init.kaiming_uniform_(made)
        torch.zeros(4, 4).exp()
    assert taken == ["exp"]
