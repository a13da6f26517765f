"""Kinds of reports: codes in every spelling, behind every prefix, coloured, in Chinese, cut off,
and from workers that write into one another. Beside them fixtures/reports.json, what users of other
programs posted: the messages are what the software printed, everything personal is left out.
"""

import json

import pytest

from goemo_utils.environment import diagnose, explain
from tests.environment.fake_machine import FIXTURES

REPORTS = json.loads((FIXTURES / "reports.json").read_text(encoding="utf-8"))

SPELLINGS = [
    ("aclrtSetDevice(0) returned 107001", "B3"),
    ("ret=507033 from aclrtSetDevice(0)", "B6"),
    ("aclError: 207001", "D2"),
    ("aclrtMalloc failed with ACL_ERROR_RT_MEMORY_ALLOCATION", "D2"),
    ("aclnnAdd returned status 561103", "C3"),
    ("aclnnStatus: ACLNN_ERR_INNER_TILING_ERROR", "C15"),
    ("HcclAllReduce failed: HCCL_E_TIMEOUT", "hccl-9"),
    ("hcclResult=9 in HcclAllGather", "hccl-9"),
    ("[HCCL] HcclBroadcast ret: 4", "hccl-4"),
    ("HcclCommInitClusterInfo failed, errNo[0x0000000005000009]", "hccl-9"),
    ("acl.rt.set_device(0) failed ret 507899", "B6"),
    ("exception: aclrtMalloc failed (207001)", "D2"),
    ("ascend error: code 507015", "C9"),
    ("NPU error code 507018", "C9"),
    ("error_code: 107002, api: aclrtMemcpy", "B4"),
    ("errcode=500002 (acl)", "acl-500002"),
    ("acl init failed, errorcode=100039", "acl-100039"),
    ("NPU function error, code=507010", "B6"),
    ("npu: err 207001", "D2"),
    ("aclrtSynchronizeStream() failed with error 507034", "C9"),
    ("Failed to call aclrtCreateContext: 107001", "B3"),
    ("[acl] [507014] aclmdlExecute", "C9"),
    ("acl api return 145021", "acl-145021"),
    ("aclopCompile fail! ret(500001)", "C1"),
    ("aclmdlExecute failed, modelId is 1, errorCode is 507011", "C9"),
    ("CANN runtime error: 507899", "B6"),
    ("HCCL Error Code: EI0002", "cann-EI0002"),
    ("error code is: 507046 (aclrtSynchronizeDevice)", "acl-507046"),
    ("dcmi_init failed, ret = -8005", "B12"),
    ("dcmi get device health failed, err code: -8002", "B12"),
    ("E40021 - Failed to compile Op [Conv2D]", "cann-E40021"),
    ("rc=207018 on aclrtMalloc", "D2"),
    ("aclnnMatmulGetWorkspaceSize returned 161002", "C16"),
]
CHINESE = [
    ("调用 aclrtSetDevice 失败，错误码为 507033", "B6"),
    ("aclrtMalloc 失败，错误码 207001", "D2"),
    ("aclrtMalloc 申请内存失败，返回值：207001", "D2"),
    ("算子 Add 执行失败：561002（aclnn）", "C15"),
    ("aclnnMatmul 接口返回 161002", "C16"),
    ("NPU 报错，错误代码 507018", "C9"),
    ("NPU 报错代码为507015", "C9"),
    ("昇腾设备异常，状态码：507899", "B6"),
    ("昇腾设备异常，错误号 507899", "B6"),
    ("推理失败，错误码：507011，请查看 plog（昇腾）", "C9"),
    ("【错误】aclrtSynchronizeStream 返回码：507035", "C9"),
    ("acl 初始化失败，错误码＝100039", "acl-100039"),
    ("模型加载失败（aclmdlLoadFromFile），错误码:545001", "acl-545001"),
    ("HCCL 集合通信超时，错误码：EI0006", "cann-EI0006"),
    ("HCCL 初始化失败 返回值 9", "hccl-9"),
    ("HCCL 训练卡住，日志里有 EI0002：通信等待超时", "cann-EI0002"),
    ("昇腾报错 EZ1001：参数 scale 不支持 float16", "C16"),
    (
        "报错如下：EE1002: [PID: 9] 2026-01-01-00:00:00.000.001 Stream synchronize timeout.",
        "cann-EE1002",
    ),
    ("运行时出现 RuntimeError：NPU out of memory. Tried to allocate 2.00 GiB，怎么解决？", "D1"),
    (
        "导入失败：libhccl.so: cannot open shared object file: No such file or directory",
        "A1",
    ),
    ("提示“libascend_hal.so: cannot open shared object file”，驱动没挂载？", "A3"),
    ("提示 ModuleNotFoundError: No module named 'torch_npu'，请问怎么安装", "A9"),
    ("npu-smi 报 dcmi module initialize failed. ret is -8005，容器内", "B12"),
    ("dcmi 初始化失败，返回值 -8020", "B12"),
    ("算子编译失败：E40021: Failed to compile Op [Conv2D].", "cann-E40021"),
    ("设备内存不足（EL0004），昇腾 910B", "D2"),
    ("第 3 卡：aclrtSetDevice 失败，ret：107001", "B3"),
    ("昇腾 NPU：没有上下文，错误码 107002", "B4"),
    ("两次 aclInit，返回 100002", "acl-100002"),
    ("昇腾：task 超时，错误码：１０７０２０", "acl-107020"),
]
ERROR = "NPU function error: aclrtSynchronizeStream, error code is 507018"
OOM = (
    "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total capacity)"
)
SENTENCE = (
    "EZ1001: [PID: 72153] 2025-03-04-15:41:40.612.001 Tensor scale not implemented for FLOAT16."
)
KERNEL = "EZ9999: [PID: 7] 2025-03-04-15:41:40.612.001 Cannot find bin of op Cast, integral key 0"
MESSAGES = [(ERROR, "C9"), (OOM, "D1"), (SENTENCE, "C16"), (KERNEL, "C3")]
PREFIXES = [
    "worker-1  | {}",
    "Nov 20 10:00:00 host python[123]: {}",
    "(raylet) {}",
    "(RayTrainWorker pid=1, ip=host) {}",
    "[default0]:{}",
    "[rank3]: {}",
    "3: {}",
    "E       {}",
    "2026-11-20 10:00:00,123 - ERROR - root - {}",
    "2026-11-20 10:00:00.123 | ERROR    | app.model:load:12 - {}",
    'level=error ts=2026-11-20T10:00:00Z msg="{}"',
    "E1120 10:00:00.123456    42 runner.cpp:128] {}",
    "[2026-11-20, 10:00:00 UTC] {{taskinstance.py:1}} ERROR - {}",
    "> {}",
    "> > {}",
    "12. {}",
    "- {}",
    "2026-11-20T10:00:00.1234567Z ##[error]{}",
    "  3%|▎         | 3/100 [00:01<00:40,  2.4it/s]{}",
    "\r 50%|█████     | 50/100 [00:20<00:20]{}",
    "[ERROR] ME(1:2,MainProcess):2026-11-20-10:00:00.1 [app.py:3] {}",
    "E/AscendCL( 123): {}",
    'kube.var.log\t{{"message":"{}"}}',
    '{{"log":"Traceback (most recent call last):\\n{}\\n","stream":"stderr"}}',
    "b'Traceback (most recent call last):\\n{}\\n'",
    "stderr: {}",
    "2026-11-20T10:00:00Z stderr F {}",
    "<pre>{}</pre>",
    "| {} |",
    "INFO:root:retrying after: {}",
    "Process Process-1: {}",
    "#14 12.31 {}",
]
COLOURS = [
    "\x1b[31m{}\x1b[0m",
    "\x1b[1;31m{}\x1b[m",
    "\x1b[38;5;196m{}\x1b[39m",
    "\x1b[38;2;255;0;0m{}\x1b[0m",
    "\x1b[31m\x1b[1m{}\x1b[22m\x1b[39m",
    "\x1b[K{}",
    "\x1b[2K\r{}",
    "\x1b[1A\x1b[2K{}",
    "\x1b[?25l{}\x1b[?25h",
    "\x1b]0;title\x07{}",
    "\x1b]8;;file://log\x1b\\{}\x1b]8;;\x1b\\",
    "\x1b]8;;file://log\x07{}\x1b]8;;\x07",
    "\x1b(B{}\x1b[m",
    "\x9b31m{}\x9b0m",
    "^[[31m{}^[[0m",
    "^[[0;36m(EngineCore_DP0 pid=804)^[[0;0m {}",
    "[0;36m(EngineCore_DP0 pid=804)[0;0m {}",
    "[31m{}[0m",
    "[1;31m{}[0m",
    "\\x1b[31m{}\\x1b[0m",
    "\\u001b[31m{}\\u001b[0m",
    "\\033[31m{}\\033[0m",
    "\\e[31m{}\\e[0m",
    "␛[31m{}␛[0m",
    "⟨U+001B⟩[31m{}⟨U+001B⟩[0m",
    "<ESC>[31m{}<ESC>[0m",
    "ESC[31m{}ESC[0m",
    "\x1b[36m(Worker pid=9)\x1b[0m ERROR 11-26 [core.py:708] \x1b[31m{}\x1b[0m",
    "<span style='color:red'>{}</span>",
    "\x1b[7m\x1b[5m{}\x1b[27m",
]
NOISE = "tsd client wait response fail\nCaused by: rpc failed\n"
CUT = [
    (ERROR[20:], "C9"),
    (ERROR[30:], "C9"),
    (f"...{ERROR[24:]}", "C9"),
    (f"…{ERROR[24:]}", "C9"),
    (f"{ERROR}\n[ERROR] 2025-05-09-08:06:34 (PID:207, Dev", "C9"),
    (f"{ERROR}\n... (truncated)", "C9"),
    (f"[... 1,204 lines omitted ...]\n{ERROR}\n[... 3 lines omitted ...]", "C9"),
    ("NPU function error: aclrtSynchronizeStream, error code is\n507018", "C9"),
    ("NPU function error: aclrtSynchronizeStream, error code is\n    507018", "C9"),
    ("NPU function error: aclrtSetDevice, error code\n is 507033", "B6"),
    (f"{ERROR}, elapsed 12.3 s (first 2000 characters sho", "C9"),
    (SENTENCE[:60], "C16"),
    (SENTENCE[:40], "C16"),
    (SENTENCE[:20], "C16"),
    (SENTENCE[:-30], "C16"),
    (f"{SENTENCE[:52]}[truncated]", "C16"),
    (SENTENCE.replace("Tensor", "Ten\nsor"), "C16"),
    (KERNEL[30:], "C3"),
    (KERNEL[45:], "C3"),
    (KERNEL[:-16], "C3"),
    (KERNEL[50:86], "C3"),
    (OOM[:48], "D1"),
    (OOM[:31], "D1"),
    (OOM[14:], "D1"),
    (f"s.py', line 12\n{OOM[:40]}", "D1"),
    ("hccl.so: cannot open shared object file: No such file or directory\nImportError: libhccl.so: "
     "cannot open shared object fi", "A1"),
    ("libascend_hal.so: cannot open shared object file: No su", "A3"),
    ("ERR00100 PTA call acl api failed\n[Error]: The context is empty.", "B4"),
    ("[Error]: The context is empty.\n        Check whether acl.rt.set_context or acl.rt.se", "B4"),
    ("E39999: Inner Error!\nE39999: [PID: 1] aicpu exec", "cann-E39999"),
    ("an exception occurred during AICPU execution, stream_id:2, task", "C9"),
]  # fmt: skip
PTA = "[ERROR] 2025-05-09-08:06:34 (PID:207, Device:0, RankID:-1) ERR00100 PTA call acl api failed"
TIMEOUT = "EI0006: [PID: 9] 2025-04-08-18:07:20.444.436 Getting socket times out."
PARENT = "[ERROR] TBE Subprocess[task_distribute] raise error[], main process disappeared!"
ABSENT = "Device_Absent/Abnormal(EL0001): Device not found or invalid."
INTERLEAVED = [
    ([TIMEOUT, OOM, TIMEOUT], "D1"),
    ([TIMEOUT, ERROR, PTA, TIMEOUT], "C9"),
    ([PARENT, PARENT, KERNEL, PARENT], "C3"),
    ([PTA, PTA, SENTENCE, PTA], "C16"),
    ([ERROR, PTA, OOM], "D1"),
    ([ERROR, KERNEL, PTA], "C3"),
    ([PARENT, ABSENT, ERROR], "B9"),
    ([TIMEOUT, PTA, ABSENT], "B9"),
    ([TIMEOUT, "HCCL function error: HcclBarrier(), error code is 9", OOM], "D1"),
    (["HCCL function error: HcclBarrier(), error code is 9", ERROR], "C9"),
    ([TIMEOUT, PTA, PARENT], "cann-EI0006"),
    ([PARENT, "aclrtSetDevice failed, error code is 507033", TIMEOUT], "B6"),
    (["E40021: [PID: 5] Failed to compile Op [Conv3D1].", PARENT, PTA], "cann-E40021"),
    ([ERROR, "EL0004: [PID: 1] Failed to allocate memory.", PTA], "D2"),
    ([OOM, OOM, OOM], "D1"),
]
WORKERS = ["[rank{}]: {}", "(Worker_TP{} pid=7) ERROR 11-26 [executor.py:824] {}"]


