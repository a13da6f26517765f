"""Small tables that the notebooks show: pandas frames whose every cell is readable as it stands."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from goemo_utils.params.reads import recorded

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack
    from goemo_utils.records.step import Step

pd.set_option("display.max_colwidth", None)


def number(value: Any) -> str:
    """A value for a reader: two or three significant digits, an absent one as a dash, words as they
    are.
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:.2e}" if abs(value) < 1e-3 or abs(value) >= 1e6 else f"{value:.4g}"


def short(row: Mapping[str, Any]) -> str:
    """A way of running the model by a name that fits beside a bar: what runs it, in what precision,
    in what batches, and where if not on the CPU.
    """
    kind = str(row["id"]).partition("-")[0]
    name = {"pipeline": "pipeline", "classifier": "goemo", "onnx": "ONNX Runtime"}.get(
        kind, "eager"
    )
    batch = f", batch {row['batch_size']}" if row.get("batch_size") else ""
    where = "" if row["device"] == "cpu" else f", {row['device']}"
    return f"{name} {row['dtype']}{batch}{where}"


def facts(values: Mapping[str, Any], title: str = "value", keys: str = "") -> pd.DataFrame:
    """One row a fact; where ``keys`` names some, with spaces between them, only those."""
    chosen = {key: values.get(key) for key in keys.split()} if keys else values
    return pd.DataFrame({title: {key: _listed(value) for key, value in chosen.items()}})


def _listed(value: Any) -> str:
    """A list as its items with commas, anything else as ``number`` shows it."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else number(value)


def packs(rows: Sequence[Pack]) -> pd.DataFrame:
    """The forward runs that are compared: where each ran, in what precision, and for how long."""
    shown = {
        pack.manifest["role"]: {
            "where": pack.manifest["device"]["name"],
            "precision": pack.manifest["dtype"],
            "seconds": number(pack.manifest["seconds"]),
        }
        for pack in rows
    }
    return pd.DataFrame(shown).T


def findings(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The doctor's findings, most important first."""
    return pd.DataFrame(
        [
            {
                "level": r["severity"],
                "finding": r["title"],
                "evidence": r["evidence"],
                "remedy": r["remedy"],
            }
            for r in rows
        ]
    )


