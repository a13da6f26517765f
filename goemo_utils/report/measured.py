"""Which rows of the throughput step a headline may quote."""

from typing import Any

from goemo_utils.report.read import Run

Row = dict[str, Any]


def is_cpu(row: Row) -> bool:
    """Whether a row was measured on this machine's own CPU."""
    return str(row.get("device", "")).startswith("cpu")


def device_row(run: Run) -> Row:
    """The device's row that the speed-up speaks of, or its fastest; empty without any."""
    speed = run.of("04_throughput")
    return _pick(speed, (speed.get("speedup") or {}).get("id"), cpu=False)


def cpu_row(run: Run) -> Row:
    """The baseline that the speed-up names, or the fastest float32 row of the CPU; empty when none
    was measured.
    """
    speed = run.of("04_throughput")
    return _pick(speed, (speed.get("speedup") or {}).get("baseline_id"), cpu=True)


def latency_row(run: Run) -> Row:
    """The device's latencies; empty when they were not measured."""
    return next(
        (row for row in run.of("04_throughput").get("latency") or [] if not is_cpu(row)), {}
    )


def _pick(speed: dict[str, Any], named: str | None, cpu: bool) -> Row:
    rows = [row for row in speed.get("rows") or [] if is_cpu(row) is cpu]
    measured = [row for row in rows if row.get("median") is not None]
    chosen = next((row for row in measured if named and row.get("id") == named), None)
    fair = [row for row in measured if row.get("dtype") == "float32"] or measured
    return chosen or max(fair, key=lambda row: row["median"], default=rows[0] if rows else {})
