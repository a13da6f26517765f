"""Small tables that the notebooks show: pandas frames whose every cell is readable as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

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


def facts(values: Mapping[str, Any], title: str = "value") -> pd.DataFrame:
    """One row a fact."""
    return pd.DataFrame(
        {
            title: {
                name: ", ".join(map(str, v)) if isinstance(v, (list, tuple)) else number(v)
                for name, v in values.items()
            }
        }
    )


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
    """Median rates with their quartiles and intervals; a rate that is not reported says why."""

    def cell(row: Mapping[str, Any], key: str) -> str:
        return (
            number(row.get(key))
            if row.get(key) is not None
            else f"– ({row.get('reason') or 'absent'})"
        )

    return pd.DataFrame(
        [
            {
                "configuration": r["configuration"],
                "batch size": r["batch_size"],
                "n": r["n"],
                f"median ({r['unit']})": cell(r, "median"),
                "quartiles": (
                    f"{number(r['q1'])} – {number(r['q3'])}" if r.get("median") is not None else "–"
                ),
                "95 % interval": " – ".join(map(number, r["ci95"])) if r.get("ci95") else "–",
            }
            for r in rows
        ]
    )
