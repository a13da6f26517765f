"""What the genuine torch_npu said on the stand-ins is known to the doctor."""

import json
from pathlib import Path

import pytest

from goemo_utils import environment
from tests.cann.genuine import ROOT

MESSAGES = json.loads((Path(__file__).parent / "messages.json").read_text(encoding="utf-8"))


def test_there_are_twenty_genuine_messages() -> None:
    assert len(MESSAGES) >= 20


ROWS = {
    "tensors on two devices": "C7",
    "an operator without a kernel": "C3",
    "out of memory": "D1",
    "a device that is not there": "B3",
    "set_device beyond the last": "B3",
    "a cast to double": "C8",
    "a fallback to the CPU": "C4",
    "a fallback that is forbidden": "C17",
    "an AI core exception (507015)": "C9",
    "an AI core timeout (507014) while waiting": "C9",
    "an inner error of the kernels (561103), blocking": "C3",
    "no free context (507899) in a copy": "B6",
    "aclInit fails (500001)": "C1",
    "memory cannot be allocated (207001)": "D1",
    "ASCEND_OPP_PATH is not set": "A10",
    "ASCEND_HOME_PATH is not set": "A10",
    "both variables of the allocator": "D10",
    "an unknown option of the allocator": "D11",
    "max_split_size_mb too small": "D11",
    "an interactive interpreter": "E1",
    "a forked child": "D9",
    "TORCH_TRANSFER_TO_NPU is neither 0 nor 1": "E6",
    "TASK_QUEUE_ENABLE is not 0, 1 or 2": "E6",
    "INF_NAN_MODE_ENABLE=0": "E7",
}


def test_every_genuine_message_has_a_row_of_its_own() -> None:
    assert set(ROWS) == set(MESSAGES)
    assert not {"C10", "C11"} & set(ROWS.values())


@pytest.mark.parametrize("title", sorted(ROWS))
def test_a_genuine_message_is_diagnosed_by_what_happened(title: str) -> None:
    (found,) = environment.diagnose(MESSAGES[title]["text"])
    assert found["id"] == ROWS[title]
    assert found["cause"]
    assert found["remedy"]
    assert found["source"]


@pytest.mark.parametrize("notebook", ["01_load.ipynb", "zh/01_load.ipynb"])
def test_what_a_notebook_quotes_of_the_real_library_is_what_it_said(notebook: str) -> None:
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    (prose,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "01-22"]
    _before, quoted, _after = prose.split("```")
    said = MESSAGES["tensors on two devices"]["text"].splitlines()
    assert quoted.splitlines()[0] == "text"
    assert set(quoted.splitlines()[1:]) <= set(said)