@pytest.mark.parametrize(
    "report", REPORTS, ids=[f"{one['source']}-{one['first']}" for one in REPORTS]
)
def test_a_report_that_somebody_posted_gets_the_answer_that_helps(report):
    first = explain(report["text"])[0]
    told = f"{first['title']} {first['cause']} {first['remedy']}"
    assert first["id"] == report["first"]
    assert [word for word in report["words"] if word not in told] == []


@pytest.mark.parametrize(("text", "id"), SPELLINGS + CHINESE)
def test_a_code_is_read_however_it_is_spelled(text, id):
    assert explain(text)[0]["id"] == id


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("text", "id"), MESSAGES, ids=[id for _, id in MESSAGES])
def test_a_message_is_read_behind_whatever_a_program_writes_before_it(prefix, text, id):
    assert explain(prefix.format(text))[0]["id"] == id


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("text", "id"), MESSAGES, ids=[id for _, id in MESSAGES])
def test_a_message_is_read_through_colours_also_pasted_ones(colour, text, id):
    assert explain(colour.format(text))[0]["id"] == id


@pytest.mark.parametrize(("text", "id"), CUT)
def test_a_message_is_read_where_a_part_of_it_is_missing(text, id):
    assert explain(text)[0]["id"] == id


@pytest.mark.parametrize("form", WORKERS)
@pytest.mark.parametrize(("lines", "id"), INTERLEAVED)
def test_the_root_is_found_where_workers_write_into_one_another(form, lines, id):
    text = "\n".join(form.format(number, line) for number, line in enumerate(lines))
    found = diagnose(text)
    assert found[0]["id"] == id
