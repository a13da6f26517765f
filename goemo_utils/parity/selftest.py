"""Prove the parity study on the rehearsal device: causes named rightly, faults caught and located,
no false alarm.

Prints tables and returns 0 only if every demand of the last line is met. ``--short`` is a sample
for the test suite.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from goemo_utils.parity import imitate
from goemo_utils.parity.cause import Rung, local_attribution
from goemo_utils.parity.emulate import PLAIN
from goemo_utils.parity.place import faults, locate
from goemo_utils.parity.probe import probe
from goemo_utils.parity.replay import replay
from goemo_utils.parity.twins import Twins

SINGLES = (
    "exact",
    "hf32",
    "hf32_away",
    "hf32_trunc",
    "tf32",
    "fp16_matmul",
    "bf16_matmul",
    "tanh_gelu",
)
PAIRS = tuple(f"{name}+tanh_gelu" for name in SINGLES[1:7])
DETAIL = "reorder+ulp"
"""What every clean device differs in: another order of accumulation, and 4 ulp of noise in the
vector kernels.
"""


def with_detail(numerics: str) -> str:
    """The same arithmetic with its details in another order."""
    return DETAIL if numerics == "exact" else f"{numerics}+{DETAIL}"


def models(short: bool) -> dict[str, Callable[[], Twins]]:
    """The models of the tables: the embedded one, 12 thin random layers, and fused attention; the
    short form takes one small random model.
    """
    small = {"roberta, 2 layers": lambda: imitate.twins(imitate.network("roberta"))}
    if short:
        return small

    fused = {
        "roberta, 2 layers, sdpa": lambda: imitate.twins(
            imitate.network("roberta", attention="sdpa")
        )
    }

    return {
        "embedded": imitate.embedded,
        "roberta, 12 layers": lambda: imitate.twins(imitate.network("roberta", 12, 96, 5.0)),
        **fused,
    }


def confusion(short: bool, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Clean runs of every arithmetic and of its pairs with tanh GELU, with random texts and batch
    sizes.

    Counts runs whose cause is not the imitated one, whose residual is refused, or in which a call
    is called faulty.
    """
    rng, wrong, alarms, refused, n = random.Random(seed), 0, 0, 0, 0
    worst_residual, worst_rms, worst_max = 0.0, 0.0, 0.0
    for label, make in models(short).items():
        of = make()
        say(
            f"\n{label}: cause named, of clean runs\n{'device':28s} {'runs':>4s} {'named':34s}"
            f" {'residual':>8s} {'call rms':>8s} {'call max':>8s} {'alarms':>6s}"
        )
        table: dict[str, list[tuple[str, float, float, float, int]]] = defaultdict(list)
        for name in (*SINGLES, *(PAIRS[:2] if short else PAIRS)):
            for numerics in [with_detail(name)] if short else [name, with_detail(name)] * 2:
                with imitate.arithmetic(numerics, rng.randrange(10**6)) as expected:
                    found, left, place = clean_run(of, imitate.random_batches(of, rng))
                n += 1
                wrong += found != expected.name
                refused += not left <= 3.0
                alarms += len(place["faults"])
                top = place["worst"]["ratio_rms"], place["worst"]["ratio_max"]
                worst_residual, worst_rms, worst_max = (
                    max(worst_residual, left),
                    max(worst_rms, top[0]),
                    max(worst_max, top[1]),
                )
                table[name].append((found, left, *top, len(place["faults"])))
        for name, runs in table.items():
            named = ", ".join(sorted({f"{r[0]} {sum(q[0] == r[0] for q in runs)}" for r in runs}))
            say(
                f"{name:28s} {len(runs):4d} {named:34s} {max(r[1] for r in runs):8.2f}"
                f" {max(r[2] for r in runs):8.2f} {max(r[3] for r in runs):8.2f}"
                f" {sum(r[4] for r in runs):6d}"
            )

    say(
        f"{n} clean runs: {n - wrong} causes right, {refused} refused, {alarms} false alarms; worst"
        f" residual {worst_residual:.2f}, call {worst_rms:.1f} / {worst_max:.1f}"
    )

    return {"runs": n, "wrong": wrong, "refused": refused, "alarms": alarms}


