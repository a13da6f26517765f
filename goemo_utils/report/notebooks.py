"""Executed notebooks → pages beside the report, sanitised: no script, no handler, no remote
reference.
"""

import base64
import hashlib
import html
import re
from pathlib import Path
from typing import Any

import bleach

from goemo_utils.boundary.regular import read_regular
from goemo_utils.errors import RecordError
from goemo_utils.forward import lean
from goemo_utils.records.portable import places, portable
from goemo_utils.records.record import read_json, write_text
from goemo_utils.report.page import visible

with lean.hidden(*lean.FORMATS):
    import nbformat

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_ATTRIBUTES = {
    "a": ["href", "title"],
    "img": ["src", "alt", "title"],
    "th": ["scope", "colspan", "rowspan"],
    "td": ["colspan", "rowspan"],
    "details": ["open"],
}
_CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --panel: #f4f5f7; --ink: #15191f;
  --muted: #4b5563; --rule: #d3d8df; --link: #0a4f9e; --fail: #861600; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #12161c; --panel: #1a2028;
  --ink: #e9edf2; --muted: #a9b4c2; --rule: #343e4b; --link: #8cc0ff; --fail: #ff8a66; } }
html { font: 16px/1.6 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Noto Sans",
  "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; background: var(--paper);
  color: var(--ink); }
body { margin: 0; overflow-wrap: break-word; }
header, main { max-width: 60rem; margin: 0 auto; padding: .8rem 1.25rem; }
header { border-bottom: 1px solid var(--rule); font-size: .875rem; color: var(--muted); }
a { color: var(--link); }
p, li { max-width: 46rem; }
pre, code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .8125rem; }
pre { background: var(--panel); padding: .7rem .9rem; overflow-x: auto; line-height: 1.5; }
.code { border-left: 3px solid var(--rule); margin: .6rem 0; }
.code pre { margin: 0; }
.output { margin: .3rem 0 1rem; overflow-x: auto; }
.output img { max-width: 100%; background: #ffffff; }
.output pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.error { color: var(--fail); }
summary { cursor: pointer; color: var(--link); padding: .3rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--rule); text-align: left; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
@media print { pre { white-space: pre-wrap; } }
"""


def write_pages(run_dir: Path, language: str) -> list[str]:
    """Write ``NN_name.html`` for every executed notebook in ``run_dir`` and return the names.

    A notebook that cannot be read is left out: it is a log for people, not evidence.
    """
    known = places(_params(run_dir), run_dir)
    written = []
    for path in sorted(run_dir.glob("[0-9][0-9]_*.ipynb")):
        try:
            text = read_regular(path).decode("utf-8")
            notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
            told = page(_node(portable(notebook, known)), path.stem, language)
        except Exception:  # nbformat raises whatever its JSON and schema layers raise
            continue
        write_text(path.with_suffix(".html"), told)
        written.append(path.with_suffix(".html").name)

    return written


def _node(notebook: Any) -> Any:
    return nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]  # nbformat has no types


def _params(run_dir: Path) -> dict[str, Any]:
    """The run's parameters; nothing where its manifest cannot be read."""
    try:
        return dict(read_json(run_dir / "manifest.json")["params"])
    except (RecordError, KeyError, TypeError, ValueError):
        return {}


def page(notebook: Any, name: str, language: str) -> str:
    """Return a notebook as a page of its own. Markdown and tables pass an allow-list; everything
    else is shown as text.
    """
    digest = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )
    cells = "\n".join(_cell(cell) for cell in notebook.cells)
    back = {"en": "Back to the report", "zh": "返回报告"}[language]

    return (
        f'<!DOCTYPE html>\n<html lang="{"zh-Hans" if language == "zh" else "en"}">\n<head>\n<meta'
        f' charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n<meta'
        ' name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer"'
        f' content="no-referrer">\n<title>{html.escape(name)} ·'
        f" goemo</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<header><a"
        f' href="report.html">{back}</a> ·'
        f" {html.escape(name)}.ipynb</header>\n<main>\n{cells}\n</main>\n</body>\n</html>\n"
    )


