"""Training parity, through the workers as in a training, and the judgement of what they return."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from goemo_utils.errors import DeviceError, ParamsError
from goemo_utils.forward import worker
from goemo_utils.forward.device import Device
from goemo_utils.parity import emulate
from goemo_utils.parity.gates import CANNOT_TELL, EXPLAINED, FAIL, NOT_RUN, PASS
from goemo_utils.training import parity
from goemo_utils.training.data import Split, Splits
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.parity import gates, measures, replica, roles
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.rehearsal.children import in_child

LABELS = ("joy", "anger", "neutral")
STEPS = 3
CPU = Device("cpu", "cpu", "cpu", "CPU")
JOB = {
    "role": "reference",
    "task": "multi_label",
    "smoothing": 0.0,
    "dtype": "float32",
    "learning_rate": 1e-2,
    "warm_up": 0.0,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
}


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(SENTENCES, 2)) for _ in range(10)]
    part = Split(texts, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 10)], LABELS)
    return Splits(part, part, part, [], {})


@pytest.fixture(scope="module")
def study(splits, tmp_path_factory):
    model = save_roberta(tmp_path_factory.mktemp("model"), LABELS)

    def run(**changes):
        params = TrainingParams.load(
            None,
            {
                "model": str(model),
                "parity_steps": STEPS,
                "batch_size": 4,
                "threads": 1,
                "max_length": 32,
                **changes,
            },
        )
        folder = tmp_path_factory.mktemp("run")
        return parity.compare(params, splits, folder) | {
            "left": sorted(p.name for p in (folder / "parity").iterdir())
        }

    return run


@pytest.fixture(scope="module")
def exact(study):
    return study()


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
    """Equal losses of a training that stands still, or of three float32 runs, would prove nothing."""
    losses = [row["loss"]["gold"] for row in exact["curves"]]
    assert len(set(losses)) == STEPS
    assert all(
        row["moved_rms"] > 0 for row in exact["weights"] if "position" not in row["parameter"]
    )
    assert all(
        row["loss_error"]["reference"] > 0 and row["loss_error"]["noise"] > 0
        for row in exact["curves"]
    )
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


def test_the_same_parameters_give_the_same_result(study, exact):
    def kept(found):
        return {k: v for k, v in found.items() if k not in ("roles", "left")}

    assert kept(study()) == kept(exact)


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
    assert [row["loss_error"]["candidate"] for row in found["curves"]][0] == [
        row["loss_error"]["reference"] for row in found["curves"]
    ][0]
    exact_ones = {row["parameter"] for row in found["gradients"] if row["ratio_rms"] <= 1}
    assert "roberta.encoder.layer.1.output.dense.weight" in exact_ones
    assert "roberta.encoder.layer.1.intermediate.dense.weight" not in exact_ones


def test_nan_fails_and_says_where(study):
    found = study(rehearsal_fault="gelu@encoder.layer.1.intermediate:nan=all")
    assert found["verdict"] == "fail"
    assert results(found)["finite"] == FAIL
    assert found["first_diverging_step"] == 1
    assert "candidate" in found["gates"][0]["meaning"]
    assert found["faults"][0]["operator"] == "gelu"
    json.dumps(found, allow_nan=False)


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


def test_mixed_precision_is_judged_against_a_cpu_of_the_same_precision(study):
    found = study(dtype="bfloat16")
    assert found["verdict"] == "pass"
    assert results(found)["place"] == NOT_RUN
    assert found["curves"][0]["loss_error"]["reference"] > 1e-5


def test_without_steps_there_is_nothing_to_compare(splits, tmp_path):
    with pytest.raises(ParamsError, match="parity_steps"):
        parity.compare(TrainingParams.load(None, {"parity_steps": 0}), splits, tmp_path)


def apart(test):
    """Run a test in a forked child: autograd counts the devices at its first backward pass, and a
    later test may want to add the rehearsal's.
    """

    @functools.wraps(test)
    def run():
        in_child(test)

    return run


# --- one training, by hand
# -------------------------------------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    """One matrix and one bias, taking features by name and giving logits as a classifier does."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 2)
        with torch.no_grad():
            self.dense.weight.copy_(torch.tensor([[0.5, -0.25, 1.0], [0.125, 0.75, -1.0]]))
            self.dense.bias.copy_(torch.tensor([0.25, -0.5]))

    def forward(self, x):
        return type("Output", (), {"logits": self.dense(x.to(self.dense.weight.dtype))})()


