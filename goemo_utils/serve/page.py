"""The pages for people: one to try texts, in English and Chinese, and one that describes the
addresses. Styles and script stand in the page; nothing is fetched from another host.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from goemo_utils.forward.thresholds import described
from goemo_utils.serve.fleet import Fleet

TEMPLATES = Path(__file__).with_name("templates")
STYLE = (TEMPLATES / "page.css").read_text(encoding="utf-8")
SCRIPT = (TEMPLATES / "page.js").read_text(encoding="utf-8")
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "lang": "en",
        "title": "Try the classifier",
        "what": "Texts in, labels with scores out.",
        "texts": "Texts, one a line",
        "example": "I am so happy today!\nWhy would you do that? This makes me furious.",
        "threshold": "Threshold",
        "own": "the model's own: {}",
        "model": "Model",
        "any": "by the shares",
        "ask": "Classify",
        "answers": "Answers",
        "none": "no label above the threshold",
        "cut": "cut at the model's limit",
        "simulated": "SIMULATED: a rehearsal on this machine's CPU. It says nothing about any NPU.",
        "failed": "The server could not be reached.",
        "other": "中文",
        "other_language": "zh",
        "docs": "Addresses of the server",
    },
    "zh": {
        "lang": "zh-Hans",
        "title": "试用分类器",
        "what": "输入文本，返回标签与分数。",
        "texts": "文本（每行一条）",
        "example": "I am so happy today!\nWhy would you do that? This makes me furious.",
        "threshold": "阈值",
        "own": "模型自带：{}",
        "model": "模型",
        "any": "按流量比例选择",
        "ask": "分类",
        "answers": "结果",
        "none": "没有标签高于阈值",
        "cut": "已按模型长度上限截断",
        "simulated": "模拟运行 SIMULATED：仅在本机 CPU 上演练，不能说明任何 NPU 的情况。",
        "failed": "无法连接服务器。",
        "other": "English",
        "other_language": "en",
        "docs": "接口说明",
    },
}


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


POLICY = f"style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}"
_PAGES = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def language(query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """``?lang=``, else what the browser prefers: zh or en."""
    asked = query.get("lang") or headers.get("accept-language", "")
    return "zh" if asked.lower().startswith("zh") else "en"


def home(fleet: Fleet, language: str) -> str:
    """The page to try texts."""
    words = WORDS[language]
    versions = list(fleet.versions.values())
    thresholds = {version.name: described(version.classifier.threshold) for version in versions}
    own = words["own"].format("; ".join(dict.fromkeys(thresholds.values())))
    return _PAGES.get_template("home.html.j2").render(
        words=words,
        own=own,
        versions=versions,
        simulated=any(version.simulated for version in versions),
        style=STYLE,
        script=SCRIPT,
    )


def docs(description: Mapping[str, Any]) -> str:
    """The description of the addresses, as a page."""
    operations = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            operations.append(_operation(method.upper(), path, operation))
    return _PAGES.get_template("docs.html.j2").render(
        title=description["info"]["title"],
        version=description["info"]["version"],
        operations=operations,
        style=STYLE,
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    schema = _schema(operation.get("requestBody") or {})
    example = json.dumps(schema.get("example"), ensure_ascii=False) if schema else ""
    answer = _schema(operation["responses"]["200"])

    return {
        "method": method,
        "path": path,
        "summary": operation.get("summary", ""),
        "body": json.dumps(schema, ensure_ascii=False, indent=1) if schema else "",
        "example": example,
        "answer": json.dumps(answer, ensure_ascii=False, indent=1) if answer else "",
        "statuses": [
            (status, told["description"]) for status, told in operation["responses"].items()
        ],
    }


def _schema(holder: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (
        (holder.get("content") or {}).get("application/json", {}).get("schema", {})
    )
    return found