def clean(fragment: str) -> str:
    """Keep the structure of an HTML fragment and nothing that acts: no script, handler, style or
    remote reference.
    """
    text = re.sub(
        r"(?is)<(script|style|template|iframe|object|svg|math)\b.*?</\1\s*>", "", visible(fragment)
    )
    text = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", text)
    kept = bleach.clean(
        text,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        protocols={"https", "http", "mailto", "data"},
        strip=True,
        strip_comments=True,
    )
    # Links lead away only when a reader follows them; pictures would load by themselves, so only
    # embedded ones stay.
    kept = re.sub(r'(<a\b[^>]*?)\shref="data:[^"]*"', r"\1", kept)
    kept = re.sub(r"<img\b[^>]*>", _image, kept)

    return re.sub(r"(?s)<thead>.*?</thead>|<tbody>.*?</tbody>", _heads, kept)


def _heads(found: re.Match[str]) -> str:
    """Give pandas' header cells their scope; an empty one is no header."""
    text = re.sub(r"<th[^>]*>\s*</th>", "<td></td>", found[0])
    return re.sub(
        r"<th(?![^>]*scope)(?=[ >])",
        f'<th scope="{"col" if text.startswith("<thead>") else "row"}"',
        text,
    )


def _image(found: re.Match[str]) -> str:
    source = re.search(r'\ssrc="([^"]*)"', found[0])
    alt = re.search(r'\salt="([^"]*)"', found[0])
    if not source or not re.match(r"data:image/(png|jpeg|gif|svg\+xml);base64,", source[1]):
        return f"[{alt[1] if alt else 'image'}]"
    return f'<img src="{source[1]}" alt="{alt[1] if alt else ""}">'


def _cell(cell: Any) -> str:
    if cell.cell_type == "markdown":
        from nbconvert.filters.markdown_mistune import markdown2html_mistune

        return f'<div class="text">{clean(markdown2html_mistune(cell.source))}</div>'
    if cell.cell_type != "code":
        return _pre(cell.source)
    return _source(cell) + "".join(_output(output, cell) for output in cell.get("outputs", []))


def _source(cell: Any) -> str:
    """The code of a cell; what papermill injected is folded, for it says only how the cell above it
    was filled in.
    """
    if not cell.source.strip():
        return ""
    code = f'<div class="code">{_pre(cell.source, "Code")}</div>'
    if "injected-parameters" not in cell.get("metadata", {}).get("tags", []):
        return code
    return f"<details><summary>Parameters of this run</summary>{code}</details>"


def _output(output: Any, cell: Any) -> str:
    if output.output_type == "stream":
        return f'<div class="output">{_pre(output.text, "Output")}</div>'
    if output.output_type == "error":
        lines = output.get("traceback") or [f"{output.ename}: {output.evalue}"]
        return f'<div class="output error">{_pre(chr(10).join(lines), "Error")}</div>'
    data, about = output.get("data", {}), output.get("metadata", {})
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            alt = (
                about.get(kind, {}).get("alt")
                or about.get("alt")
                or _title(cell)
                or data.get("text/plain", "")
            )
            picture = re.sub(r"[^A-Za-z0-9+/=]", "", str(data[kind]))
            return (
                f'<div class="output"><img src="data:{kind};base64,{picture}"'
                f' alt="{html.escape(visible(str(alt)), quote=True)}"></div>'
            )
    if "text/html" in data:
        return (
            '<div class="output" tabindex="0" role="group"'
            f' aria-label="Output">{clean(_text(data["text/html"]))}</div>'
        )
    if "text/markdown" in data:
        from nbconvert.filters.markdown_mistune import markdown2html_mistune

        return (
            "<div"
            f' class="output">{clean(markdown2html_mistune(_text(data["text/markdown"])))}</div>'
        )
    return f'<div class="output">{_pre(_text(data.get("text/plain", "")), "Output")}</div>'


def _title(cell: Any) -> str:
    """A figure's title as its code gives it: the next best thing to an alternative text."""
    found = re.search(r"""title(?:=|\()\s*f?["']([^"'{}]+)["']""", cell.source)
    return found[1] if found else ""


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _pre(text: str, label: str = "Text") -> str:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _text(text))
    return (
        f'<pre tabindex="0" role="group" aria-label="{label}">{html.escape(visible(plain))}</pre>'
    )
