"""Judge two packs again, under the same or other limits, without running anything."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import GoemoError, PackError, ParamsError, RecordError
from goemo_utils.forward.thresholds import described
from goemo_utils.parity.gates import Limits
from goemo_utils.parity.judgement import judge_packs

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo compare``."""
    command.add_argument(
        "reference",
        type=Path,
        metavar="REFERENCE",
        help="the pack that is right, such as outputs/latest/packs/reference",
    )
    command.add_argument(
        "candidate",
        type=Path,
        metavar="CANDIDATE",
        help="the pack that is judged, such as outputs/latest/packs/candidate",
    )
    command.add_argument(
        "--gold",
        type=Path,
        default=None,
        metavar="PACK",
        help="the float64 pack both are measured against (default: gold beside either pack)",
    )
    command.add_argument(
        "--threshold",
        type=float,
        default=None,
        help=(
            "a label counts when its probability is above this (default: the run's, else the"
            " model's own, else 0.3)"
        ),
    )
    command.add_argument(
        "--limit",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help=f"another limit; repeatable; names: {', '.join(vars(Limits()))}",
    )

    command.add_argument(
        "--record",
        type=Path,
        default=None,
        metavar="JSON",
        help=(
            "the 03_parity.json whose cause, place and invariance hold (default: the candidate's"
            " run)"
        ),
    )
    command.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Print gates and verdict; returns 0 if no gate failed, else 1."""
    from goemo_utils.forward.pack import read_pack, stem

    if stem(args.reference).resolve() == stem(args.candidate).resolve():
        raise PackError(
            f"{args.candidate} was given as reference and as candidate: a pack compared with itself"
            " proves nothing. Name two."
        )
    reference, candidate = read_pack(args.reference), read_pack(args.candidate)
    in_their_places(reference, candidate)
    gold = read_pack(args.gold or beside(args.candidate, args.reference))
    if (role := gold.manifest["role"]) != "gold":
        raise PackError(
            f"{gold.path} is a {role} pack; --gold must be the float64 pack that both are measured"
            " against, such as outputs/latest/packs/gold."
        )
    stored = evidence(args.record, args.candidate, candidate.manifest)
    judged = stored.pop("threshold", None)
    payload = judge_packs(
        gold,
        reference,
        candidate,
        judged if args.threshold is None else args.threshold,
        limits=numbers(args.limit),
        **stored,
    )
    if args.json:
        json.dump(payload, sys.stdout, ensure_ascii=False, indent=1, allow_nan=False)
        print()
    else:
        print("\n".join(lines(payload)))
    return 1 if payload["verdict"] == "fail" else 0


def in_their_places(reference: Pack, candidate: Pack) -> None:
    """Raise PackError where a pack is not what its place in the command says: a CPU judged by a
    wrong device would pass.

    The yardstick is a reference pack. What is judged may be one too, of another machine; gold is
    measured against and is neither.
    """
    role, order = (
        reference.manifest["role"],
        (
            "Give the reference pack first and the candidate second: goemo compare REFERENCE"
            " CANDIDATE."
        ),
    )
    if role != "reference" or reference.manifest["simulated"]:
        kind = "a rehearsal's" if reference.manifest["simulated"] else f"a {role}"
        raise PackError(
            f"{reference.path} is {kind} pack; REFERENCE must be a reference pack. {order}"
        )
    if (role := candidate.manifest["role"]) == "gold":
        raise PackError(
            f"{candidate.path} is the gold pack, which all others are measured against; CANDIDATE"
            f" must be the pack that is judged. {order}"
        )

    if (
        reference.manifest == candidate.manifest
        # a device may give the reference's very bits; a manifest says when it was made, and how
        # long it took
    ):
        raise PackError(
            f"{candidate.path} is a copy of {reference.path}: a pack compared with itself proves"
            f" nothing. {order}"
        )


def numbers(pairs: Sequence[Sequence[str]]) -> dict[str, float]:
    """Limits from the command line. Raises ParamsError where a name is given twice or a value is no
    number.
    """
    found: dict[str, float] = {}
    for name, text in pairs:
        if name in found:
            raise ParamsError(
                f"--limit {name} is given twice, {found[name]:g} and {text}; once was expected."
                " Leave one out."
            )
        try:
            found[name] = float(text)
        except ValueError:
            raise ParamsError(
                f"--limit {name} is {text!r}; a number was expected, such as --limit {name} 2."
            ) from None

    return found


def beside(*packs: Path) -> Path:
    """The pack called gold in the folder of one of the packs; PackError where there is none."""
    for pack in packs:
        if pack.with_name("gold.json").is_file():
            return pack.with_name("gold")
    raise PackError(
        f"There is no gold pack beside {packs[0]}, and without a float64 answer an error cannot be"
        " told from rounding. Name one with --gold PACK."
    )


def evidence(record: Path | None, pack: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Cause, place, invariance and threshold stored by the run that made a pack; empty if there is
    no such record.

    Raises PackError if a record was named that judged another candidate.
    """
    from goemo_utils.records.record import read_json

    path = record or pack.resolve().parent.parent / "03_parity.json"
    if record is None and not path.is_file():
        return {}
    try:
        results = read_json(path).get("results", {})
        judged = results["packs"]["candidate"].get("sha256")
    except (RecordError, KeyError, AttributeError):
        if record is None:
            return {}
        raise PackError(
            f"{path} is no record of 03_parity; expected the 03_parity.json of a finished run."
        ) from None
    if judged != manifest.get("sha256"):
        if record is None:
            return {}
        raise PackError(
            f"{path} judged another candidate (hash {judged}) than {pack} (hash"
            f" {manifest.get('sha256')})."
        )
    stored = results.get("explanation") or {}
    kept = ("cause", "place", "invariance", "known_answer", "exercise", "yardstick")
    parts: dict[str, Any] = {name: stored.get(name) for name in kept}
    parts["names"] = results.get("names")
    if parts["cause"]:
        parts["cause"] = {**parts["cause"], "ladder": results.get("ladder", [])}
    if parts["place"]:
        parts["place"] = {**parts["place"], "heat": results.get("heat", {})}
    return {**parts, **written(pack), "threshold": results.get("threshold")}


