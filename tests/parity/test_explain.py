"""From packs and a parity job to a verdict, through the worker as in a run."""

import json
import shutil

import pytest

from goemo_utils.errors import PackError, TextsError
from goemo_utils.forward import worker
from goemo_utils.forward.pack import read_pack
from goemo_utils.notebook.comparison import EVIDENCE
from goemo_utils.parity import judge
from goemo_utils.parity.compare import main
from goemo_utils.parity.explain import CHECKS
from goemo_utils.parity.gates import ORDER
from goemo_utils.records.record import write_json
from tests.forward.tiny_model import SENTENCES, save_roberta

TEXTS = [
    *SENTENCES,
    "",
    "no",
    "What a strange and awful idea, thank you, I am happy and angry today!",
    "😀 happy",
] * 2
LAYER_NORM = "native_layer_norm@encoder.layer.0.output.LayerNorm:scale=1.0001"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "classifier": save_roberta(folder / "classifier"),
        "encoder": save_roberta(folder / "encoder", head=False),
    }


@pytest.fixture(scope="module")
def study(models, tmp_path_factory):
    """Runs of one model on an imitated device, judged; gold and reference are made once a model,
    dtype and attention.
    """
    made = {}

    def run(
        model="classifier",
        numerics="exact",
        fault=None,
        dtype="float32",
        attention="eager",
        **changes,
    ):
        base = {
            "kind": "forward",
            "model": str(models[model]),
            "revision": None,
            "task": "auto",
            "weights_dtype": dtype,
            "attn_implementation": attention,
            "texts": TEXTS,
            "max_length": 64,
            "batch_size": 8,
            "hidden": "all",
            "seed": 0,
            "threads": 1,
            "numerics": "exact",
            "fault": None,
        }
        key = (model, dtype, attention)
        folder = tmp_path_factory.mktemp("run") / "packs"
        if key not in made:
            for role in ("gold", "reference"):
                worker.run(
                    {
                        **base,
                        "role": role,
                        "device": "cpu",
                        "dtype": "float64" if role == "gold" else dtype,
                        "out": str(folder / role),
                    },
                    folder / "log",
                )
            made[key] = read_pack(folder / "gold"), read_pack(folder / "reference")
        job = {
            **base,
            "role": "candidate",
            "device": "rehearsal",
            "dtype": dtype,
            "numerics": numerics,
            "fault": fault,
            "out": str(folder / "candidate"),
        }
        worker.run(job, folder / "log")
        paths = {p.manifest["role"]: str(p.path) for p in made[key]}
        checks = ("probe", "cause", "place", "invariance")
        asked = {**job, "kind": "parity", "threshold": 0.3, "packs": paths, "checks": checks}
        asked |= {"out": str(folder / "explain"), **changes}
        found = worker.run(asked, folder / "log")
        candidate = read_pack(folder / "candidate")
        packs = {name: read_pack(path) for name, path in found["packs"].items()}
        parts = {name: found[name] for name in EVIDENCE} | {"rung": packs.pop("rung", None)}
        parts["used"] = packs
        return judge(*made[key], candidate, 0.3, TEXTS, **parts) | {"folder": folder.parent}

    return run


def results(payload):
    return {g["id"]: g["result"] for g in payload["gates"]}


def test_an_exact_device_passes_every_gate_that_a_rehearsal_can_pass(study):
    payload = study(checks=CHECKS)
    found = results(payload)
    assert payload["verdict"] == "pass"
    assert payload["causes"] == []
    assert payload["faults"] == []
    assert list(found) == list(ORDER)
    assert {k for k, v in found.items() if v != "pass"} == {
        "known_answer",
        "on_device",
        "flip_bound",
        "task_quality",
    }
    json.dumps({k: v for k, v in payload.items() if k != "folder"}, allow_nan=False)


@pytest.mark.parametrize(
    "numerics, named",
    [
        ("reorder+ulp", []),
        ("hf32+reorder+ulp", ["hf32"]),
        ("ascend910b", ["tanh_gelu"]),
        ("fp16_matmul+tanh_gelu", ["fp16_matmul", "tanh_gelu"]),
    ],
)
def test_the_cause_is_named_and_its_remedy_given(study, numerics, named):
    payload = study(numerics=numerics)
    assert payload["causes"] == named
    assert payload["verdict"] == ("pass-with-cause" if named else "pass")
    assert [r["cause"] for r in payload["remedies"]] == named
    assert all(r["code"] and r["source"] for r in payload["remedies"])
    rungs = {row["rung"]: row["share"] for row in payload["ladder"]}
    if named:
        assert rungs[" + ".join(named)] > 0.8 > rungs["reference (float32)"]


@pytest.mark.parametrize("numerics", ["exact", "hf32+reorder+ulp"])
def test_a_fault_fails_at_its_address_whatever_the_arithmetic(study, numerics):
    payload = study(numerics=numerics, fault=LAYER_NORM)
    assert payload["verdict"] == "fail"
    assert results(payload)["place"] == "fail"
    assert [(f["module"], f["operator"]) for f in payload["faults"]] == [
        ("roberta.encoder.layer.0.output.LayerNorm", "layer_norm")
    ]
    hot = next(
        row for row in payload["heat"]["rows"] if row["module"] == "output.LayerNorm layer_norm"
    )
    assert hot["values"][0] > 10 > hot["values"][1]
    assert payload["heat"]["rows"][-1]["module"] == "layer output, accumulated"


def test_an_error_that_no_arithmetic_accounts_for_is_unexplained(study):
    payload = study(fault="_softmax:scale=0.9")
    assert payload["causes"] == ["unexplained"]
    assert results(payload)["cause"] == "fail"
    assert payload["faults"][0]["module"] == "all 2 modules that call it"
    assert payload["remedies"] == []


