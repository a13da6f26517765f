"""Sections about the model, the device, the environment, what was not checked, and how to run it
again.
"""

import json
import shlex
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import (
    Code,
    Column,
    Details,
    Facts,
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
    join,
)
from goemo_utils.report.found import beneath, command, fault_sentence, remedy_step
from goemo_utils.report.gates import gate_name, gates, meaning
from goemo_utils.report.quoted import sentence, title
from goemo_utils.report.read import Run
from goemo_utils.report.verdict import overall
from goemo_utils.report.words import Words

SEVERITIES = {
    "error": "fail",
    "warning": "warn",
    "note": "info",
    "ok": "pass",
    "not checked": "unk",
}
STATUS_ICONS = {
    "ok": "pass",
    "failed": "fail",
    "timeout": "fail",
    "died": "fail",
    "skipped": "none",
    "not-run": "none",
    "outdated": "warn",
}
MANY_NAMES = 6


def absent(run: Run, words: Words, step: str) -> Note:
    """Say that a section is empty because its step did not finish, and why."""
    state = run.states[step]
    why = (
        words(f"step_{state.status}", step=step) if state.status != "ok" else words("not_recorded")
    )
    return Note(
        words(
            "section_absent", reason=f"{why}: {state.reason.rstrip('.')}" if state.reason else why
        )
    )


def digest(value: Any) -> Code:
    """A digest without the name of its algorithm, which the column or label already says."""
    return Code(str(value).removeprefix("sha256:"))


def names(values: list[str]) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(str(v) for v in values[:MANY_NAMES])
    return shown if len(values) <= MANY_NAMES else f"{shown}, … (+{len(values) - MANY_NAMES})"


def next_steps(run: Run, words: Words) -> Section | None:
    """Ordered actions after a failure, an unfinished run or a rehearsal; None when there is nothing
    to do.
    """
    failed = overall(run) == "fail"
    remedy = remedy_step(run, words)
    items = [*_unfinished(run, words, failed), *(_after_failure(run, words) if failed else [])]
    if remedy is not None:
        items.append(remedy)
    if run.simulated and not failed:
        to_npu = Code("goemo run -f params/npu.yaml")
        doctor = Code("goemo doctor")
        items.append(
            join(words("n_npu"), " ", doctor, words("comma"), words("n_then"), " ", to_npu)
        )
        other = Code("goemo run -p rehearsal_numerics hf32")
        items.append(join(words("n_without"), " ", other))

    return Section("next", words("s_next"), [Items(items, ordered=True)]) if items else None


def _unfinished(run: Run, words: Words, failed: bool) -> list[Text]:
    """How to go on where a step did not finish."""
    items: list[Text] = []
    for state in (s for s in run.missing if s.status in ("failed", "timeout", "died")):
        items.append(join(words("n_step"), " ", command(run, "--from", state.step)))
        items.append(join(words("n_log"), " ", Code(f"logs/{state.step}.log")))
    if run.missing and not items and not failed:
        items.append(join(words("n_step"), " ", command(run, "--from", run.missing[0].step)))
    return items


def _after_failure(run: Run, words: Words) -> list[Text]:
    """What to look at after a failed gate: the calls at fault, else the gates themselves."""
    items: list[Text] = []
    for fault in (run.of("03_parity").get("faults") or [])[:3]:
        items.append(words("n_fault", what=fault_sentence(fault, words)))

    if not items:
        items += [
            words("n_gate", gate=gate_name(g["id"], words), meaning=meaning(g, words))
            for g in gates(run)
            if g["result"] == "fail"
        ]
    if not run.simulated:
        items.append(join(words("n_reload"), " ", command(run, "--only", "01_load", "--force")))

    items.append(join(words("n_alone"), " ", command(run, "--from", "03_parity")))

    return items