def batches(n=2):
    g = torch.Generator().manual_seed(0)
    return [
        ({"x": torch.randn(4, 3, generator=g)}, (torch.rand(4, 2, generator=g) < 0.5).float())
        for _ in range(n)
    ]


@apart
def test_the_loop_is_torchs_adamw_with_clipping_and_the_schedule():
    model, mine = Tiny(), Tiny()
    trace = replica.train(mine, batches(3), JOB, CPU)
    optimizer = torch.optim.AdamW(
        [
            {"params": [model.dense.weight], "weight_decay": 0.1},
            {"params": [model.dense.bias], "weight_decay": 0.0},
        ]
    )
    for step, (features, targets) in enumerate(batches(3)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * replica.rate_at(step, 3, 0.0)
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(**features).logits, targets)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        assert trace.texts[step][-1] == float(loss.detach())
        assert trace.norms[step] == pytest.approx(float(norm))
        assert np.mean(trace.texts[step][:-1]) == pytest.approx(float(loss.detach()), rel=1e-6)
        optimizer.step()
    assert torch.allclose(trace.final["dense.weight"], model.dense.weight, rtol=0, atol=1e-7)


def test_the_rate_warms_up_and_then_falls_and_every_step_moves():
    rates = [replica.rate_at(step, 20, 0.2) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] > 0


@apart
def test_a_right_optimizer_step_errs_by_its_last_bits_and_a_wrong_one_by_what_is_wrong():
    right = replica.train(Tiny(), batches(), JOB, CPU).updates
    assert set(right) == {"first", "last"}
    assert all(error < 1e-7 * size for found in right.values() for error, size in found.values())
    step = torch.optim.AdamW.step

    def wrong(self, *rest):
        self.param_groups[1]["weight_decay"] = 0.1  # the bias decays too
        return step(self, *rest)

    torch.optim.AdamW.step = wrong
    found = replica.train(Tiny(), batches(), JOB, CPU).updates
    assert found["first"]["dense.bias"][0] == pytest.approx(
        1e-2
        * replica.rate_at(0, 2, 0.0)
        * 0.1
        * float(Tiny().dense.bias.detach().square().mean().sqrt()),
        rel=1e-3,
    )
    assert found["first"]["dense.weight"] == right["first"]["dense.weight"]
    record = {"updates": right}
    assert gates.optimizer(measures.updates(record, record), gates.LIMITS).result == PASS
    assert (
        gates.optimizer(measures.updates(record, {"updates": found}), gates.LIMITS).result == FAIL
    )


@apart
def test_gradients_that_do_not_repeat_are_seen():
    class Restless(Tiny):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return type(
                "Output",
                (),
                {
                    "logits": (
                        self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-3 * (self.calls % 2))
                    )
                },
            )()

    assert replica.train(Tiny(), batches(), {**JOB, "repeat": True}, CPU).again == {}
    again = replica.train(Restless(), batches(), {**JOB, "repeat": True}, CPU).again
    assert again.keys() == {"dense.weight", "dense.bias"}
    assert (
        gates.repeatable(again, {"dense.weight": 1e-9, "dense.bias": 1e-9}, gates.LIMITS).result
        == FAIL
    )
    assert (
        gates.repeatable(again, {"dense.weight": 1.0, "dense.bias": 1.0}, gates.LIMITS).result
        == PASS
    )
    assert gates.repeatable({}, {"dense.weight": 1e-9}, gates.LIMITS).value == 0.0