def written(pack: Path) -> dict[str, Any]:
    """The packs that the explanation wrote beside the candidate's: the accepted arithmetic's own
    answers, and those of the path that users run.
    """
    from goemo_utils.forward.pack import beside as file_of
    from goemo_utils.forward.pack import read_pack

    def found(name: str) -> Pack | None:
        path = pack.with_name(name)
        return read_pack(path) if file_of(path, ".json").is_file() else None

    ways = {way: found(f"explain-{way}") for way in ("loop", "predict")}
    used = {way: answers for way, answers in ways.items() if answers is not None}
    return {"rung": found("explain-rung"), "used": used}


def lines(payload: Mapping[str, Any]) -> list[str]:
    """The verdict for a terminal: one line a gate, then metrics, faults and the verdict."""
    simulated = "SIMULATED " if payload["packs"]["candidate"].get("simulated") else ""
    rows = [f"{'gate':13s} {'result':12s} {'value':>14s} {'limit':>10s} {'n':>9s}  meaning"]
    rows += [
        f"{g['id']:13s} {g['result']:12s} {shown(g['value']):>14s} {shown(g['limit']):>10s}"
        f" {g['n']:>9,d}  {g['meaning']}"
        for g in payload["gates"]
    ]
    rows.append("")
    rows += [
        f"{m['id']:28s} {shown(m['value']):>12s}  {m['formula']}"
        for m in payload["metrics"]
        if m["value"] is not None
    ]
    rows += [
        f"fault: {f['operator']} in {f['module'] or 'the model'}: {_error(f)}"
        for f in payload["faults"]
    ]
    by = described(payload["threshold"])
    by = by if isinstance(payload["threshold"], list) else f"threshold {by}"
    named = f" because of {', '.join(payload['causes'])}" if payload["causes"] else ""

    return [
        *rows,
        "",
        (f"{simulated}{payload['verdict']}{named}: {payload['n_texts']:,} texts, {by}"),
    ]


def _error(fault: Mapping[str, Any]) -> str:
    times = (
        f"{shown(fault['ratio_rms'])} x the CPU's error"
        if isinstance(fault["ratio_rms"], float)
        else ""
    )
    return ", ".join(filter(None, (fault["reading"], times)))


def shown(value: Any) -> str:
    """A value of a gate or metric in a table cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """``goemo compare`` without the other commands; returns the exit code."""
    command = argparse.ArgumentParser(prog="goemo compare", description=(__doc__ or "").strip())
    add_arguments(command)
    try:
        return run(command.parse_args(argv))
    except GoemoError as error:
        print(f"goemo: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