def clean_run(of: Twins, batches: Sequence[dict[str, Any]]) -> tuple[str, float, dict[str, Any]]:
    """(name of the claim, residual over all states, place) of a run as the parity step does it."""
    answers = probe(of.device.torch_device)
    claim, _ = local_attribution(of, batches, answers)
    gold, reference = of.run(of.gold, batches), of.run(of.reference, batches)
    left = Rung(of, batches, claim, gold, reference).judged(of.run(of.candidate, batches))
    return claim.name, left.value, locate(of, batches, claim)


def settings(short: bool) -> list[tuple[str, Callable[[], Twins], tuple[str, ...], int]]:
    """(name, model, arithmetics, places per operator) of the fault grid."""
    if short:
        return [
            (
                "roberta, 2 layers",
                lambda: imitate.twins(imitate.network("roberta")),
                (DETAIL, f"hf32+{DETAIL}"),
                1,
            )
        ]

    three = (DETAIL, f"tanh_gelu+{DETAIL}", f"hf32+{DETAIL}")
    small = [
        (f"{a}, 2 layers", lambda a=a: imitate.twins(imitate.network(a)))
        for a in ("electra", "distilbert")
    ]

    return [
        ("embedded", imitate.embedded, three, 2),
        (
            "roberta, 12 layers",
            lambda: imitate.twins(imitate.network("roberta", 12, 96, 5.0)),
            (DETAIL, f"hf32+{DETAIL}"),
            1,
        ),
        *((name, make, (DETAIL, f"hf32+tanh_gelu+{DETAIL}"), 1) for name, make in small),
    ]


def grid(short: bool, seed: int, say: Callable[[str], None]) -> dict[str, int]:
    """Faults in single calls, one at a time: caught, located (that module and operator, nothing
    else), wrong place named.
    """
    tally: dict[tuple[str, str], list[tuple[bool, bool, bool]]] = defaultdict(list)
    missed: list[str] = []
    kinds = {
        k: v
        for k, v in imitate.FAULTS.items()
        if not short or k in ("scale 1e-5", "add 1e-4", "one element +1e-3", "one NaN")
    }
    inert = 0

    for label, make, numerics, places in settings(short):
        of = make()
        path = imitate.Path(of)
        batches = imitate.random_batches(of, random.Random(seed), 4 if short else 8)
        rows, _ = replay(of, batches, [PLAIN])
        where = imitate.sites(rows, max(2, places))[:: 1 if places > 1 else 2]
        started = time.perf_counter()
        for text in numerics:
            with imitate.arithmetic(text) as claim:
                jobs = [
                    (kind, site, imitate.ATEN[site.operator], change, None)
                    for kind, change in kinds.items()
                    for site in where
                ]
                jobs += special(rows, short)
                for kind, site, aten, change, arguments in jobs:
                    with imitate.fault(path, aten, site.module, change, arguments) as hits:
                        hot = {
                            (f["module"], f["operator"])
                            for f in faults(replay(of, batches, [claim])[0])
                        }
                    if not hits[1]:  # a fault that changed no bit was missed for good reason
                        inert += 1
                        continue
                    if (
                        arguments and hits[2] < imitate.FLOOR
                    ):  # such as another eps where the variance is large
                        kind = f"{kind}, too small"
                    found, right = bool(hot), hot == {(site.module, site.operator)}
                    tally[kind, text.replace(f"+{DETAIL}", "").replace(DETAIL, "exact")].append(
                        (found, right, found and not right)
                    )
                    if not right and not below(kind):
                        missed.append(
                            f"{label}, {text}: {kind} in {site.module} {site.operator} gave"
                            f" {sorted(hot) or 'nothing'}"
                        )
        say(f"{label}: {len(where)} places, {time.perf_counter() - started:.0f} s")

    columns = sorted({text for _, text in tally})
    say(f"\nfaults: caught / located / n\n{'fault':24s} " + " ".join(f"{c:>16s}" for c in columns))
    for kind in dict.fromkeys(k for k, _ in tally):
        cells = [tally.get((kind, c), []) for c in columns]
        note = "  (below the floor)" if below(kind) else ""
        say(
            f"{kind:24s} "
            + " ".join(
                (
                    f"{sum(r[0] for r in rs):4d} /{sum(r[1] for r in rs):4d} /{len(rs):4d}"
                    if rs
                    else f"{'-':>16s}"
                )
                for rs in cells
            )
            + note
        )

    for line in missed:
        say(f"missed: {line}")

    everything = [r for rs in tally.values() for r in rs]
    above = [r for (kind, _), rs in tally.items() if not below(kind) for r in rs]
    result = {
        "faults": len(everything),
        "above": len(above),
        "located": sum(r[1] for r in above),
        "wrong": sum(r[2] for r in everything),
        "inert": inert,
    }
    say(
        f"{result['faults']} faults, {result['above']} above the floor: {result['located']} caught"
        f" and located; {result['wrong']} wrong places named; {inert} changed no bit and are not"
        " counted"
    )

    return result