def ported(run: Run, words: Words) -> Section:
    """What was loaded: which weights, which hash, which parts are untrained."""
    model = run.model
    if not model:
        return Section("ported", words("s_ported"), [absent(run, words, "01_load")])

    missing, seed = list(model.get("untrained") or []), run.params.get("seed")
    if model.get("source") == "random":
        untrained = words("f_untrained_all", seed=seed)
    else:
        untrained = (
            words("f_untrained_some", names=names(missing))
            if missing
            else words("f_untrained_none")
        )

    details = words("comma").join(
        words(key, n=n.number(model[field]))
        for key, field in (
            ("f_layers", "n_layers"),
            ("f_hidden", "hidden_size"),
            ("f_labels", "n_labels"),
            ("f_parameters", "n_parameters"),
        )
        if model.get(field)
    )
    rows: list[tuple[str, Text]] = [
        (words("f_model"), model["id"]),
        (words("f_revision"), _revision(run, words)),
        (words("f_weights"), join("SHA-256 ", digest(model.get("weights_sha256")))),
        (
            words("f_path"),
            Code(model["weight_path"]) if model.get("weight_path") else words("p_none"),
        ),
        (
            words("f_arch"),
            words(
                "f_arch_value",
                architecture=model.get("architecture"),
                model_type=model.get("model_type"),
                details=details,
            ),
        ),
        (words("f_untrained"), untrained),
        (words("f_task"), words.known("t_", str(model.get("task")))),
        (words("f_tokenizer"), join("SHA-256 ", digest(model.get("tokenizer_sha256")))),
        (
            words("f_dtype"),
            words(
                "f_dtype_value",
                dtype=model.get("dtype"),
                attention=model.get("attn_implementation"),
            ),
        ),
    ]
    unused = list(model.get("unused") or [])
    if unused:
        rows.append((words("f_unused"), words("f_unused_some", names=names(unused))))

    checks = run.of("02_smoke").get("checks") or []
    if checks:
        right = sum(c.get("result") == "pass" for c in checks)
        rows.append((words("f_known"), words("f_known_value", k=right, n=len(checks))))

    blocks: list[Any] = [Facts(rows), *_files(model, words), *_answers(run, words)]

    return Section("ported", words("s_ported"), blocks)


def _revision(run: Run, words: Words) -> Text:
    if run.model.get("revision"):
        return Code(run.model["revision"])
    version = (run.manifest.get("code") or {}).get("version")
    return (
        words("f_in_package", version=version)
        if run.model.get("source") == "embedded" and version
        else words("unknown")
    )


def _files(model: dict[str, Any], words: Words) -> list[Details]:
    files = model.get("files") or []
    if not files:
        return []
    columns = [Column(words("file")), Column(words("bytes"), True), Column("SHA-256")]
    rows: list[list[Text]] = [
        [Code(f["name"]), n.number(f["bytes"]), digest(f["sha256"])] for f in files
    ]
    return [Details(words("files"), [Table(words("files"), columns, rows)])]


def _answers(run: Run, words: Words) -> list[Details]:
    rows = [row for row in run.of("02_smoke").get("rows") or [] if row.get("labels")]
    if not rows:
        return []

    columns = [Column(words("text")), Column(words("smoke_labels"))]
    cells: list[list[Text]] = [
        [
            Quote(row["text"]),
            words("comma").join(
                f"{label} {n.probability(float(p))}" for label, p in row["labels"][:4]
            ),
        ]
        for row in rows
    ]

    return [
        Details(
            words("smoke_answers"),
            [Table(words("smoke_answers"), columns, cells, style="wide", measured=True)],
        )
    ]


