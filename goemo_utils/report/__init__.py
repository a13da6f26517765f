"""Records of a run → one page a reviewer can trust, a summary for programs, and the executed
notebooks as pages.

Every figure shown is read from a record. The room knows nothing of torch and computes no answer.
"""

from pathlib import Path

from goemo_utils.report.read import ReportError

__all__ = ["ReportError", "render"]


def render(run_dir: Path, language: str = "en") -> dict[str, str]:
    """Write ``report.html``, ``summary.json`` and the notebook pages of a run, and return their
    names.

    Everything shown is read from ``manifest.json`` and the step records in ``run_dir``. Steps that
    are missing, failed or were never run are shown as such; a blank, a placeholder or a
    contradiction in the records raises ReportError and writes nothing. ``language`` is "en" or
    "zh". Each file is replaced in one step, so a reader sees the old page or the new one.
    """
    from goemo_utils.report import notebooks, page, read, summary, view

    run_dir = Path(run_dir)
    run = read.read_run(run_dir)
    summarised = summary.summarise(run)
    rendered = page.html(view.view(run, summarised, language))
    notebooks.write_pages(run_dir, language)
    summary.write(run_dir / "summary.json", summarised)
    page.write(run_dir / "report.html", rendered)
    return {"report": "report.html", "summary": "summary.json"}