def metrics(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Metrics with their formula, unit and n."""
    shown = [
        {
            "metric": r["id"],
            "value": (
                number(r["value"]) if r["value"] is not None else f"– ({r.get('reason', 'absent')})"
            ),
            "unit": r["unit"],
            "n": number(r["n"]),
            "formula": r["formula"],
        }
        for r in rows
    ]

    return pd.DataFrame(shown).set_index("metric")


def states(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every state by the same measures against gold, with the tolerance it would have needed and
    its grade.
    """
    names = {
        "R": "R",
        "rmse": "RMSE",
        "mae": "MAE",
        "max": "max",
        "mean_relative": "mean relative",
        "cosine": "cosine",
        "required_tolerance": "needed tol",
        "grade": "grade",
    }

    return pd.DataFrame(
        [
            {
                "state": r["state"],
                "n": number(r["n"]),
                **{title: number(r[key]) for key, title in names.items()},
            }
            for r in rows
        ]
    ).set_index("state")


def gates(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Gates in order, each with its value, its limit and what it means."""
    return pd.DataFrame(
        [
            {
                "gate": g["id"],
                "result": g["result"],
                "value": number(g["value"]),
                "limit": number(g["limit"]),
                "meaning": g["meaning"],
            }
            for g in rows
        ]
    ).set_index("gate")


def remedies(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame | str:
    """Remedies of the causes named, and for one that was applied its effect: ``R 130 → 1.2``."""

    def effect(row: Mapping[str, Any]) -> str:
        if "before" not in row:
            return str(row.get("expect") or "")
        return ", ".join(
            f"{name} {number(value)} → {number(row['after'].get(name))}"
            for name, value in row["before"].items()
        )

    if not rows:
        return "No cause was named, so there is nothing to remedy."
    return pd.DataFrame(
        [{"cause": r["cause"], "remedy": r["title"], "effect": effect(r)} for r in rows]
    )


def smoke(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Sentences and the labels they got; for a model without a head, the size of their states."""
    if rows and "rms" in rows[0]:
        return pd.DataFrame(
            [
                {
                    "text": r["text"],
                    "RMS of the last state": number(r["rms"]),
                    "most like": r["most_like"],
                }
                for r in rows
            ]
        )

    return pd.DataFrame(
        [
            {
                "text": r["text"],
                "labels above the threshold": (
                    ", ".join(f"{label} {p:.2f}" for label, p in r["labels"]) or "none"
                ),
                "highest": f"{r['top']} {r['top_probability']:.2f}",
            }
            for r in rows
        ]
    )


def throughput(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Median rates with their quartiles and intervals, and what the first call cost; a rate that is
    not reported says why.
    """
    return pd.DataFrame([_rate(row) for row in rows]).set_index("way")


def _rate(row: Mapping[str, Any]) -> dict[str, Any]:
    absent = f"– ({row.get('reason') or 'absent'})"
    measured = row.get("median") is not None
    interval = row.get("ci95")
    return {
        "way": short(row),
        "n": row["n"],
        row["unit"]: number(row["median"]) if measured else absent,
        "quartiles": f"{number(row['q1'])} – {number(row['q3'])}" if measured else "–",
        "95 % interval": " – ".join(map(number, interval)) if interval else "–",
        "first call (s)": number(row.get("cold_seconds")),
        "warm-up calls": number((row.get("warm_up") or {}).get("n")),
    }


def cards(told: Mapping[str, Any] | None) -> pd.DataFrame | str:
    """Every card with what it answered: how far from gold, how far from the other cards, and a
    letter that cards with the same bits share.
    """
    if not told:
        return "One card was asked for: there is no other beside it."
    rows = [
        {
            "card": row["name"],
            "result": "sick" if row["sick"] else row["verdict"],
            "R": number(row["R"]),
            "from the others": number(row["apart"]),
            "bits": row["bits"] or "–",
            "texts changed": number(row["texts_changed"]),
            "what is wrong": row["reason"] or ", ".join(row["gates_failed"]) or "–",
        }
        for row in told["rows"]
    ]
    return pd.DataFrame(rows).set_index("card")


def card_rates(told: Mapping[str, Any] | None) -> pd.DataFrame | str:
    """The rate of each card alone; a rate that is not reported says why."""
    if not told:
        return "One card was asked for: there is no other beside it."
    rows = [
        {
            "card": row["name"],
            "n": number(row["n"]),
            "texts/s": number(row["median"])
            if row["median"] is not None
            else f"– ({row['reason'] or 'absent'})",
        }
        for row in told["rows"]
    ]
    return pd.DataFrame(rows).set_index("card")


def latency(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Milliseconds for one text at a time; a percentile for which there were too few calls is a
    dash.
    """
    shown = [
        {"way": short(row), "calls": number(row["n"])}
        | {name: number(row.get(name)) for name in ("p50", "p90", "p99")}
        | {"note": row.get("reason") or ""}
        for row in rows
    ]
    return pd.DataFrame(shown).set_index("way") if shown else pd.DataFrame()


def parameters(step: Step) -> pd.DataFrame | str:
    """The parameters that differ from their defaults in this step, and where each comes from: this
    notebook, or the record of an earlier one.
    """
    fields = type(step.params).model_fields
    rows = {
        key: {"value": number(value), "from": step.origin.get(key, "set here")}
        for key, value in recorded(step.params, step.name).items()
        if value != fields[key].default
    }
    if not rows:
        return "Every parameter has its default."
    return pd.DataFrame(rows).T


def headline(result: Mapping[str, Any]) -> pd.DataFrame:
    """The five figures to look at before all others."""
    values = {row["id"]: row["value"] for row in result["metrics"]}
    flips = result["flips"].get("count")

    return facts(
        {
            "R, the error beside the CPU's own": values.get("R"),
            "largest difference of an output": values.get("max_abs_diff"),
            "texts with the same highest label": values.get("top1_match"),
            "decisions that changed": "–"
            if flips is None
            else f"{flips} of {result['n_decisions']}",
            "cause": ", ".join(result["causes"]) or "none",
        }
    )


def folded(title: str, frame: pd.DataFrame) -> Any:
    """A table that opens on a click."""
    from IPython.display import HTML

    words = f"<details><summary>{html.escape(title)}</summary>{frame.to_html()}</details>"
    return HTML(words)  # type: ignore[no-untyped-call]  # IPython has no types here
