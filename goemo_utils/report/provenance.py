"""The section that says exactly what ran: code, parameters, texts, versions, and the digest of
every record.
"""

import json
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import (
    Code,
    Column,
    Details,
    Facts,
    Paragraph,
    Section,
    State,
    Table,
    Text,
    join,
)
from goemo_utils.report.read import ReportError, Run
from goemo_utils.report.sections import STATUS_ICONS, digest
from goemo_utils.report.words import Words


def provenance(run: Run, words: Words, pages: list[str]) -> Section:
    """Provenance and the step records; ``pages`` are the notebook pages beside the report."""
    manifest, code = run.manifest, run.manifest.get("code") or {}
    revision: Text = Code(code["revision"][:12]) if code.get("revision") else words("unknown")
    kept = words("pr_dirty" if code.get("dirty") else "pr_clean")
    state = "" if code.get("dirty") is None else f" · {kept}"
    params = manifest.get("params_digest") or next(
        (r["params_digest"] for r in run.records.values()), None
    )
    candidate = (run.of("03_parity").get("packs") or {}).get("candidate") or {}
    texts: list[Any] = [Code(str(run.params.get("texts", "builtin")))]
    if candidate.get("texts_digest"):
        texts += [" · SHA-256 ", digest(candidate["texts_digest"])]

    versions = " · ".join(
        f"{name} {version}" for name, version in (manifest.get("versions") or {}).items() if version
    )
    platform = " · ".join(
        f"{key} {value}"
        for key, value in (manifest.get("platform") or {}).items()
        if value not in (None, "")
    )
    rows: list[tuple[str, Text]] = [
        (words("pr_run"), Code(run.run_id)),
        (words("pr_times"), f"{_moment('started', manifest)} – {_moment('updated', manifest)}"),
        (
            words("pr_code"),
            join(f"goemo {code.get('version') or words('unknown')} · ", revision, state),
        ),
        (
            words("pr_params"),
            join(
                Code(manifest.get("params_file") or words("pr_defaults")),
                f" · {words('pr_digest')} ",
                digest(params) if params else words("unknown"),
            ),
        ),
        (words("pr_texts"), join(*texts)),
        *_notebooks(code, words),
        (words("pr_seed"), str(run.params.get("seed", words("unknown")))),
        (words("pr_versions"), versions or words("unknown")),
        (words("pr_platform"), platform or words("unknown")),
    ]
    blocks: list[Any] = [
        Facts(rows),
        Details(words("pr_records"), [_records(run, words), Paragraph(words("pr_proves"))]),
        Details(words("pr_resolved"), [_params(run, words)]),
    ]

    if pages:
        blocks.append(
            Facts(
                [(words("pr_pages"), join(*[part for page in pages for part in (Code(page), " ")]))]
            )
        )

    return Section("provenance", words("s_prov"), blocks)


def _notebooks(code: dict[str, Any], words: Words) -> list[tuple[str, Text]]:
    """The folder of the notebooks, where they were not the package's own."""
    folder = code.get("notebooks")
    if not folder:
        return []
    return [(words("pr_notebooks"), join(Code(str(folder)), f" · {words('pr_not_shipped')}"))]


def _moment(field: str, manifest: dict[str, Any]) -> str:
    try:
        return n.moment(manifest[field], seconds=True)
    except ValueError:
        raise ReportError(
            f"manifest.json: {field} is {manifest[field]!r}, expected a time in ISO 8601: start the"
            " run again."
        ) from None


def _records(run: Run, words: Words) -> Table:
    rows: list[list[Text]] = []
    for state in run.states.values():
        word = words("st_sim" if state.status == "ok" and run.simulated else f"st_{state.status}")
        rows.append(
            [
                Code(state.step),
                State(STATUS_ICONS[state.status], word),
                n.duration(state.seconds) if state.seconds is not None else "–",
                state.reason or "–",
                digest(state.sha256) if state.sha256 else words("pr_no_record"),
            ]
        )

    columns = [
        Column(words("pr_step")),
        Column(words("pr_status")),
        Column(words("pr_took"), True),
        Column(words("pr_why")),
        Column("SHA-256"),
    ]

    return Table(words("pr_records"), columns, rows, style="wide")


def _params(run: Run, words: Words) -> Table:
    rows: list[list[Text]] = [
        [Code(key), Code(json.dumps(value, ensure_ascii=False))]
        for key, value in run.params.items()
    ]
    return Table(words("pr_resolved"), [Column(words("pr_name")), Column(words("value"))], rows)
