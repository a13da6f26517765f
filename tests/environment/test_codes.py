"""Codes: every spelling that programs print, behind every prefix, each with the meaning that a
public source gives it; numbers of other programs are none.
"""

import pytest

from goemo_utils.environment import codes, diagnose, explain
from goemo_utils.environment.findings import table

DATA = table("codes.json")
SPELLINGS = [
    "NPU function error: aclrtSetDevice(device_id), error code is {}",
    "ACL stream synchronize failed, error code:{}",
    "ExternalError:  ACL error, the error code is : {}.",
    "aclnnAddGetWorkspaceSize failed with aclnnStatus={}.",
    "launch failed for Cast, errno:{}.",
    "[ERROR] RUNTIME(1,python):rtStreamSynchronize failed, ret:{}",
    "[ERROR] [Bisheng] Kernel binary register failure! ret {}",
    "aclrtSetDevice: open device 0 failed, runtime result = {}",
    "CANN failure {}: see the log",
    "CANN error: {}",
    "call aclrtSynchronizeStream failed : {}",
    "aclrtMalloc failed, errorCode[{}]",
    "aclrtMalloc failed, errorCode = {}, size 2048",
    "npu_error_code={} device=0",
    "acl ret code: {}",
    "ACL_ERROR_RT_SOMETHING({})",
    "\x1b[31m(EngineCore_DP0 pid=12)\x1b[0m ERROR 11-26 11:43:04 [core.py:708] error code is {}",
    "[rank3]: RuntimeError: NPU error, error code is {} (function run)",
    "2026-11-20T10:00:00Z stderr F error code is {}",
    "昇腾报错：错误码：{}",
    "算子执行失败，返回码为 {}（acl）",
]
WORDS = [
    "{0}: [PID: 14004] 2025-11-06-01:17:59.527.855 {1}",
    "[PID: 1070] 2026-04-30-23:39:01.135.160 Some_Title/Other({0}): {1}",
    "(Worker_TP1 pid=1) ERROR 07-07 06:13:02 [executor.py:962] {0}: [PID: 423] 2026-07-07 {1}",
    "RuntimeError: call aclnnSwiGlu failed, detail:{0}: [PID: 72153] 2025-03-04-15:41:40.6 {1}",
    "\x1b[1;31m{0}: [PID: 3] {1}\x1b[0m",
    "{0}[PID: 4179] 2026-06-08-19:04:04.698.981 ({0}):  {1}",
    "昇腾报错 {0}：{1}",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("number", ["507018", "561002", "207008", "145021"])
def test_a_number_is_read_in_every_spelling_and_behind_every_prefix(spelling, number):
    found = diagnose(spelling.format(number))
    told = " ".join(f"{one['title']} {one['cause']}" for one in found)
    assert found
    assert found[0]["severity"] == "error"
    assert number in told or found[0]["id"] in ("C9", "C15")


@pytest.mark.parametrize("number", DATA["numbers"])
def test_every_number_of_the_table_is_told_in_words_also_beside_the_line_of_torch_npu(number):
    text = (
        f"RuntimeError: NPU function error: aclCall(), error code is {number}\n"
        "[ERROR] 2026-06-08-19:04:04 (PID:4179, Device:0, RankID:-1) ERR00100 PTA call acl api"
        " failed"
    )
    found = diagnose(text)
    assert found[0]["severity"] == "error"
    owned = {str(code) for row in table("diagnosis.json")["rows"] for code in row.get("codes", [])}
    if number not in owned:
        assert DATA["numbers"][number][0] in found[0]["title"]
    assert found[0]["id"] != "C11"


@pytest.mark.parametrize("form", WORDS)
@pytest.mark.parametrize("word", ["EZ1001", "EI0006", "E40021", "EL0013", "EE1016"])
def test_a_word_is_read_behind_every_prefix_with_its_sentence(form, word):
    found = diagnose(form.format(word, "the sentence that CANN wrote"))
    assert found
    assert found[0]["severity"] == "error"
    assert "the sentence that CANN wrote" in found[0]["title"] + found[0]["cause"]


@pytest.mark.parametrize("word", DATA["words"])
def test_every_word_of_the_table_is_told_in_words(word):
    found = diagnose(f"{word}: [PID: 12] 2026-01-01-00:00:00.000.001 what happened")
    assert found[0]["severity"] == "error"
    assert found[0]["id"] != "unknown-code"


@pytest.mark.parametrize("rows", ["numbers", "words", "hccl", "dcmi"])
def test_every_row_has_a_meaning_and_a_public_source(rows):
    for meaning, source in DATA[rows].values():
        assert meaning
        assert DATA["sources"][source]


@pytest.mark.parametrize(
    "text, name",
    [
        ("NPU function error: aclCall, error code is 507998", "507998"),
        ("EZ4321: [PID: 12] 2026-01-01-00:00:00.000.001 Something new.", "EZ4321"),
    ],
)
def test_a_code_that_no_source_names_stays_unknown_and_says_what_to_do(text, name):
    (found,) = diagnose(text)
    assert found["id"] == "unknown-code"
    assert name in found["title"]
    assert "no published list" in found["title"]
    assert "--bundle" in found["remedy"]


@pytest.mark.parametrize(
    "text",
    [
        "ret = 507998",
        "episode 200, ret = 200000",
        "HTTP error_code=100000",
        "processed 561103 rows, failed: 107001",
        "E50001: internal server error",
        "target ES2015 (build.js)",
        "version 507018.2, error code: 5.507018",
        "order id 507018 has status 207001",
        "index e40021a..507018b",
    ],
)
def test_a_number_of_another_program_is_no_code(text):
    assert diagnose(text) == []


def test_the_word_with_a_sentence_comes_before_the_numbers_and_all_are_told():
    (found,) = diagnose(
        "OPS function error: Conv3D, error code is 500002\nERR01100 OPS call acl api failed\n"
        "E40021: [PID: 2000] 2025-07-17-11:24:31.572.955 Failed to compile Op [Conv3D1]."
    )
    assert found["id"] == "cann-E40021"
    assert "could not compile" in found["title"]
    assert "500002 = error of the graph engine" in found["cause"]
    assert found["cause"].index("500002") < found["cause"].index("ERR01100")


def test_the_line_that_torch_npu_always_prints_is_never_the_only_answer():
    found = explain("[ERROR] 2026-01-02 (PID:31, Device:0, RankID:-1) ERR00100 PTA call acl api")
    assert [one["id"] for one in found] == ["unknown", "C11"]
    assert "tee run.log" in found[0]["remedy"]


def test_no_answer_sends_the_reader_round_in_a_circle():
    for row in table("diagnosis.json")["rows"]:
        assert "then: goemo doctor --explain" not in row["remedy"]


@pytest.mark.parametrize(
    "text, order",
    [
        ("error code is 507899\nEL0004: [PID: 1] Failed to allocate memory.", ["D2", "B6"]),
        ("error code is 507035\nCannot find bin of op Foo, integral key 0", ["C3", "C9"]),
        (
            "[ERROR] TBE Subprocess[task_distribute] raise error[], main process disappeared!\n"
            "NPU out of memory. Tried to allocate 2.00 GiB",
            ["D1"],
        ),
        ("error code is 507899\nDevice_Absent/Abnormal(EL0001): Device not found.", ["B9", "B6"]),
        ("error code is 507018\nNPU out of memory. Tried to allocate 2.00 GiB", ["D1", "C9"]),
    ],
)
def test_the_root_comes_before_what_followed_from_it(text, order):
    found = diagnose(text)
    assert [one["id"] for one in found][: len(order)] == order
    assert all(one["severity"] == "note" for one in found[1:])


def test_codes_of_the_communication_library_and_of_npu_smi_are_told_in_words():
    (hccl,) = diagnose("RuntimeError: HCCL function error: HcclBarrier(), error code is 9")
    assert hccl["id"] == "hccl-9"
    assert "timeout" in hccl["title"]
    (dcmi,) = diagnose("dcmi module initialize failed. ret is -8020")
    assert "taken by another container" in dcmi["title"]


def test_an_err_code_of_another_form_has_no_words():
    assert codes.err("ERR1") is None
