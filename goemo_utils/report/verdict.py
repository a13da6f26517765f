"""The verdict in a sentence, and the four key figures."""

import re
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Code, KeyFigure, State, Text, Verdict, join
from goemo_utils.report.found import fault_sentence, first_fault, place, remedy_effect
from goemo_utils.report.gates import gate_name, gates, meaning, shown_limit, shown_value
from goemo_utils.report.measured import device_row
from goemo_utils.report.read import Run
from goemo_utils.report.words import Words

GOEMOTIONS = 28


def overall(run: Run) -> str:
    """Return pass, pass-with-cause, fail or incomplete.

    A failed gate decides even when later steps never ran; otherwise every step must have finished.
    """
    parity = run.of("03_parity")
    if parity.get("verdict") == "fail" or any(gate["result"] == "fail" for gate in gates(run)):
        return "fail"
    if run.missing or not parity:
        return "incomplete"
    return str(parity["verdict"])


def metric(run: Run, name: str) -> dict[str, Any]:
    """Return a parity metric by its id; empty when the record does not hold it."""
    return next((m for m in run.of("03_parity").get("metrics") or [] if m["id"] == name), {})


def device_name(run: Run, words: Words) -> str:
    """Name the device as people write it: Ascend 910B3, 昇腾 910B3."""
    name = str(
        run.device.get("name")
        or run.device.get("requested")
        or run.params.get("device")
        or words("unknown")
    )
    found = re.fullmatch(r"(?i)ascend[ _-]?(\d\w*)", name)
    if found:
        return f"昇腾 {found[1]}" if words.language == "zh" else f"Ascend {found[1]}"
    return f" {name} " if words.language == "zh" and name[:1].isascii() else name


def label_word(run: Run, words: Words) -> str:
    """Say "emotions" for the GoEmotions labels, "labels" for any others."""
    labels = set(run.model.get("labels") or [])
    return words(
        "emotions"
        if len(labels) == GOEMOTIONS and {"admiration", "remorse", "neutral"} <= labels
        else "labels"
    )


def stopped(run: Run, words: Words) -> str:
    """Say which steps did not finish and what became of them; steps that only wait for those are
    not repeated.
    """
    first = [s for s in run.missing if s.status not in ("not-run", "skipped")] or run.missing[:1]
    return words("comma").join(words(f"step_{s.status}", step=s.step) for s in first)


def verdict(run: Run, words: Words) -> Verdict:
    """Put the verdict into words: what was ported, to what, and how many texts agree."""
    outcome, parity = overall(run), run.of("03_parity")
    total, changed = parity.get("n_texts") or 0, (parity.get("flips") or {}).get("texts")
    style = {"pass": "pass", "pass-with-cause": "cause", "fail": "fail", "incomplete": "unk"}[
        outcome
    ]
    if run.simulated:
        return _rehearsed(run, words, outcome)

    values = {
        "device": device_name(run, words),
        "labels": label_word(run, words),
        "n": n.number(total),
        "k": n.number(changed or 0),
        "a": n.number(total - (changed or 0)),
    }
    if outcome == "incomplete":
        return Verdict(
            State("none", words("v_incomplete")),
            words("h_not_finished" if parity else "h_not_run", what=stopped(run, words)),
            _lead(run, words, outcome),
            style,
        )
    if outcome == "fail":
        names = words("comma").join(
            gate_name(g["id"], words) for g in gates(run) if g["result"] == "fail"
        )
        flipped = (
            changed and (parity.get("flips") or {}).get("unexplained") and not _wrong_weights(run)
        )
        fault = None if _wrong_weights(run) else first_fault(run)
        sick = _sick_cards(run, words)
        if sick:
            sentence = words("h_fail_cards", what=sick)
        elif fault:
            sentence = words("h_fail_fault", what=fault_sentence(fault, words))
        elif flipped:
            sentence = words("h_fail", **values)
        else:
            sentence = words("h_fail_gate", gates=names, n=values["n"])
        return Verdict(State("fail", words("v_fail")), sentence, _lead(run, words, outcome), style)

    state = (
        State("cause", words("v_cause"))
        if outcome == "pass-with-cause"
        else State("pass", words("v_pass"))
    )
    decides = changed is not None
    if run.device.get("kind") != "npu":
        key = "h_other" if decides else "h_other_encoder"
    elif not decides:
        key = "h_encoder" if outcome == "pass" else "h_encoder_cause"
    elif changed:
        key = "h_cause"
    else:
        key = "h_pass" if outcome == "pass" else "h_cause_all"

    return Verdict(state, words(key, **values), _lead(run, words, outcome), style)


