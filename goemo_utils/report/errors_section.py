"""How the errors are spread, from the median to the largest, and the grades that reviewers know."""

from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Column, Details, Figure, Note, Table, Text
from goemo_utils.report.charts import Quantile, Tail
from goemo_utils.report.words import Words

MEDIAN, LARGEST = 0.5, 1.0


def distribution(results: dict[str, Any], words: Words) -> list[Any]:
    """The figure of errors at their quantiles, its values, and the grades; a note where the record
    has none.
    """
    tail, grades = results.get("tail") or {}, results.get("grades") or {}
    blocks: list[Any] = []
    if tail.get("rows"):
        blocks += _figure(tail, words)
    else:
        reason = words("not_finite_tail") if tail else words("not_recorded")
        blocks.append(Note(words("section_absent", reason=reason)))

    return [*blocks, _grades(grades, words)] if grades else blocks


def grade_row(results: dict[str, Any], words: Words) -> list[Text] | None:
    """The tier, for the table of first figures; None where the record has none."""
    tier = (results.get("grades") or {}).get("tier")
    if tier is None:
        return None
    return [words("mn_grade"), words.known("tier_", str(tier)), words("mn_grade_p")]


def _figure(tail: dict[str, Any], words: Words) -> list[Any]:
    rows = tail["rows"]
    first, last = (n.ratio(float(row["ratio"])) for row in (rows[0], rows[-1]))
    heavier = bool(tail.get("heavier"))
    title = words("p_tail_heavier" if heavier else "p_tail_same", first=first, last=last)
    quantiles = [
        Quantile(
            _name(row["quantile"], words),
            float(row["candidate"]),
            float(row["reference"]),
            f"{n.ratio(float(row['ratio']))} ×",
        )
        for row in rows
    ]
    chart = Tail(
        quantiles, heavier, words("p_tail_error"), words("p_tail_ratio"), title, words("p_tail")
    )

    columns = [
        Column(words("p_tail_at")),
        *(Column(words(key), True) for key in ("p_tail_device", "p_tail_reference")),
        Column(words("p_tail_ratio"), True),
    ]
    cells: list[list[Text]] = [
        [q.name, n.number(q.candidate), n.number(q.reference), q.ratio] for q in quantiles
    ]
    table = Table(words("p_same_table"), columns, cells, measured=True)
    caption = words("p_tail_cap", n=n.number(tail["n"]))
    return [Figure(title, caption, chart), Details(words("p_same_table"), [table])]


def _name(quantile: float, words: Words) -> str:
    if quantile == MEDIAN:
        return words("q_median")
    if quantile == LARGEST:
        return words("q_largest")
    return n.percent(quantile, words.language)


def _grades(grades: dict[str, Any], words: Words) -> Table:
    """Each grade, its value and the limits that it is read from."""
    ratio = grades.get("ratio")
    shown = words("unknown") if ratio is None else n.number(float(ratio))
    rows: list[list[Text]] = [
        [
            words("gr_tier"),
            words.known("tier_", str(grades.get("tier"))),
            words("gr_tier_p", ratio=shown),
        ],
        [
            words("gr_aws"),
            words.known("aws_", str(grades.get("aws"))),
            words("gr_aws_p", ratio=shown),
        ],
    ]
    if mixed := grades.get("mixed_tolerance"):
        largest = mixed.get("largest")
        told = words(
            "gr_mixed_p",
            share=n.percent(float(mixed["share"]), words.language),
            largest=words("unknown") if largest is None else n.number(float(largest)),
        )
        kept = words("gr_kept" if mixed["passed"] else "gr_not_kept")
        rows.append([words("gr_mixed"), kept, told])

    columns = [Column(words("p_grade")), Column(words("value")), Column(words("meaning"))]
    return Table(words("p_grades"), columns, rows, caption=words("p_grades"), measured=True)
