"""The section that says whether it is the same answer, and if not, why and where."""

import math
from typing import Any

from goemo_utils.records.finite import finite_or_none
from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import (
    Code,
    Column,
    Details,
    Figure,
    Heading,
    Items,
    Note,
    Paragraph,
    Pre,
    Quote,
    Section,
    State,
    Table,
    Text,
)
from goemo_utils.report.cards_section import judged
from goemo_utils.report.charts import Growth, Ladder, Margins, Rung
from goemo_utils.report.errors_section import distribution, grade_row
from goemo_utils.report.heat import where_it_enters
from goemo_utils.report.named import wrong
from goemo_utils.report.read import Run
from goemo_utils.report.sections import absent
from goemo_utils.report.words import Words

HEADLINE = ("R", "max_abs_diff", "top1_match", "match_within_1_percent", "cosine_similarity")


def parity(run: Run, words: Words) -> Section:
    """Metrics, the named cause and its remedy, where the error enters, and the decisions near the
    threshold.
    """
    results = run.of("03_parity")
    if not results:
        return Section(
            "parity", words("s_parity"), [absent(run, words, "03_parity")], measured=True
        )

    blocks: list[Any] = [
        Paragraph(_lead(run, words)),
        *judged(results, words),
        Heading(words("p_headline")),
        _headline(results, words),
        Details(
            words("p_metrics_all", n=len(results.get("metrics") or [])),
            [_metrics(results, words), Paragraph(words("p_symbols"), "small muted")],
        ),
    ]
    blocks.append(Details(words("p_why_ratio"), [Paragraph(words("p_why_ratio_p"))]))
    blocks += [Heading(words("p_cause")), *_cause(results, words)]
    blocks += wrong(results, words)
    blocks += _remedies(results, words)
    blocks += [Heading(words("p_heat")), *where_it_enters(results, words)]
    blocks += [Heading(words("p_layers")), *_layers(results, words)]
    blocks += [Heading(words("p_tail")), *distribution(results, words)]
    blocks += [Heading(words("p_flips")), *_flips(results, words)]

    return Section("parity", words("s_parity"), blocks, measured=True)


def _missing(words: Words, reason: str | None = None) -> Note:
    return Note(words("section_absent", reason=reason or words("not_recorded")))


def _lead(run: Run, words: Words) -> str:
    results = run.of("03_parity")
    reference = (results.get("packs") or {}).get("reference") or {}
    where = (reference.get("device") or {}).get("name") or "CPU"
    named = f"{where} {reference.get('dtype') or ''}".strip()
    threshold = results.get("threshold")

    if results.get("quantity") == "hidden states" or not results.get("n_labels"):
        text = words(
            "p_lead_encoder",
            n=n.number(results["n_texts"]),
            tokens=n.number(results.get("n_tokens") or 0),
            reference=named,
        )
    else:
        shown = n.limit(threshold) if isinstance(threshold, (int, float)) else words("unknown")
        if isinstance(threshold, list):
            shown = words(
                "several",
                k=n.number(len(threshold)),
                low=n.number(min(threshold)),
                high=n.number(max(threshold)),
            )
        text = words(
            "p_lead",
            n=n.number(results["n_texts"]),
            labels=n.number(results["n_labels"]),
            threshold=shown,
            reference=named,
        )

    return f"{text} {words('p_lead_sim')}" if run.simulated else text


def metric_value(metric: dict[str, Any], words: Words) -> str:
    """Write a metric's value, or why there is none."""
    value = metric.get("value")
    if value is None:
        return (
            words("null_sim")
            if metric.get("reason") == "simulated"
            else words("absent", reason=metric.get("reason"))
        )
    if isinstance(value, (str, bool)):
        return str(value).lower() if isinstance(value, bool) else value
    if metric["id"] == "cosine_similarity":
        return metric_number("cosine", float(value))
    if metric.get("unit") == "share":
        return n.percent(float(value), words.language)

    return n.ratio(float(value)) if metric["id"] in ("R", "R_max") else n.number(value)


def _headline(results: dict[str, Any], words: Words) -> Table:
    """The few metrics to look at first, by their names and not by their formulas."""
    values = {m["id"]: m for m in results.get("metrics") or []}
    rows: list[list[Text]] = [
        [words(f"mn_{key}"), metric_value(values[key], words), words(f"mn_{key}_p")]
        for key in HEADLINE
        if key in values
    ]
    graded = grade_row(results, words)
    if graded:
        rows.insert(1, graded)
    columns = [Column(words("metric")), Column(words("value"), True), Column(words("meaning"))]
    return Table(words("p_headline"), columns, rows, measured=True)