def where(run: Run, words: Words) -> Section:
    """Where the candidate, the reference and gold ran, and what proves it."""
    device, packs = run.device, run.of("03_parity").get("packs") or {}
    if not device:
        return Section(
            "where", words("s_where"), [absent(run, words, "01_load")], measured=run.simulated
        )

    candidate = packs.get("candidate") or {}
    proof = candidate.get("placement") or run.of("01_load").get("placement") or {}
    rows: list[tuple[str, Text]] = [
        (words("w_device"), f"{device.get('name')} · {device.get('torch_device')}"),
        (words("w_requested"), Code(str(device.get("requested")))),
    ]

    if run.simulated:
        told = run.told
        rows.append((words("w_imitated"), Code(str(told.get("numerics") or words("unknown")))))
        if told.get("fault"):
            rows.append((words("w_fault"), Code(str(told["fault"]))))

    rows += _places(proof, words)
    if proof.get("memory_allocated") is not None:
        values = {
            "allocated": n.size(proof["memory_allocated"]),
            "peak": n.size(proof.get("memory_peak") or proof["memory_allocated"]),
        }
        total = device.get("total_memory")
        text = (
            words("w_memory_of", total=n.size(total), **values)
            if total and not run.simulated
            else words("w_memory_value", **values)
        )
        rows.append(
            (words("w_memory"), f"{text} ({words('w_memory_sim')})" if run.simulated else text)
        )

    rows += _fallbacks(run, candidate, words)
    for key in ("reference", "gold"):
        if packs.get(key):
            rows.append((words(f"w_{key}"), _pack(packs[key], words)))

    raw = json.dumps(
        {"device": device, "placement": proof}, indent=1, ensure_ascii=False, sort_keys=True
    )
    lead = words("w_lead_sim" if run.simulated else "w_lead")

    return Section(
        "where",
        words("s_where"),
        [Paragraph(lead), Facts(rows), Details(words("w_raw"), [Pre(words("w_raw"), raw)])],
        measured=True,
    )


def _places(proof: dict[str, Any], words: Words) -> list[tuple[str, Text]]:
    """Where the parameters lay and the output was born, and whether that is where they should."""
    rows: list[tuple[str, Text]] = []
    for key, field in (("w_parameters", "parameters_device"), ("w_output", "output_device")):
        if not proof.get(field):
            continue
        places = proof[field] if isinstance(proof[field], str) else ", ".join(proof[field])
        right = proof.get("expected") in (None, places)
        word = "w_placed" if right else "w_misplaced"
        rows.append((words(key), words(word, places=places, expected=proof.get("expected"))))
    return rows


def _fallbacks(run: Run, candidate: dict[str, Any], words: Words) -> list[tuple[str, Text]]:
    """Which operators left the device for the CPU."""
    if run.simulated:
        return [(words("w_fallbacks"), words("w_fallback_sim"))]
    if not candidate:
        return []
    names = candidate.get("fallbacks")
    return [(words("w_fallbacks"), Code(", ".join(names)) if names else words("w_no_fallback"))]


def _pack(pack: dict[str, Any], words: Words) -> str:
    device = pack.get("device") or {}
    return words(
        "w_pack",
        device=device.get("name") or device.get("requested") or words("unknown"),
        dtype=pack.get("dtype") or words("unknown"),
        threads=pack.get("threads") or words("unknown"),
        capability=pack.get("cpu_capability") or words("unknown"),
    )


def environment(run: Run, words: Words) -> Section:
    """Findings of the environment check, with evidence and remedy."""
    results = run.of("00_environment")
    if not results:
        return Section("env", words("s_env"), [absent(run, words, "00_environment")])

    findings = [
        *(results.get("findings") or []),
        *(
            f
            for s in ("01_load", "03_parity", "04_throughput")
            for f in (run.records.get(s) or {}).get("findings") or []
        ),
    ]
    order = list(SEVERITIES)
    findings.sort(
        key=lambda f: order.index(f["severity"]) if f.get("severity") in order else len(order)
    )
    rows: list[list[Text]] = [
        [
            State(
                SEVERITIES.get(f.get("severity"), "info"), words.known("e_", str(f.get("severity")))
            ),
            title(f, words),
            Code(str(f["evidence"])) if f.get("evidence") else words("e_no_evidence"),
            str(f.get("remedy") or words("e_no_remedy")),
        ]
        for f in findings
    ]
    columns = [
        Column(words("e_level")),
        Column(words("e_finding")),
        Column(words("e_evidence")),
        Column(words("e_remedy")),
    ]
    blocks: list[Any] = [
        (
            Table(words("s_env"), columns, rows, style="wide", head=1)
            if rows
            else Paragraph(words("e_none"))
        )
    ]
    if words.language != "en" and rows:
        blocks.append(Paragraph(words("e_quoted")))

    verdicts = results.get("verdicts") or {}
    if verdicts:
        cells: list[list[Text]] = [
            [
                Code(name),
                State("pass" if v.get("ok") else "none", words("e_yes" if v.get("ok") else "e_no")),
                sentence(v.get("why") or words("unknown"), words),
            ]
            for name, v in verdicts.items()
        ]
        blocks += [
            Heading(words("e_verdicts")),
            Table(
                words("e_verdicts"),
                [Column(words("e_purpose")), Column(words("result")), Column(words("e_why"))],
                cells,
            ),
        ]

    return Section("env", words("s_env"), blocks)