# --- the judgement
# ---------------------------------------------------------------------------------------------------------------------------------


def yardstick(model):
    """Gold, three right trainings, and gold's tensors and masks, which others are compared with."""
    (gold,), trace = roles.trainings(model, batches(4), {**JOB, "role": "gold"}, CPU)
    against = {"gold": (trace.first, trace.final)}
    right, _ = roles.trainings(
        model, batches(4), JOB, CPU, orders=3, against=against, sides=trace.sides
    )
    return gold, right, against, trace.sides


def judged(sides, model):
    gold, right, against, masks = sides
    (found,), _ = roles.trainings(
        model, batches(4), {**JOB, "role": "candidate"}, CPU, against=against, sides=masks
    )
    return measures.against_float64(gold, right, found)


@apart
def test_a_right_training_passes_and_one_that_is_off_leaves_the_envelope_at_its_first_step():
    class Off(Tiny):
        def forward(self, x):
            return type(
                "Output", (), {"logits": self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-4)}
            )()

    sides = yardstick(Tiny())
    right, wrong = judged(sides, Tiny()), judged(sides, Off())
    assert [g.result for g in gates.rounding(right, None, gates.LIMITS)] == [PASS] * 4
    assert right.diverging(10) is None
    assert [g.result for g in gates.rounding(wrong, None, gates.LIMITS)][:3] == [FAIL] * 3
    assert wrong.diverging(10) == 1


@apart
def test_a_relu_on_the_brink_is_no_divergence_and_a_wrong_one_is():
    """A text whose input to ReLU is 0 in the reference and a rounding above it on the device, or
    far above it.
    """

    class Brink(Tiny):
        shift = 0.0

        def forward(self, x):
            x = x.to(self.dense.weight.dtype)
            return type(
                "Output",
                (),
                {
                    "logits": (
                        torch.relu(self.dense(x) - self.dense(x[:1]).detach() + self.shift)
                        + self.dense(x)
                    )
                },
            )()

    sides = yardstick(Brink())
    assert not sides[3][0][0][0].any(), "the first text is on the brink"
    near, far = Brink(), Brink()
    near.shift, far.shift = 1e-8, 1e-4
    assert [g.result for g in gates.rounding(judged(sides, near), None, gates.LIMITS)] == [PASS] * 4
    assert gates.rounding(judged(sides, far), None, gates.LIMITS)[0].result == FAIL


@apart
def test_a_training_that_goes_wrong_late_is_dated():
    class Late(Tiny):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return type(
                "Output",
                (),
                {
                    "logits": (
                        self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-3 * (self.calls == 3))
                    )
                },
            )()

    found = judged(yardstick(Tiny()), Late())
    assert found.diverging(10) == 3
    assert gates.rounding(found, None, gates.LIMITS)[0].result == PASS


def test_the_first_step_that_diverges_is_known_though_later_ones_come_back():
    at = measures.Measured(
        {"loss": (np.array([1.0, 30.0, 1.0]), np.ones(3)), "norms": (np.ones(3), np.ones(3))},
        {"w": (1.0, 1.0)},
        {"w": (1.0, 1.0)},
        1.0,
    )
    assert at.diverging(10) == 2
    assert at.diverging(31) is None


def test_nan_is_beyond_every_limit():
    nan = float("nan")
    lost = measures.Measured(
        {"loss": (np.array([nan]), np.ones(1)), "norms": (np.ones(1), np.ones(1))},
        {"w": (1.0, nan), "v": (1.0, 1.0)},
        {"w": (nan, 1.0)},
        nan,
    )
    assert lost.diverging(10) == 1
    assert [g.result for g in gates.rounding(lost, None, gates.LIMITS)] == [FAIL, FAIL, PASS, FAIL]


