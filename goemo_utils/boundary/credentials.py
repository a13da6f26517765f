"""What must not be written down: passwords in addresses, and tokens known by their shape."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

GONE = "(credential)"
# user:password@ or token@ in front of a host: RFC 3986, section 3.2.1, "userinfo".
_USERINFO = re.compile(r"(?<=//)[^/\s\"'<>?#]*@")
# The same without a scheme, as proxies are given: only before a host with a dot or a port.
_BARE_USERINFO = re.compile(
    r"(?<![\w/:@.-])[\w.+%~-]+:[^\s:@/\"'<>]+@(?=(?:[\w-]+\.)+[\w-]+|[\w-]+:\d{2,5}\b|\[)"
)
_NAMED = re.compile(
    r"((?<![A-Za-z])(?:api[_-]?key|passw(?:or)?d|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|(?:access|auth|refresh)[_-]?token)[\"']?\s*[=:]\s*[\"']?)([^\s\"',;&}(]{4,})",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"([?&][\w.-]*(?:token|secret|signature|passw|passwd|api_?key|auth)[\w.-]*=)[^&\s\"'#]+", re.I
)
_HEADER = re.compile(r"(\bauthorization\W{1,4}(?:bearer|basic|token)\s+)[^\s\"']+", re.I)
# Shapes of tokens as their services publish them: Hugging Face, OpenAI, GitHub, GitLab, AWS, JWT.
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[A-Z0-9]{12,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
)


def without_credentials(text: str) -> str:
    """A text without the credentials it may hold: ``http://me:secret@host`` is ``http://host``."""
    if "//" in text:
        text = _QUERY.sub(rf"\1{GONE}", _USERINFO.sub("", text))
    if "@" in text:
        text = _BARE_USERINFO.sub("", text)
    text = _NAMED.sub(rf"\1{GONE}", _HEADER.sub(rf"\1{GONE}", text))
    return _TOKEN.sub(GONE, text)


def recordable(value: Any) -> Any:
    """``value`` without credentials in any string it holds, whatever lists and objects they lie in;
    keys stay as they are.
    """
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {key: recordable(one) for key, one in value.items()}
    return [recordable(one) for one in value] if isinstance(value, (list, tuple)) else value


def at_home(value: Any) -> Any:
    """``value`` with the home folder written ``~`` in every string it holds."""
    home = os.path.expanduser("~").rstrip("/")
    if len(home) < 2:
        return value
    pattern = re.compile(rf"(?<![\w/.-]){re.escape(home)}(?![\w.-])")

    def told(inner: Any) -> Any:
        if isinstance(inner, str):
            return pattern.sub("~", inner)
        if isinstance(inner, Mapping):
            return {key: told(one) for key, one in inner.items()}
        return [told(one) for one in inner] if isinstance(inner, (list, tuple)) else inner

    return told(value)