def test_a_nan_is_found_and_the_record_stays_plain_json(study):
    payload = study(fault="gelu@encoder.layer.1.intermediate:nan")
    assert results(payload)["finite"] == "fail"
    assert payload["faults"][0]["operator"] == "gelu"
    assert payload["faults"][0]["ratio_rms"] == "NaN"
    assert (
        next(row["values"] for row in payload["heat"]["rows"] if "NaN" in row["values"])[1] == "NaN"
    )
    json.dumps({k: v for k, v in payload.items() if k != "folder"}, allow_nan=False)


def test_a_fused_attention_at_fault_is_split(study):
    payload = study(fault="_softmax@encoder.layer.1:scale=1.01", attention="sdpa")
    assert payload["faults"][0]["operator"] == "scaled_dot_product_attention"
    assert payload["explanation"]["place"]["split"]["faults"][0]["operator"] == "softmax"
    assert payload["remedies"][0]["parameter"] == {"attn_implementation": "eager"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_gelu_that_is_within_the_rounding_of_half_precision_is_no_cause_but_has_its_remedy(
    study, dtype
):
    payload = study(dtype=dtype, numerics="tanh_gelu+reorder+ulp")
    assert (payload["verdict"], payload["causes"]) == ("pass", [])
    assert payload["explanation"]["cause"]["causes"] == ["tanh_gelu"]
    assert [r["parameter"] for r in payload["remedies"]] == [{"remedy": "erf_gelu"}]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_judged_against_its_own_dtype(study, dtype):
    payload = study(dtype=dtype, numerics="reorder+ulp")
    assert payload["verdict"] == "pass"
    assert payload["packs"]["gold"]["dtype"] == "float64"


@pytest.mark.long
def test_an_encoder_without_a_head_is_judged_on_its_hidden_states(study):
    payload = study(model="encoder", numerics="hf32+reorder+ulp")
    assert payload["quantity"] == "hidden states"
    assert payload["verdict"] == "pass-with-cause"
    assert payload["causes"] == ["hf32"]
    assert results(payload)["flips"] == "not run"
    assert len(payload["layers"]) == 3


@pytest.mark.long
def test_an_encoder_with_a_fault_fails(study):
    assert (
        study(
            model="encoder", fault="native_layer_norm@encoder.layer.1.output.LayerNorm:scale=1.0001"
        )["verdict"]
        == "fail"
    )


def test_checks_can_be_chosen(study):
    payload = study(checks=["probe"])
    assert {
        g: r for g, r in results(payload).items() if g in ("cause", "place", "invariance")
    } == dict.fromkeys(("cause", "place", "invariance"), "not run")


def test_without_texts_nothing_is_explained(models, tmp_path):
    job = {
        "kind": "parity",
        "model": str(models["classifier"]),
        "task": "auto",
        "device": "rehearsal",
        "dtype": "float32",
        "attn_implementation": "eager",
        "texts": [],
    }
    with pytest.raises(TextsError, match="no texts"):
        worker.run(job, tmp_path / "log")


def test_stored_packs_are_judged_again_under_other_limits_without_running(study, capsys):
    payload = study(numerics="hf32+reorder+ulp")
    packs = payload["folder"] / "packs"
    gold = payload["packs"]["gold"]
    write_json(
        payload["folder"] / "03_parity.json",
        {"results": {k: v for k, v in payload.items() if k != "folder"}},
    )
    source = next(
        p
        for p in payload["folder"].parent.glob("*/packs/gold.json")
        if json.loads(p.read_text())["sha256"] == gold["sha256"]
    ).parent
    arguments = [str(source / "reference"), str(packs / "candidate")]
    assert main(arguments) == 0
    assert "SIMULATED pass-with-cause because of hf32" in capsys.readouterr().out
    assert main([*arguments, "--limit", "residual", "0.01"]) == 1
    assert main([*arguments, "--limit", "call_rms", "0.001"]) == 1
    assert main([*arguments, "--limit", "typo", "1"]) == 2
    assert "no limit 'typo'" in capsys.readouterr().err
    assert main([str(packs / "candidate"), str(packs / "candidate.json")]) == 2
    assert "proves nothing" in capsys.readouterr().err
    for first, second, word in (
        ("candidate", "reference", "a rehearsal's pack"),
        ("gold", "candidate", "a gold pack"),
        ("reference", "gold", "is the gold pack"),
    ):
        swapped = [
            str((packs if role == "candidate" else source) / role) for role in (first, second)
        ]
        assert (
            main([*swapped, "--gold", str(source / "gold")]) == 2
            and word in capsys.readouterr().err
        ), "a CPU judged by a wrong device would pass"
    (copied := payload["folder"] / "copied").mkdir()
    twin, alone = (
        [str(shutil.copy(path.with_suffix(kind), copied)) for kind in (".json", ".safetensors")]
        for path in (source / "reference", packs / "candidate")
    )
    assert main([arguments[0], twin[0], "--gold", str(source / "gold")]) == 2
    assert "is a copy of" in capsys.readouterr().err
    assert main([twin[0], alone[0]]) == 2
    assert "no gold pack" in capsys.readouterr().err


def test_evidence_of_another_candidate_is_refused(study, tmp_path):
    from goemo_utils.parity.compare import evidence

    record = (
        write_json(
            tmp_path / "03_parity.json", {"results": {"packs": {"candidate": {"sha256": "other"}}}}
        )
        or tmp_path / "03_parity.json"
    )
    with pytest.raises(PackError, match="judged another candidate"):
        evidence(record, tmp_path / "packs" / "candidate", {"sha256": "this"})