def _rehearsed(run: Run, words: Words, outcome: str) -> Verdict:
    """The verdict of a rehearsal: what it found, and that it is no port."""
    key = {"fail": "_fail", "incomplete": "_incomplete"}.get(outcome, "")
    icon = {"fail": "fail", "incomplete": "none", "pass-with-cause": "cause"}.get(outcome, "info")
    fault = None if _wrong_weights(run) else first_fault(run)
    if outcome == "incomplete":
        sentence = words("h_sim_incomplete", what=stopped(run, words))
    elif outcome == "fail" and (sick := _sick_cards(run, words)):
        sentence = words("h_sim_cards", what=sick)
    elif outcome == "fail" and fault:
        sentence = words("h_sim_fault", what=fault_sentence(fault, words))
    elif outcome == "pass-with-cause":
        sentence = words("h_sim_cause", causes=cause_names(run, words))
    else:
        sentence = words("h_sim" + key)
    return Verdict(State(icon, words("v_sim" + key)), sentence, _lead(run, words, outcome), "sim")


def _lead(run: Run, words: Words, outcome: str) -> Text:
    parity = run.of("03_parity")
    if outcome == "incomplete":
        why = next((state.reason for state in run.missing if state.reason), None)
        return f"{why.rstrip('.')}. {words('lead_incomplete')}" if why else words("lead_incomplete")
    if run.simulated:
        numerics, fault = imitated(run, words), run.told["fault"]
        told_nothing = run.told["numerics"] == "exact"
        imitation = words(
            "lead_genuine" if run.genuine and told_nothing else "lead_sim",
            numerics=numerics,
            fault=words("lead_sim_fault", fault=fault) if fault else "",
        )
        imitation = imitation.replace(" 。", "。")
        effect = remedy_effect(run, words) if outcome == "pass-with-cause" else None
        if effect:
            return f"{imitation} {words('lead_remedy', effect=effect)}"
        return imitation if outcome == "fail" else f"{imitation} {words('lead_sim_next')}"
    if outcome == "fail":
        faults = parity.get("faults") or []
        if faults and not _wrong_weights(run):
            before, after = words("lead_fault", place="\0", k=len(faults)).split("\0")
            return join(before, Code(place(faults[0])), after, _changed(run, words))
        return words(
            "lead_fail",
            gates=words("comma").join(
                gate_name(g["id"], words) for g in gates(run) if g["result"] == "fail"
            ),
        )

    gate = next((g for g in gates(run) if g["id"] == "rounding"), {})
    ratio = gate.get("value")
    shown = n.ratio(ratio) if isinstance(ratio, (int, float)) else words("unknown")
    if outcome == "pass-with-cause":
        return words("lead_cause", causes=cause_names(run, words) or words("unknown"), ratio=shown)

    return words(
        "lead_pass", ratio=shown, limit=shown_limit(gate, words) if gate else words("unknown")
    )


def _changed(run: Run, words: Words) -> str:
    """How many texts a failure changes; empty where none, or where nothing is decided."""
    parity = run.of("03_parity")
    changed = (parity.get("flips") or {}).get("texts")
    if not changed:
        return ""
    k, total = n.number(changed), n.number(parity.get("n_texts") or 0)
    return " " + words("lead_changed", k=k, n=total, labels=label_word(run, words))


def _wrong_weights(run: Run) -> bool:
    """Whether the known answer failed: then every other finding is about other weights, and it is
    named first.
    """
    return any(g["id"] == "known_answer" and g["result"] == "fail" for g in gates(run))


def _sick_cards(run: Run, words: Words) -> str:
    """Which of several cards are sick, as a sentence; empty where none is."""
    gate = next((gate for gate in gates(run) if gate["id"] == "cards"), None)
    return meaning(gate, words) if gate and gate["result"] == "fail" else ""


