"""What users of Ascend machines met (fixtures/world): each report gets the answer that helps."""

from pathlib import Path

import pytest

from goemo_utils.environment import diagnose, explain
from tests.environment.fake_machine import FIXTURES

WORLD = FIXTURES / "world"
LOGS = sorted((WORLD / "logs").glob("*.log"))
# file: the id of the first finding, and words that its title, cause or remedy must hold
RIGHT = {
    "r02_nobinary": ("C3", "ops package", "npu-smi"),
    "r03_socversion": ("C3", "of another chip", "npu-smi"),
    "r04_8005": ("B12", "-8005", "another container"),
    "r06_atb_symbol": ("A13", "NNAL/ATB", "set_env.sh", "after torch is installed"),
    "r08_static_tls": ("A12", "libgomp", "LD_PRELOAD"),
    "r09b_507008": ("B11", "driver", "--group-add", "device nodes"),
    "r10_jitcompile": ("C13", "platform_config"),
    "r10b_jitcompile": ("C13", "platform_config"),
    "r11_kernel_meta": ("C12", "working directory", "cd ~"),
    "r15_syncfail": ("C9",),
    "r17_910a_linear": ("C9", "AI CPU"),
    "r18_soc104": ("B10", "first generation"),
    "r18b_soc_undefined": ("B10", "does not serve this chip"),
    "r19_100002": ("acl-100002", "twice"),
    "r20_heartbeat": ("B6", "heartbeat"),
    "r21_hccp": ("D7", "communication"),
    "r24_cuda_to_int": ("A16", "inside transformers", "torch_npu"),
    "r25_e40021": ("cann-E40021", "could not compile", "500002 = error of the graph engine"),
    "r27_noattr": ("A15", "another release"),
    "r28_drvplatform": ("B6",),
    "r29_owner_warn": ("E5", "harmless"),
    "r31_libruntime": ("A6", "error manager"),
    "r33_docker_runtime": ("B14", "mounted"),
    "r34_paddle_acl": ("acl-500002", "graph engine"),
    "r35_fa_mask": ("C16", "FlashAttentionScore launch kernel failed"),
    "r36_setdevice_result": ("B6",),
    "r37_aclnnstatus": ("C3", "ops package"),
    "r39_oppkernel": ("C3", "ops package"),
    "r41_161002": ("C16", "Tensor scale not implemented for DT_FLOAT16"),
    "r43b_el0004": ("D2", "memory"),
    "r44_platforminfo": ("C13", "platform_config", "mounted"),
    "r45_prefixed_ez": ("C16", "groups should be greater than 1"),
    "r47_device_absent": ("B9", "absent or abnormal"),
    "r48_hasattr_flashattn": ("unknown",),
    "r49_561002": ("C15", "tiling", "Tiling failed"),
}


def test_every_report_of_the_world_is_here():
    assert {path.stem for path in LOGS} == set(RIGHT)


@pytest.mark.parametrize("path", LOGS, ids=[path.stem for path in LOGS])
def test_a_report_gets_the_answer_that_helps(path: Path):
    id, *words = RIGHT[path.stem]
    first = explain(path.read_text())[0]
    assert first["id"] == id
    told = f"{first['title']} {first['cause']} {first['remedy']}"
    for word in words:
        assert word in told


@pytest.mark.parametrize("path", LOGS, ids=[path.stem for path in LOGS])
def test_a_report_is_read_behind_the_prefix_of_a_server_and_in_colours(path: Path):
    lines = path.read_text().splitlines()
    text = "\n".join(
        f"\x1b[36m(EngineCore_DP0 pid=12)\x1b[0m ERROR 11-26 11:43:04 [core.py:708] {line}"
        for line in lines
    )
    assert explain(text)[0]["id"] == RIGHT[path.stem][0]


def test_the_line_of_torch_npu_does_not_change_the_answer():
    line = "[ERROR] 2026-01-01-00:00:00 (PID:1, Device:0, RankID:-1) ERR00100 PTA call acl api"
    for path in LOGS:
        id = RIGHT[path.stem][0]
        if id != "unknown":
            assert explain(f"{line}\n{path.read_text()}\n{line}")[0]["id"] == id


def test_a_sick_card_is_not_named_where_memory_ran_out_first():
    text = (WORLD / "logs" / "r43b_el0004.log").read_text()
    found = diagnose("aclrtSetDevice failed, error code is 507899\n" + text)
    assert [one["id"] for one in found if one["severity"] == "error"] == ["D2"]
