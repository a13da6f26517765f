"""View model → one HTML file that executes nothing and loads nothing."""

import base64
import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from goemo_utils.boundary.terminal import visible as visible
from goemo_utils.records.record import write_text
from goemo_utils.report.blocks import Page
from goemo_utils.report.figures import draw

TEMPLATES = Path(__file__).with_name("templates")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def _show(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(markup: str, whole: int = 0) -> Markup:
    """A name such as ``encoder.layer.1.output`` or ``rmse_to_gold`` may break after a dot or an
    underscore inside it, and nowhere else; names of at most ``whole`` characters stay whole.
    """
    safe = markup if isinstance(markup, Markup) else escape(visible(markup))

    def broken(name: re.Match[str]) -> str:
        if len(name[0]) <= whole:
            return name[0]
        return re.sub(r"([_.])(?=[A-Za-z])", r"\1<wbr>", name[0])

    return Markup(re.sub(r"[\w.]+(?=[^<>]*(?:<|$))", broken, str(safe)))


def stylesheet(page: Page) -> str:
    """The style sheet, with the margins of the printed page. CSS is not HTML: only a plain run id
    may enter it.
    """
    run = page.run_id if RUN_ID.fullmatch(page.run_id) else ""
    margin = re.sub(r'["\\\n<]', "", page.margin)
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return (
        css
        + f'\n@page {{ size: A4; margin: 16mm 14mm 18mm; @top-left {{ content: "goemo {run}"; }}'
        f' @top-right {{ content: "{margin}"; }} @bottom-right {{ content: counter(page) " / "'
        " counter(pages); } }\n"
    )


def content_security_policy(css: str) -> str:
    """The policy: nothing may load or run; only this style sheet, named by its digest, applies."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )


def html(page: Page) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show,
    )
    environment.filters["breakable"] = breakable
    css = stylesheet(page)
    counter = itertools.count(1)
    environment.globals.update(
        page=page,
        words=page.words,
        css=Markup(css),
        csp=Markup(content_security_policy(css)),
        draw=lambda chart: draw(chart, f"f{next(counter)}"),
    )

    return environment.get_template("report.html.j2").render().lstrip()


def write(path: Path, text: str) -> None:
    """Replace the page in one step."""
    write_text(path, text)