def cause_names(run: Run, words: Words) -> str:
    """The causes that the study named, in a row; empty when there is only rounding."""
    return words("comma").join(
        words.known("cause_", str(cause)) for cause in run.of("03_parity").get("causes") or []
    )


def imitated(run: Run, words: Words) -> str:
    """Name the numerics that the simulated device was told to imitate."""
    name = run.told["numerics"] or words("unknown")
    if name == "exact":
        return words("numerics_exact")
    return f" {name} " if words.language == "zh" else str(name)


def key_figures(run: Run, words: Words, summary: dict[str, Any]) -> list[KeyFigure]:
    """The four figures of the summary; a rehearsal's are those of its simulated answers, and none
    of them speaks of a speed.
    """
    parity, flips = run.of("03_parity"), run.of("03_parity").get("flips") or {}
    took = sum(s.seconds or 0 for s in run.states.values())
    done = sum(s.status == "ok" for s in run.states.values())
    steps = KeyFigure(
        words("k_steps"),
        words("k_of", k=done, n=len(run.states)),
        "",
        words("k_took", seconds=n.duration(took)),
    )
    texts = steps

    if flips.get("texts") is not None:
        texts = KeyFigure(
            words("k_texts"),
            words("k_of", k=n.number(flips["texts"]), n=n.number(parity["n_texts"])),
            "",
            words("k_unexplained", k=n.number(flips["unexplained"])),
        )

    gate = next((g for g in gates(run) if g["id"] == "rounding"), {})
    value = metric(run, "R").get("value")
    error = KeyFigure(
        words(
            "k_ratio", quantity=words.known("quantity_", str(parity.get("quantity") or "logits"))
        ),
        words("k_not_run"),
        "",
        words("r_not run"),
    )

    if isinstance(value, (int, float)):
        elsewhere = gate.get("where") not in (None, "logits")
        context = (
            words("k_worst", value=shown_value(gate, words), where=gate["where"])
            if elsewhere
            else words("k_limit", limit=shown_limit(gate, words))
        )
        error = KeyFigure(error.label, n.ratio(value), "", context if gate else "")
    if not run.simulated:
        return [texts, error, *_speed_figures(run, words, summary)]

    causes = cause_names(run, words) or words("k_no_cause")
    cause = KeyFigure(
        words("k_cause"),
        causes if parity else words("k_not_run"),
        "",
        remedy_effect(run, words) or words("k_imitated", numerics=imitated(run, words).strip()),
    )
    no_speed = KeyFigure(words("k_speed"), words("k_not_claimed"), "", words("k_no_speed"))

    return [error, texts, cause, no_speed]


def _speed_figures(run: Run, words: Words, summary: dict[str, Any]) -> list[KeyFigure]:
    speed = run.of("04_throughput")
    row = device_row(run)
    state = run.states["04_throughput"]
    timed = state.status == "ok"
    why = (
        summary["reasons"].get("npu_texts_per_second")
        if timed
        else words(f"step_{state.status}", step=state.step)
    )
    rate = KeyFigure(words("k_speed"), words("k_not_run"), "", why or words("k_not_run"))

    if row.get("median") is not None:
        ci = n.interval(*row["ci95"]) if row.get("ci95") else n.interval(row["q1"], row["q3"])
        rate = KeyFigure(
            words("k_speed"),
            n.number(row["median"]),
            words("k_rate"),
            words("k_speed_at", interval=ci, batch=row.get("batch_size"), dtype=row.get("dtype")),
        )

    up = speed.get("speedup") or {}
    base = KeyFigure(
        words("k_base"),
        words("k_not_run"),
        "",
        (summary["reasons"].get("speedup") if timed else why) or words("k_not_run"),
    )
    if up.get("value") is not None:
        base = KeyFigure(
            words("k_base"),
            f"{n.number(up['value'])}×",
            n.interval(*up["ci95"]) if up.get("ci95") else "",
            words("k_baseline", baseline=up.get("baseline"), cores=up.get("cores")),
        )

    return [rate, base]
