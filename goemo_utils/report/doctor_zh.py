"""Writes docs/zh/doctor-tables.md from the tables: `python -m goemo_utils.report.doctor_zh`.

The titles are those of the Chinese report; versions, messages and commands are no prose.
"""

from __future__ import annotations

import sys
from typing import Any

from goemo_utils.environment.compat import series
from goemo_utils.environment.docs import forms
from goemo_utils.environment.findings import table
from goemo_utils.records.record import ROOT, write_text
from goemo_utils.report.words_findings import TITLES

PAGE = ROOT / "docs" / "zh" / "doctor-tables.md"
INTRODUCTION = """# 环境检查的对照表

由表格生成：`python -m goemo_utils.report.doctor_zh`。用法见 [doctor.md](doctor.md)。
原因的全文与各错误码的含义按出处原文引用，见英文页 [docs/doctor.md](../doctor.md) 中同一编号处。
以上均未在昇腾硬件上运行过。
"""
SEVERITIES = {
    "error": "错误",
    "warning": "警告",
    "note": "提示",
    "ok": "正常",
    "not checked": "未检查",
}
STATES = {
    "development": "开发期",
    "maintenance": "维护期",
    "end of life": "已停止维护",
}
PARTS = {
    "00": "torch_npu 本身（PTA）",
    "01": "算子（OPS）",
    "02": "分布式通信（DIST）",
    "03": "图模式（GRAPH）",
    "04": "性能分析（PROF）",
    "99": "torch_npu 以外",
}
KINDS = {
    "000": "成功",
    "001": "参数无效",
    "002": "类型无效",
    "003": "取值无效",
    "004": "指针无效",
    "005": "内部错误",
    "006": "内存",
    "007": "不支持",
    "008": "未找到",
    "009": "不可用",
    "010": "系统调用失败",
    "011": "超时",
    "012": "权限",
    "100": "CANN 的 ACL 调用失败",
    "200": "HCCL 调用失败",
    "300": "图引擎调用失败",
    "999": "任何未捕获的异常",
}


def page() -> str:
    """The whole page as Markdown."""
    data, checks = table("diagnosis.json"), table("checks.json")["checks"]
    parts = [INTRODUCTION, _versions()]
    parts.append(f"## 报错\n\n日期 {data['dated']}。编号不变。\n")
    parts += [_row(row, forms(row)) for row in data["rows"]]
    parts.append("## 错误码\n\n`ERRmmkkk` 由 torch_npu 打印：两位表示部分，三位表示种类。\n")
    parts += [_pairs("部分", data["err_modules"], PARTS), _pairs("种类", data["err_kinds"], KINDS)]
    parts.append("## 对本机的检查\n\n花括号中的词由所见内容填入。\n")
    parts += [_row(row, None) for row in checks]
    return "\n".join(parts)


def _versions() -> str:
    """The stacks that belong together, and which driver a CANN accepts."""
    data = table("compat.json")
    lines = ["| torch_npu | torch | TorchNPU | CANN | Python | 维护状态 | 日期 | 出处 |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in data["wheels"]:
        state, day = data["support"]["states"][series(row["torch"])]
        support = _state(state) + (f"（{day}）" if day else "")
        python = " 至 ".join(row["python"])
        cells = (row["torch_npu"], row["torch"], row["release"] or "无", row["cann"] or "无")
        known = (*cells, python, support, row["dated"], row["source"])
        lines.append(f"| {' | '.join(known)} |")

    drivers = ["| CANN | 接受的驱动 | 拒绝的驱动 |", "|---|---|---|"]
    for cann, row in data["drivers"]["rows"].items():
        fine = "、".join(name for name, good in row.items() if good)
        refused = "、".join(name for name, good in row.items() if not good) or "未提及"
        drivers.append(f"| {cann} | {fine} | {refused} |")

    sources = [f"- {name}：{meaning}" for name, meaning in data["sources"].items()]
    heading = f"## 版本配套\n\n日期 {data['dated']}。\n"
    return "\n\n".join([heading.rstrip(), *map("\n".join, (lines, drivers, sources))]) + "\n"


def _state(state: str) -> str:
    """How far a release is maintained, in Chinese: ``maintenance since 2026-10`` and the like."""
    for english, chinese in STATES.items():
        if state.startswith(english):
            rest = state.removeprefix(english)
            rest = rest.replace(", maintenance from ", "，维护期始于 ").replace(
                " since ", "，始于 "
            )
            return chinese + rest
    return state


def _row(row: dict[str, Any], told: str | None) -> str:
    title = TITLES.get(row["id"], row["title"])
    text = f"### {row['id']}：{title}\n\n级别：{SEVERITIES[row['severity']]}。\n"
    if told:
        text += f"\n符合以下任一正则表达式：\n\n```\n{told}\n```\n"
    if row["remedy"]:
        remedy = row["remedy"].replace("{{", "{").replace("}}", "}")
        text += f"\n处理：\n\n```\n{remedy}\n```\n"
    return text + (f"\n出处：{row['source']}。\n" if row["source"] else "")


def _pairs(name: str, meanings: dict[str, str], chinese: dict[str, str]) -> str:
    rows = [f"| {code} | {chinese.get(code, told)} |" for code, told in meanings.items()]
    return "\n".join([f"| {name} | 含义 |", "|---|---|", *rows]) + "\n"


def main() -> int:
    """Write the page."""
    write_text(PAGE, page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