def _metrics(results: dict[str, Any], words: Words) -> Table:
    rows: list[list[Text]] = [
        [
            m["id"],
            metric_value(m, words),
            m.get("unit") or "–",
            n.number(m["n"]) if m.get("n") else "–",
            Code(m.get("formula") or "–"),
        ]
        for m in results.get("metrics") or []
    ]
    columns = [
        Column(words("metric")),
        Column(words("value"), True),
        Column(words("unit")),
        Column("n", True),
        Column(words("formula")),
    ]

    return Table(words("p_metrics"), columns, rows, style="wide", measured=True)


def _cause(results: dict[str, Any], words: Words) -> list[Any]:
    rounding: dict[str, Any] = next(
        (g for g in results.get("gates") or [] if g["id"] == "rounding"), {}
    )
    causes = results.get("causes") or []
    if causes and causes != ["unexplained"]:
        lead = words("p_cause_some", causes=words("comma").join(causes))
    else:
        lead = words("p_cause_rounding" if rounding.get("result") == "pass" else "p_cause_unknown")

    blocks: list[Any] = [Paragraph(lead)]
    rungs = [r for r in results.get("ladder") or [] if isinstance(r.get("rmse"), (int, float))]
    if not rungs:
        return [*blocks, _missing(words)] if rounding.get("result") != "pass" else blocks

    rungs.sort(key=lambda r: r["rmse"])
    title = words("p_ladder_title", rung=rungs[0]["rung"], n=len(rungs))
    chart = Ladder(
        [
            Rung(str(r["rung"]), float(r["rmse"]), r.get("share"), i == 0)
            for i, r in enumerate(rungs)
        ],
        words("p_ladder_rung"),
        words("p_ladder_share"),
        words("p_none"),
        words("p_cause"),
        "; ".join(f"{r['rung']}: {n.number(float(r['rmse']))}" for r in rungs),
        words.language,
    )

    return [*blocks, Figure(title, words("p_ladder_cap"), chart)]


def _remedies(results: dict[str, Any], words: Words) -> list[Any]:
    """Remedies may be sentences, or objects with a text, code, and values before and after."""
    blocks: list[Any] = []
    for item in results.get("remedies") or []:
        if isinstance(item, str):
            blocks.append(Items([item]))
            continue
        told = [
            str(item[key]).rstrip(".") + "." for key in ("title", "text", "expect") if item.get(key)
        ]
        if told:
            blocks.append(Paragraph(" ".join(told)))
        if item.get("parameter"):
            options = " ".join(f"-p {key} {value}" for key, value in item["parameter"].items())
            blocks.append(Paragraph(Code(options)))
        if item.get("code"):
            blocks.append(Pre(words("p_remedy"), str(item["code"])))
        if item.get("source"):
            blocks.append(Paragraph(words("p_source", source=item["source"]), "small muted"))
        if item.get("before") and item.get("after"):
            rows: list[list[Text]] = [
                [
                    key,
                    metric_value({"id": key, "value": before}, words),
                    metric_value(
                        {
                            "id": key,
                            "value": item["after"].get(key),
                            "reason": words("not_recorded"),
                        },
                        words,
                    ),
                ]
                for key, before in item["before"].items()
            ]
            blocks.append(
                Table(
                    words("p_remedy_before"),
                    [
                        Column(words("metric")),
                        Column(words("p_before"), True),
                        Column(words("p_after"), True),
                    ],
                    rows,
                    measured=True,
                )
            )

    return [Heading(words("p_remedy")), *blocks] if blocks else []


def _layers(results: dict[str, Any], words: Words) -> list[Any]:
    states = [
        (str(row["layer"]), finite_or_none(row.get("R"))) for row in results.get("layers") or []
    ]
    if not states:
        return [_missing(words)]
    limit = float((results.get("limits") or {}).get("state_ratio") or 3.0)
    known = [(name, math.inf if r is None else r) for name, r in states]
    title = words(
        "p_layers_title", first=_or_nan(states[0][1], n.ratio), last=_or_nan(states[-1][1], n.ratio)
    )
    chart = Growth(known, limit, words("p_layer"), words("p_not_finite"), words("p_layers"), title)
    return [
        Figure(title, words("p_layers_cap", limit=n.limit(limit)), chart),
        *_states(results, words),
    ]


def _states(results: dict[str, Any], words: Words) -> list[Any]:
    """Logits, probabilities and every hidden state by the same measures, folded away."""
    keys = (
        "R",
        "rmse",
        "mae",
        "max",
        "mean_relative",
        "max_relative",
        "cosine",
        "required_tolerance",
    )
    rows: list[list[Text]] = [
        [
            Code(row["state"]),
            n.number(row["n"]),
            *(_measure(key, row.get(key)) for key in keys),
            str(row.get("grade")),
        ]
        for row in results.get("states") or []
    ]
    columns = [
        Column(words("p_state")),
        *(
            Column(name, True)
            for name in ("n", "R", "RMSE", "MAE", "max", "mean rel.", "max rel.", "cosine", "tol")
        ),
        Column(words("p_grade")),
    ]

    return (
        [
            Details(
                words("p_states"),
                [
                    Paragraph(words("p_states_cap"), "small muted"),
                    Table(words("p_states"), columns, rows, style="wide", measured=True),
                ],
            )
        ]
        if rows
        else []
    )


