"""The section that says how fast it is, how sure that is, and against which baseline."""

from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import (
    Code,
    Column,
    Details,
    Facts,
    Figure,
    Heading,
    Items,
    Note,
    Paragraph,
    Section,
    Table,
    Text,
)
from goemo_utils.report.cards_section import timed
from goemo_utils.report.charts import Bar, Bars
from goemo_utils.report.measured import device_row, is_cpu
from goemo_utils.report.read import Run
from goemo_utils.report.sections import absent
from goemo_utils.report.verdict import device_name
from goemo_utils.report.words import Words

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")


def speed(run: Run, words: Words) -> Section:
    """Throughput with intervals, latency percentiles and the timing protocol; no speed of a
    simulated device.
    """
    results = run.of("04_throughput")
    if not results:
        return Section(
            "speed", words("s_speed"), [absent(run, words, "04_throughput")], measured=True
        )

    rows, up = results.get("rows") or [], results.get("speedup") or {}
    blocks: list[Any] = [Note(words("s_sim"))] if run.simulated else []
    if up.get("value") is not None:
        blocks.append(
            Paragraph(words("s_lead", baseline=up.get("baseline"), cores=up.get("cores")))
        )

    measured = [r for r in rows if r.get("median") is not None]
    if measured and not run.simulated:
        blocks.append(_figure(run, measured, up, words))

    latency = results.get("latency") or []
    blocks += [*_rate_blocks(rows, words), *timed(results, words), *_latency_blocks(latency, words)]
    if not rows and not latency and not run.simulated:
        blocks.append(Note(words("section_absent", reason=words("not_recorded"))))
    if up.get("value") is not None and up.get("reason"):
        blocks.append(Note(f"{words('s_speedup')}: {up['reason']}"))
    if up and up.get("value") is None and not run.simulated:
        blocks.append(Facts([(words("s_speedup"), words("absent", reason=up.get("reason")))]))

    for key, name in (("protocol", "s_protocol"), ("worker", "s_worker")):
        if results.get(key):
            blocks.append(
                Details(
                    words(name),
                    [Facts([(str(k), _plain(v, words)) for k, v in results[key].items()])],
                )
            )

    return Section("speed", words("s_speed"), blocks, measured=True)


def _rate_blocks(rows: list[dict[str, Any]], words: Words) -> list[Any]:
    """The rates, and folded below them what to mind about each: one line where all say the same."""
    if not rows:
        return []
    remarks = [f"{r['configuration']}: {r['note']}" for r in rows if r.get("note")]
    remarks += [
        f"{r['configuration']}: {words('absent', reason=r['reason'])}"
        for r in rows
        if r.get("median") is None and r.get("reason") not in (None, "simulated")
    ]
    blocks: list[Any] = [Heading(words("s_rates")), _rates(rows, words)]
    if remarks:
        blocks.append(Details(words("s_remarks", n=len(remarks)), [Items(list(remarks))]))
    return blocks


def _latency_blocks(rows: list[dict[str, Any]], words: Words) -> list[Any]:
    if not rows:
        return []
    told = [str(r["reason"]) for r in rows if r.get("reason") not in (None, "simulated")]
    reasons = [Paragraph(words("absent", reason=r), "small muted") for r in dict.fromkeys(told)]
    return [Heading(words("s_latency")), _latency(rows, words), *reasons]


def _spread(row: dict[str, Any]) -> tuple[float, float]:
    """The 95 % interval, or the quartiles where there were too few blocks for one."""
    low, high = row.get("ci95") or (row.get("q1"), row.get("q3"))
    return (row["median"] if low is None else low), (row["median"] if high is None else high)


def _bar(row: dict[str, Any], words: Words) -> Bar:
    batch = f"{words('s_batch')} {row['batch_size']}" if row.get("batch_size") else None
    told = (row.get("device"), row.get("dtype"), batch, f"n = {row.get('n')}")
    note = " · ".join(str(part) for part in told if part)
    low, high = _spread(row)
    median = float(row["median"])
    return Bar(str(row["configuration"]), note, median, float(low), float(high), not is_cpu(row))


def _figure(run: Run, rows: list[dict[str, Any]], up: dict[str, Any], words: Words) -> Figure:
    bars = [_bar(row, words) for row in rows]
    best = device_row(run)
    ours = next((b for b in bars if b.ours and b.value == best.get("median")), None)

    if ours and up.get("value") is not None:
        title = words(
            "s_title",
            rate=n.number(ours.value),
            device=device_name(run, words).strip(),
            speedup=n.number(up["value"]),
        )
    else:
        title = words("s_title_plain", n=len(bars)) if ours else words("s_title_cpu")

    description = words("sep").join(
        words("s_bar_desc", name=b.name, value=f"{n.number(b.value)} {n.interval(b.low, b.high)}")
        for b in bars
    )

    return Figure(title, words("s_cap"), Bars(bars, words("s_cfg"), words("s_rates"), description))


def _absent(row: dict[str, Any], words: Words) -> str:
    """The cell of an absent value; its reason stands in a line below the table."""
    return words("null_sim" if row.get("reason") == "simulated" else "s_not_reported")


def _rates(rows: list[dict[str, Any]], words: Words) -> Table:
    cells: list[list[Text]] = []
    for row in rows:
        head: list[Text] = [
            str(row["configuration"]),
            str(row.get("device") or "–"),
            str(row.get("dtype") or "–"),
            n.number(row["batch_size"]) if row.get("batch_size") else "–",
        ]
        if row.get("median") is None:
            cells.append([*head, _absent(row, words), "–", "–", "–", "–"])
        else:
            quartiles = n.interval(row["q1"], row["q3"]) if row.get("q1") is not None else "–"
            cells.append(
                [
                    *head,
                    n.number(row["median"]),
                    n.interval(*row["ci95"]) if row.get("ci95") else "–",
                    quartiles,
                    n.number(row["cold_seconds"]) if row.get("cold_seconds") else "–",
                    n.number(row["n"]) if row.get("n") else "–",
                ]
            )

    columns = [
        Column(words("s_config")),
        Column(words("w_device")),
        Column(words("f_dtype")),
        Column(words("s_batch"), True),
        Column(words("s_median"), True),
        Column(words("s_ci"), True),
        Column(words("s_iqr"), True),
        Column(words("s_cold"), True),
        Column("n", True),
    ]

    return Table(words("s_rates"), columns, cells, style="wide", measured=True)


def _latency(rows: list[dict[str, Any]], words: Words) -> Table:
    known = [p for p in PERCENTILES if any(p in r for r in rows)] or ["median"]
    cells: list[list[Text]] = []
    for row in rows:
        values = [
            n.number(float(row[p])) if isinstance(row.get(p), (int, float)) else _absent(row, words)
            for p in known
        ]
        cells.append(
            [
                str(row.get("configuration") or row.get("id")),
                n.number(row["n"]) if row.get("n") else "–",
                *values,
            ]
        )

    columns = [
        Column(words("s_config")),
        Column("n", True),
        *(Column(words("s_median") if p == "median" else p, True) for p in known),
    ]

    return Table(words("s_latency"), columns, cells, style="wide", measured=True)


def _plain(value: Any, words: Words) -> Text:
    """A value of the protocol as a reader would write it."""
    if value is None:
        return words("unknown")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return Code(str(value))
    return value if isinstance(value, str) else n.number(value)
