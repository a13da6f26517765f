"""Records → view model of the whole page: values and words, no HTML."""

from typing import Any

from goemo_utils import __version__
from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Page
from goemo_utils.report.gates import gate_table
from goemo_utils.report.parity_section import parity
from goemo_utils.report.provenance import provenance
from goemo_utils.report.read import ReportError, Run
from goemo_utils.report.sections import (
    again,
    environment,
    glossary,
    next_steps,
    not_checked,
    ported,
    unchecked,
    where,
)
from goemo_utils.report.speed_section import speed
from goemo_utils.report.verdict import device_name, key_figures, verdict
from goemo_utils.report.words import Words


def view(run: Run, summary: dict[str, Any], language: str = "en") -> Page:
    """Return the page of a run in ``language``; ``summary`` is what ``summarise`` made of the same
    run.

    Raises ReportError when a time in the manifest cannot be read or the language is unknown.
    """
    words = Words(language)
    told = verdict(run, words)
    sections = [
        next_steps(run, words),
        ported(run, words),
        where(run, words),
        parity(run, words),
        speed(run, words),
        environment(run, words),
        not_checked(run, words),
        provenance(
            run,
            words,
            sorted(p.with_suffix(".html").name for p in run.folder.glob("[0-9][0-9]_*.ipynb")),
        ),
        again(run, words),
        glossary(words),
    ]
    subject = str(run.model.get("id") or run.params.get("model") or words("unknown"))

    try:
        moment = n.moment(run.manifest["updated"])
    except ValueError:
        raise ReportError(
            f"manifest.json: updated is {run.manifest['updated']!r}, expected a time in ISO 8601:"
            " start the run again."
        ) from None

    mark = f"{words('simulated')}: " if run.simulated else ""

    return Page(
        language=words("lang"),
        title=f"{mark}{told.state.word} · {subject} · {device_name(run, words).strip()} · goemo",
        kind=words("report"),
        subject=subject,
        run_id=run.run_id,
        moment=moment,
        margin=" · ".join(
            [words("draft")] * ("draft" in summary) + [words("simulated")] * run.simulated
        )
        or {"fail": words("v_fail"), "incomplete": words("v_incomplete")}.get(
            summary["verdict"], ""
        ),
        simulated=run.simulated,
        verdict=told,
        keys=key_figures(run, words, summary),
        gates=gate_table(run, words),
        gates_absent=words("gates_none"),
        unchecked=_unchecked_line(run, words),
        sections=[s for s in sections if s is not None],
        foot=words("foot", version=__version__, n=len(run.records), schema=summary["schema"]),
        words=words,
        draft=summary.get("draft", ""),
    )


def _unchecked_line(run: Run, words: Words) -> str:
    if run.simulated:
        return words("nc_sim")
    rows = unchecked(run, words)
    if not rows:
        return words("nc_none")
    named = words("comma").join(what for what, _, _ in rows[:2])
    return (
        words("nc_one", first=rows[0][0])
        if len(rows) == 1
        else words("nc_line", n=len(rows), first=named)
    )