def below(kind: str) -> bool:
    """Whether a kind of fault is smaller than this study promises to see."""
    return kind in imitate.BELOW or kind.endswith("too small")


def special(
    rows: Sequence[Any], short: bool
) -> list[tuple[str, imitate.Site, str, imitate.Change, Any]]:
    """LayerNorm with another eps, and the padding mask ignored in one layer."""
    norms = list(dict.fromkeys(r.module for r in rows if r.operator == "layer_norm"))
    masks = list(
        dict.fromkeys(
            r.module
            for r in rows
            if r.operator == "add" and r.module.endswith((".self", ".attention"))
        )
    )
    jobs: list[tuple[str, imitate.Site, str, imitate.Change, Any]] = [
        ("padding mask ignored", imitate.Site(m, "add"), "add", imitate.unmask, None)
        for m in masks[:1] + ([] if short else masks[-1:])
    ]

    for eps in (1e-4, 2e-5) if not short else (1e-4,):
        jobs += [
            (
                f"LayerNorm eps {eps:g}",
                imitate.Site(m, "layer_norm"),
                "native_layer_norm",
                imitate.nothing,
                imitate.other_eps(eps),
            )
            for m in norms[:: 1 if not short else 4]
        ]

    return jobs


def main(argv: Sequence[str] | None = None) -> int:
    """``goemo selftest parity``: print the tables; 0 if all demands are met, else 1."""
    command = argparse.ArgumentParser(
        prog="goemo selftest parity",
        description=(__doc__ or "").splitlines()[0] + " SIMULATED throughout.",
    )
    command.add_argument(
        "--short", action="store_true", help="a sample of the tables, in well under a minute"
    )
    command.add_argument("--only", choices=("causes", "faults"), help="one of the two tables")
    command.add_argument(
        "--seed", type=int, default=0, help="of texts and batch sizes (default: 0)"
    )
    args = command.parse_args(argv)
    torch.set_num_threads(1)
    started = time.perf_counter()

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"goemo selftest parity, SIMULATED device, torch {torch.__version__}, seed {args.seed}")
    with torch.no_grad():
        causes = confusion(args.short, args.seed, say) if args.only != "faults" else None
        places = grid(args.short, args.seed, say) if args.only != "causes" else None
    ok = (causes is None or causes["wrong"] == causes["refused"] == causes["alarms"] == 0) and (
        places is None or (places["located"] == places["above"] and not places["wrong"])
    )
    say(
        f"{'all demands met' if ok else 'NOT all demands met'},"
        f" {time.perf_counter() - started:.0f} s"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