def unchecked(run: Run, words: Words) -> list[tuple[str, str, str]]:
    """What this run says nothing about: (what, why, what would check it), each named once."""
    rows: list[tuple[str, str, str]] = []
    if run.simulated:
        rows += [(words("n_hardware"), words("n_hardware_why"), "goemo run -f params/npu.yaml")]
        if not run.of("04_throughput").get("not_checked"):
            rows.append((words("n_speed"), words("n_speed_why"), words("n_real")))
    if run.params.get("model") == "embedded":
        rows.append(
            (
                words("n_model"),
                words("n_model_why"),
                "goemo run -p model SamLowe/roberta-base-go_emotions",
            )
        )

    for state in run.missing:
        why = words(f"step_{state.status}", step=state.step)
        rows.append(
            (
                state.step,
                f"{why}: {state.reason}" if state.reason else why,
                str(command(run, "--from", state.step)),
            )
        )

    for step in ("03_parity", "04_throughput"):
        for item in run.of(step).get("not_checked") or []:
            what = str(item.get("what") or words("unknown"))
            rows.append(
                (
                    sentence(gate_name(what, words), words),
                    sentence(item.get("why") or words("unknown"), words),
                    sentence(item.get("how") or words("n_rerun"), words),
                )
            )

    return list({row[0]: row for row in reversed(rows)}.values())[::-1]


def not_checked(run: Run, words: Words) -> Section:
    """The table of what was not checked."""
    rows = unchecked(run, words)
    if not rows:
        return Section("not-checked", words("s_not"), [Paragraph(words("nc_none"))])

    cells: list[list[Text]] = [
        [what, why, Code(how) if how.startswith(("goemo ", "-p ")) else how]
        for what, why, how in rows
    ]

    return Section(
        "not-checked",
        words("s_not"),
        [
            Table(
                words("s_not"),
                [Column(words("n_what")), Column(words("n_why")), Column(words("n_how"))],
                cells,
                style="wide",
            )
        ],
    )


def again(run: Run, words: Words) -> Section:
    """The command that repeats the run, and what its exit code means."""
    given, code = run.manifest.get("command"), run.manifest.get("code") or {}
    line = shlex.join(given) if isinstance(given, list) and given else str(given or "")
    lines = [f"git checkout {code['revision']}"] if code.get("revision") else []
    file = run.manifest.get("params_file")
    options = f" -f {shlex.quote(file)}" if file else ""
    lines.append(" ".join([*beneath(run), line or f"goemo run{options}"]))

    outcome = overall(run)
    key = {"fail": "a_fail", "incomplete": "a_incomplete"}.get(outcome, "a_pass")
    if run.simulated and outcome != "incomplete":
        key = "a_sim"
    return Section(
        "again", words("s_again"), [Paragraph(words(key)), Pre(words("s_again"), "\n".join(lines))]
    )


def glossary(words: Words) -> Section:
    """The words used on the page."""
    terms = ("gold", "reference", "candidate", "r", "flip", "explained", "margin", "interval")
    return Section(
        "words",
        words("s_words"),
        [
            Details(
                words("gl_open"), [Facts([(words(f"gl_{t}"), words(f"gl_{t}_p")) for t in terms])]
            )
        ],
    )
