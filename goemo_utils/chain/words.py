"""What ``goemo run`` says in Chinese: the lines of the screen, by what they say in English.

A line that is not here is printed in English: what a step itself says is quoted from its record.
"""

from __future__ import annotations

VERDICTS = {
    "pass": "通过：{gates}。",
    "pass-with-cause": "通过（原因已查明）：答案不同，差异已有解释；{gates}。",
    "fail": "未通过：{gates}。这不是移植。",
    "incomplete": "未完成：并非每一步都已完成，因此没有证明任何事。",
}
REHEARSED = {
    "pass": "演练完成，模拟运行（SIMULATED）：流程可运行；{gates}。未进行任何移植。",
    "pass-with-cause": (
        "演练完成，模拟运行（SIMULATED）：所模仿的差异已找到并解释；{gates}。未进行任何移植。"
    ),
    "fail": "演练未通过，模拟运行（SIMULATED）：{gates}。未进行任何移植。",
    "incomplete": "演练未完成，模拟运行（SIMULATED）：并非每一步都已完成。",
}
LINES = {
    "goemo run {run_id}   model {model}, device {device}": (
        "goemo run {run_id}   模型 {model}，设备 {device}"
    ),
    "  SIMULATED: no Ascend device takes part": "  SIMULATED 模拟运行：没有昇腾设备参与",
    "would run": "将运行",
    "would skip": "将跳过",
    "report: {path}": "报告：{path}",
    "go on:  {command}": "继续：{command}",
    "no gate was judged": "没有判定任何门限",
    "every gate was met ({n})": "全部 {n} 项门限均满足",
    "{met} of {n} gates were met": "{n} 项门限中 {met} 项满足",
    "not met": "未满足",
    "explained": "已归因",
    "not judged": "未判定",
    "where the time went": "用时",
    "between the steps": "步骤之间",
    "whole run": "整次运行",
}


def said(line: str, language: str, **values: object) -> str:
    """A line in the run's language, its braces filled."""
    text = LINES.get(line, line) if language == "zh" else line
    return text.format(**values) if values else text
