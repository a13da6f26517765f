"""Say what changed between two runs and what moved: versions, parameters, weights; gates, metrics,
rates.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from goemo_utils.boundary.terminal import json_text, visible
from goemo_utils.records.record import write_json
from goemo_utils.records.verify import alterations
from goemo_utils.report import numbers as n
from goemo_utils.report.checks import check
from goemo_utils.report.diff_page import page_of
from goemo_utils.report.diff_words import gate_text, judged, rate, sentence, short, value
from goemo_utils.report.gates import gate_name, gates
from goemo_utils.report.intervals import flip_rate, moved, with_interval
from goemo_utils.report.locate import add_root, find_run
from goemo_utils.report.page import html, write
from goemo_utils.report.read import Run, read_run
from goemo_utils.report.verdict import overall
from goemo_utils.report.words import LANGUAGES, Words

SCHEMA = "goemo.diff/1"
# A gate that could not be judged is worse than one that was met and better than one that failed.
RANK = {"pass": 0, "explained": 1, "cannot tell": 2, "not run": 2, "fail": 3}
VERDICT_RANK = {"pass": 0, "pass-with-cause": 1, "incomplete": 2, "fail": 3}
NOT_COMPARED = ("run_id", "output_root")


def compare(before: Run, after: Run) -> dict[str, Any]:
    """Compare two runs; ``worse`` names the gates (and ``verdict``) that got worse from ``before``
    to ``after``.

    Raises ReportError when the records of either run hold a blank or a contradiction.
    """
    check(before)
    check(after)
    compared = _gates(before, after)
    worse = [gate["id"] for gate in compared if gate["change"] == "worse"]
    if VERDICT_RANK[overall(after)] > VERDICT_RANK[overall(before)]:
        worse.append("verdict")

    return {
        "schema": SCHEMA,
        "runs": [
            {
                "run_id": run.run_id,
                "started": run.manifest["started"],
                "simulated": run.simulated,
                "verdict": overall(run),
            }
            for run in (before, after)
        ],
        "changed": _changed(before, after),
        "gates": compared,
        "metrics": _metrics(before, after),
        "rates": _rates(before, after),
        "worse": worse,
        "altered": {run.run_id: alterations(run.folder) for run in (before, after)},
    }


def _facts(run: Run) -> dict[tuple[str, str], Any]:
    """Everything that may explain a difference, by (kind, name)."""
    code, model = run.manifest.get("code") or {}, run.model
    facts = {("code", key): code.get(key) for key in ("version", "revision", "dirty")}
    facts |= {
        ("params", key): value for key, value in run.params.items() if key not in NOT_COMPARED
    }
    facts |= {
        ("versions", key): value for key, value in (run.manifest.get("versions") or {}).items()
    }
    facts |= {
        ("platform", key): value for key, value in (run.manifest.get("platform") or {}).items()
    }
    facts |= {
        ("device", key): run.device.get(key)
        for key in ("name", "kind", "numerics", "fault", "cpu_capability", "threads")
    }
    facts |= {
        ("weights", key): model.get(key)
        for key in (
            "id",
            "revision",
            "weights_sha256",
            "tokenizer_sha256",
            "config_sha256",
            "thresholds",
        )
    }
    candidate = (run.of("03_parity").get("packs") or {}).get("candidate") or {}
    facts |= {("texts", key): candidate.get(key) for key in ("texts_digest", "n_texts")}

    return facts


def _changed(before: Run, after: Run) -> list[dict[str, Any]]:
    a, b = _facts(before), _facts(after)
    return [
        {"kind": kind, "what": what, "before": a.get((kind, what)), "after": b.get((kind, what))}
        for kind, what in dict.fromkeys([*a, *b])
        if a.get((kind, what)) != b.get((kind, what))
    ]


def _rank(gate: dict[str, Any] | None, run: Run) -> int:
    if gate is None:
        return RANK["not run"]
    if (
        gate["id"] == "cause"
        and gate["result"] == "not run"
        and any(g["id"] == "rounding" and g["result"] == "pass" for g in gates(run))
    ):
        return RANK["pass"]  # nothing to explain
    return RANK.get(gate["result"], RANK["not run"])


def _gates(before: Run, after: Run) -> list[dict[str, Any]]:
    a, b = ({gate["id"]: gate for gate in gates(run)} for run in (before, after))
    rows = []
    for name in dict.fromkeys([*a, *b]):
        old, new = a.get(name), b.get(name)
        step = _rank(new, after) - _rank(old, before)
        keep = ("result", "value", "limit", "n", "interval")
        direction = "worse" if step > 0 else "better"
        rows.append(
            {
                "id": name,
                "before": old and {k: old[k] for k in keep if k in old},
                "after": new and {k: new[k] for k in keep if k in new},
                "change": direction if step else "same",
            }
        )

    return rows


def _metrics(before: Run, after: Run) -> list[dict[str, Any]]:
    a, b = (
        {
            m["id"]: with_interval(m)
            for m in (*(run.of("03_parity").get("metrics") or []), *flip_rate(run.of("03_parity")))
        }
        for run in (before, after)
    )
    rows = []
    for name in dict.fromkeys([*a, *b]):
        old, new = a.get(name, {}), b.get(name, {})
        other_formula = old and new and _shape(old.get("formula")) != _shape(new.get("formula"))
        if (
            old.get("value") == new.get("value")
            and old.get("interval") == new.get("interval")
            and not other_formula
        ):
            continue
        row = {
            "id": name,
            "unit": new.get("unit") or old.get("unit"),
            "before": old.get("value"),
            "after": new.get("value"),
            "factor": None,
        }
        row["moved"] = moved(
            old.get("interval") or old.get("ci95"), new.get("interval") or new.get("ci95")
        )
        row |= {
            key: value
            for key, value in (
                ("before_interval", old.get("interval") or old.get("ci95")),
                ("after_interval", new.get("interval") or new.get("ci95")),
            )
            if value
        }
        if (
            all(
                isinstance(v, (int, float)) and not isinstance(v, bool)
                for v in (row["before"], row["after"])
            )
            and row["before"]
        ):
            row["factor"] = row["after"] / row["before"]
        if other_formula:
            row["note"] = "the formula changed: the values do not compare"
        rows.append(row)

    return rows


def _shape(formula: Any) -> str:
    """A formula without its numbers: an envelope that belongs to the run is no other formula."""
    return re.sub(r"\d[\d.e+-]*", "#", str(formula))


def _rates(before: Run, after: Run) -> list[dict[str, Any]]:
    """Rates with their 95 % intervals; a rate moved only when the intervals do not overlap."""
    a, b = (
        {
            (r.get("id"), r.get("dtype"), r.get("batch_size")): r
            for r in run.of("04_throughput").get("rows") or []
        }
        for run in (before, after)
    )
    rows = []
    for key in dict.fromkeys([*a, *b]):
        old, new = a.get(key, {}), b.get(key, {})
        row = {
            "configuration": (new or old)["configuration"],
            "before": old.get("median"),
            "before_ci95": old.get("ci95"),
            "after": new.get("median"),
            "after_ci95": new.get("ci95"),
            "moved": None,
        }
        row["moved"] = moved(old.get("ci95"), new.get("ci95"))
        row["reason"] = new.get("reason") if row["after"] is None else None
        if row["before"] is None:
            row["reason"] = old.get("reason")
        rows.append(row)

    return rows


def text(result: dict[str, Any], words: Words) -> str:
    """The comparison as lines for a terminal."""
    first, second = result["runs"]
    lines = [f"{_named(first, words)}  →  {_named(second, words)}", "", words("d_changed") + ":"]
    lines += [
        f"  {row['kind']}.{row['what']}: {short(row['before'])} → {short(row['after'])}"
        for row in result["changed"]
    ] or ["  " + words("d_nothing")]
    lines += ["", words("gates") + ":"]

    for row in result["gates"]:
        lines.append(
            f"  {words('d_' + row['change']):8s} {gate_name(row['id'], words):20s}"
            f" {gate_text(result, row, 'before', words)} → {gate_text(result, row, 'after', words)}"
        )

    lines += ["", words("p_metrics") + ":"]
    lines += [
        f"  {row['id']}: {value(row, 'before', words)} → {value(row, 'after', words)}"
        + (f"  (× {n.ratio(float(row['factor']))})" if row["factor"] is not None else "")
        + (f"  {words(judged(row))}" if row["moved"] is not None else "")
        for row in result["metrics"]
    ] or ["  " + words("d_nothing")]
    lines += ["", words("s_rates") + ":"]
    lines += [
        f"  {row['configuration']}: {rate(row, 'before', words)} → {rate(row, 'after', words)} "
        f" {words(judged(row))}"
        for row in result["rates"]
    ] or ["  " + words("d_nothing")]

    for run_id, altered in result["altered"].items():
        lines += ["", *(f"{run_id}: {said}." for said in altered)] if altered else []

    lines += ["", sentence(result, words)]

    return "\n".join(visible(line) for line in lines)


def _named(run: dict[str, Any], words: Words) -> str:
    return (
        f"{run['run_id']} ({run['verdict']}{', ' + words('simulated') if run['simulated'] else ''})"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``goemo diff``."""
    parser.add_argument("before", help="a run's folder or name")
    parser.add_argument("after", help="a run's folder or name; latest is the newest")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the comparison as JSON, to the screen without FILE",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page")
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``goemo diff``: 0 when no gate got worse, 1 when one did."""
    words = Words(args.language)
    before, after = (read_run(find_run(name, args.outputs)) for name in (args.before, args.after))
    result = compare(before, after)
    if args.json == "-":
        print(json_text(result))
    else:
        print(text(result, words))
    if args.json and args.json != "-":
        write_json(Path(args.json), result)
    if args.html:
        write(args.html, html(page_of(result, words, after.manifest["updated"])))
    return 1 if result["worse"] else 0