def test_a_cause_explains_only_what_the_cpu_under_it_does_too():
    def of(size):
        return measures.Measured(
            {"loss": (np.full(2, size), np.ones(2)), "norms": (np.full(2, size), np.ones(2))},
            {"w": (size, size)},
            {"w": (size, size)},
            size,
        )

    explained = gates.rounding(of(100.0), of(1.0), gates.LIMITS)
    assert {g.result for g in explained} == {EXPLAINED}
    assert gates.cause(explained, of(1.0), ["hf32"], "", gates.LIMITS).result == PASS
    refused = gates.rounding(of(100.0), of(11.0), gates.LIMITS)
    assert {g.result for g in refused} == {FAIL}
    assert gates.cause(refused, of(11.0), ["hf32"], "", gates.LIMITS).result == FAIL


def test_nothing_compared_is_a_failure():
    assert gates.finite({"gold": 0}, 0).result == FAIL
    assert gates.verdict([]) == "fail"
    assert gates.optimizer({}, gates.LIMITS).result == FAIL
    empty = {"covered": 0, "faults": []}
    assert gates.place({"forward": empty, "backward": empty}, "", gates.LIMITS).result == FAIL
    assert gates.verdict([gates.finite({"gold": 0}, 3)]) == "fail", (
        "four gates about rounding are missing"
    )


def test_a_training_that_was_elsewhere_or_fell_back_fails():
    there = {
        "expected": "npu:0",
        "parameters_device": ["npu:0"],
        "output_device": "npu:0",
        "gradients_device": ["npu:0"],
        "moments_device": ["npu:0"],
        "on_device": True,
    }
    assert gates.on_device({"fallbacks": [], "simulated": False}, there).result == PASS
    assert gates.on_device({"fallbacks": [], "simulated": True}, there).result == CANNOT_TELL
    assert gates.on_device({"fallbacks": ["aten::gelu"], "simulated": True}, there).result == FAIL
    elsewhere = gates.on_device(
        {"fallbacks": [], "simulated": False},
        {**there, "moments_device": ["cpu"], "on_device": False},
    )
    assert elsewhere.result == FAIL
    assert "cpu" in elsewhere.value


def test_the_noise_of_rounded_operands_is_that_of_the_inference_study():
    assert (measures.STAY, measures.STAY_TEXTS) == (emulate.STAY, emulate.STAY_TEXTS)


def test_faults_in_the_backward_of_one_layer_are_caught_and_placed_by_the_selftest():
    """In an interpreter of its own; its table of faults is the proof that docs/finetuning.md
    quotes.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "goemo_utils.training.parity.selftest",
            "--only",
            "faults",
            "--short",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scale 1e-4, backward" in done.stdout
    assert "8 faults above the floor, 0 missed, 0 wrongly placed" in done.stdout


# --- the figure
# ------------------------------------------------------------------------------------------------------------------------------------


def test_the_figure_says_what_it_shows_and_that_it_was_a_rehearsal(exact):
    drawn = parity.figure(exact, True)
    assert drawn._suptitle.get_text().startswith("SIMULATED. ")
    assert "to the bit" in drawn._suptitle.get_text()
    assert all(
        "optimizer step" in axes.get_xlabel() or not axes.get_xlabel() for axes in drawn.axes
    )
    assert any("nats" in axes.get_ylabel() for axes in drawn.axes)
    assert parity.ALT


def test_a_figure_is_drawn_of_what_was_not_finite_and_of_what_was_not_compared(exact):
    lost = json.loads(json.dumps(exact | {"verdict": "fail", "first_diverging_step": 2}))
    lost["curves"][1]["loss"]["candidate"] = lost["curves"][1]["loss_error"]["candidate"] = "NaN"
    assert "step 2" in parity.figure(lost, False).axes[1].get_title(loc="left")
    refused = {
        **exact,
        "verdict": "fail",
        "curves": [
            {k: v for k, v in row.items() if not k.endswith("error")} for row in exact["curves"]
        ],
    }
    assert "Nothing was compared" in parity.figure(refused, False).axes[1].get_title(loc="left")
