"""Messages: every row of the table by a verbatim message, ordinary logs by silence, codes by their
official meaning.
"""

import json
import re

import pytest

from goemo_utils.environment import diagnose, explain, fallbacks
from goemo_utils.environment.diagnosis import decode
from goemo_utils.environment.findings import table
from tests.environment.fake_machine import FIXTURES

MESSAGES = json.loads((FIXTURES / "messages.json").read_text())
ORDINARY = dict(
    block.split("\n", 1)
    for name in ("ordinary.txt", "ordinary_2.txt", "ordinary_3.txt")
    for block in re.split(r"^=== ", (FIXTURES / name).read_text(), flags=re.MULTILINE)[1:]
)
ROWS = table("diagnosis.json")["rows"]
NOISE = "\n".join(ORDINARY.values())


@pytest.mark.parametrize(
    "message", MESSAGES, ids=[f"{one['id']}-{index}" for index, one in enumerate(MESSAGES)]
)
def test_a_verbatim_message_gets_its_row_and_no_other(message):
    found = diagnose(message["text"])
    assert [one["id"] for one in found] == [message["id"]]
    assert found[0]["evidence"] in message["text"]
    assert found[0]["cause"]
    assert found[0]["remedy"]
    assert found[0]["source"]


@pytest.mark.parametrize(
    "message", MESSAGES, ids=[f"{one['id']}-{index}" for index, one in enumerate(MESSAGES)]
)
def test_a_message_is_found_between_the_lines_of_a_long_log(message):
    assert [one["id"] for one in diagnose(f"{NOISE}\n{message['text']}\n{NOISE}")] == [
        message["id"]
    ]


def test_every_row_of_the_table_has_a_message():
    assert {row["id"] for row in ROWS} == {one["id"] for one in MESSAGES}
    assert [row["id"] for row in ROWS] == [
        *(f"A{n}" for n in range(1, 19)),
        *(f"B{n}" for n in range(1, 16)),
        *(f"C{n}" for n in range(1, 18)),
        *(f"D{n}" for n in range(1, 12)),
        *(f"E{n}" for n in range(1, 8)),
    ]


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_log_gets_no_diagnosis(name):
    assert diagnose(ORDINARY[name]) == []


def test_there_are_at_least_a_hundred_and_eighty_ordinary_logs():
    assert len(ORDINARY) >= 180


def test_an_unknown_message_says_unknown_and_quotes_the_error():
    found = explain("step 1 done\nValueError: something nobody has seen\n")
    assert [one["id"] for one in found] == ["unknown"]
    assert found[0]["evidence"] == "ValueError: something nobody has seen"
    assert "unknown" in found[0]["title"]
    assert found[0]["remedy"] == ""


def test_the_last_error_of_an_unknown_log_is_the_one_quoted():
    assert (
        explain("KeyError: 'first'\nDuring handling, another:\nValueError: last\nbye")[0][
            "evidence"
        ]
        == "ValueError: last"
    )


@pytest.mark.parametrize("text", ["", "   \n"])
def test_an_empty_text_is_unknown_and_not_a_crash(text):
    assert diagnose(text) == []
    assert [one["id"] for one in explain(text)] == ["unknown"]


@pytest.mark.parametrize(
    "code, words",
    [
        ("ERR00100", ("torch_npu itself", "ACL")),
        ("ERR01007", ("operator", "not supported")),
        ("ERR02200", ("distributed", "HCCL")),
        ("ERR03300", ("graph mode", "graph engine")),
        ("ERR04011", ("profiler", "timeout")),
        ("ERR99999", ("outside torch_npu", "any uncaught exception")),
    ],
)
def test_an_err_code_is_decoded_by_part_and_kind(code, words):
    assert all(word in decode(code) for word in words)


def test_a_bare_err_code_carries_its_decoding_in_the_title():
    (found,) = diagnose(
        "[ERROR] 2026-01-02-03:04:05 (PID:31, Device:0, RankID:-1) ERR04011 PROF timeout error"
    )
    assert found["id"] == "C11"
    assert "the profiler" in found["title"]
    assert "timeout" in found["title"]


def test_a_specific_cause_silences_the_codes_that_accompany_every_failure():
    text = (
        "NPU function error: aclrtSetDevice, error code is 107001\nERR00100 PTA call acl api"
        " failed\nEZ9999: Inner Error!\nERR99999 UNKNOWN application exception"
    )
    assert [one["id"] for one in diagnose(text)] == ["B3"]


@pytest.mark.parametrize(
    "code, meaning", [("100039", "stubs"), ("507046", "stream"), ("207007", "events")]
)
def test_an_official_code_without_a_row_is_named_with_its_meaning(code, meaning):
    (found,) = diagnose(f"call failed, error code is {code}")
    assert found["id"] == f"acl-{code}"
    assert meaning in found["title"]


def test_a_number_outside_the_official_list_is_no_code():
    assert diagnose("call failed, error code is 999999") == []


@pytest.mark.parametrize(
    "line, words",
    [
        ("EI0006: Getting socket times out. Reason: remote rank did not send.", "socket"),
        ("EL9999: Inner Error!", "internal"),
    ],
)
def test_other_codes_of_cann_are_told_in_words(line, words):
    (found,) = diagnose(line)
    assert found["id"] == f"cann-{line[:6]}"
    assert words in found["title"]
    assert found["evidence"] == line


def test_errors_come_before_warnings_and_notes():
    text = (
        "torch.jit.script and torch.jit.script_method will be disabled by transfer_to_npu\nDevice"
        " do not support double dtype now, dtype cast replace with float.\nerror code is 107002"
    )
    assert [one["severity"] for one in diagnose(text)] == ["error", "warning", "note"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_a_remedy_is_a_command_or_code_and_not_only_a_comment(row):
    assert any(not line.startswith("#") for line in row["remedy"].splitlines())
    assert row["cause"].endswith(".")
    assert row["source"]


def test_the_fallback_operators_are_listed_once_and_sorted():
    lines = [one["text"] for one in MESSAGES if one["id"] == "C4"]
    assert fallbacks("\n".join(lines * 2)) == [
        "aten::isin.Tensor_Tensor_out",
        "aten::logit",
        "aten::logit.out",
        "aten::logit_",
        "torchvision::nms",
    ]


def test_an_operator_that_is_refused_outright_is_no_fallback():
    assert (
        fallbacks(
            "CAUTION: The operator 'aten::_sparse_coo_tensor' is not currently supported on the NPU"
            " backend."
        )
        == []
    )
    assert fallbacks(NOISE) == []


def test_a_fallback_that_the_rehearsal_device_prints_is_counted():
    assert fallbacks(
        "[SIMULATED] CAUTION: The operator 'aten::erf' is not currently supported on the NPU"
        " backend and will fall back to run on the CPU."
    ) == ["aten::erf"]