def _measure(key: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "–" if value is None else n.told_ratio(value)
    return n.ratio(float(value)) if key == "R" else metric_number(key, float(value))


def metric_number(key: str, value: float) -> str:
    """A measure; a cosine by how far it is from 1."""
    if key != "cosine":
        return n.number(value)
    return "1" if value == 1 else f"1 − {n.number(1 - value)}"


def _flips(results: dict[str, Any], words: Words) -> list[Any]:
    flips, worst = results.get("flips") or {}, results.get("worst") or []
    if flips.get("count") is None:
        return [_missing(words, flips.get("reason"))]

    values = {
        "flips": n.number(flips["count"]),
        "n": n.number(results.get("n_decisions") or 0),
        "texts": n.number(flips["texts"]),
        "explained": n.number(flips["explained"]),
        "unexplained": n.number(flips["unexplained"]),
    }
    blocks: list[Any] = [Paragraph(words("p_flips_lead", **values))]
    if ties := flips.get("ties"):
        blocks.append(
            Paragraph(
                words(
                    "p_flips_ties",
                    labels=n.number(ties["labels"]),
                    changed=n.number(ties["changed"]),
                    unexplained=n.number(ties["unexplained"]),
                ),
                "small muted",
            )
        )

    changed = [w for w in worst if not w.get("same") and _positive(w)]
    spots = {
        kind: [(w["margin"], abs(w["dz"])) for w in changed if bool(w.get("explained")) is kind]
        for kind in (True, False)
    }
    taken = set(spots[True]) | set(spots[False])
    points = [(float(m), float(e)) for m, e in results.get("near") or [] if (m, e) not in taken]

    if points or changed:
        could = sum(e >= m for m, e in points)
        bound = flips.get("bound")
        if flips["count"]:
            title = words("p_near_flipped", flips=values["flips"])
        elif could:
            title = words("p_near_some", k=could, n=len(points))
        else:
            title = words("p_near_none")
        caption = words("p_near_cap", n=len(points)) + (
            " " + words("p_near_envelope", bound=n.number(float(bound))) if bound else ""
        )
        chart = Margins(
            points,
            spots[True],
            spots[False],
            bound,
            words("p_x"),
            words("p_y"),
            words("p_possible"),
            words("p_impossible"),
            words("p_flips"),
            title,
        )
        table = Table(
            words("p_same_table"),
            [Column("n", True), Column(words("p_near_x"), True), Column(words("p_near_y"), True)],
            [[str(i + 1), n.number(m), n.number(e)] for i, (m, e) in enumerate(points[:12])],
            measured=True,
        )
        blocks += [Figure(title, caption, chart), Details(words("p_same_table"), [table])]
    if worst:
        blocks.append(_worst(worst, n.number(results["n_texts"]), words))

    return blocks


def _worst(worst: list[dict[str, Any]], total: str, words: Words) -> Table:
    rows: list[list[Text]] = []
    for row in worst:
        if row.get("same"):
            icon, word = "pass", "same"
        elif row.get("explained"):
            icon, word = "cause", "flip_explained"
        else:
            icon, word = "fail", "flip_unexplained"
        text = Quote(row["text"]) if row.get("text") is not None else words("unknown")
        numbers = [_or_nan(row.get(k), n.probability) for k in ("p_reference", "p_candidate")] + [
            _or_nan(row.get(k), n.number) for k in ("margin", "dz")
        ]
        rows.append([text, Code(str(row.get("label"))), *numbers, State(icon, words(word))])

    columns = [
        Column(words("text")),
        Column(words("label")),
        Column(words("p_ref"), True),
        Column(words("p_dev"), True),
        Column(words("margin"), True),
        Column("Δz", True),
        Column(words("decision")),
    ]

    return Table(
        words("p_worst"),
        columns,
        rows,
        caption=words("p_worst"),
        remark=words("p_worst_note", k=len(rows), n=total),
        style="wide",
        measured=True,
    )


def _or_nan(value: Any, write: Any) -> str:
    return write(float(value)) if isinstance(value, (int, float)) else "NaN"


def _positive(row: dict[str, Any]) -> bool:
    return all(isinstance(row.get(k), (int, float)) and abs(row[k]) > 0 for k in ("margin", "dz"))
