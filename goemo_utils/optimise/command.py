"""Make a classifier smaller and faster in many ways, and measure all of them on the same texts.

Without options: a sample of Reddit comments, the embedded model as the teacher, ten rungs, minutes.
Your own:

  goemo optimise -p teacher outputs/finetune/model -p train train.csv -p dev dev.csv
  goemo run -p model outputs/optimise/rungs/NAME/model      port a rung

A study that was stopped goes on when the same command is given again; rungs may be added to its
file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from goemo_utils.boundary.options import add_parameters, tell_keys
from goemo_utils.optimise import frontier
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.params.home import params_file
from goemo_utils.records.portable import shown


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo optimise``."""
    tell_keys(command, __doc__ or "", OptimiseParams)
    add_parameters(
        command, "the study's parameters (default: params/optimise.yaml, which explains each key)"
    )
    command.add_argument(
        "--lexicon", metavar="FILE.csv", help="word,label,weight: the lexicon beside the model"
    )
    command.add_argument("--output", type=Path, metavar="FOLDER", help="folder of the study")


def run(args: argparse.Namespace) -> int:
    """Do or finish the study, and print its table."""
    given = dict(args.param)
    if args.lexicon:
        given["lexicon"] = str(Path(args.lexicon).resolve())
    if args.output:
        place = args.output.resolve()
        given |= {"output_root": str(place.parent), "run_id": place.name}
    params = OptimiseParams.load(params_file(args.file, "optimise.yaml"), given)

    from goemo_utils.optimise import study

    print(f"goemo optimise {params.folder.name}   teacher {params.teacher}", flush=True)
    found = study.run(params, lambda line: print(f"  {line}", flush=True))
    print(f"\n{_table(found['rows'])}\n\n{found['recommendation']}")
    print(f"table and figure: {shown(params.folder / 'frontier.md')}")
    chosen = frontier.to_port(found["rows"])
    if chosen is not None:
        model = shown(params.folder / "rungs" / chosen["rung"] / "model")
        dtype = chosen["way"]["dtype"]
        also = "" if dtype == "float32" else f" -p dtype {dtype}"
        print(f"port {chosen['rung']}: goemo run -p model {model}{also}")
    return 0


def _table(rows: list[dict[str, object]]) -> str:
    """The rows for a terminal."""
    lines = [f"  {'rung':20s} macro F1  of teacher  x texts/s     MB"]
    for one in rows:
        pale = "  dominated" if one["dominated"] else ""
        lines.append(
            f"  {one['rung']!s:20.20s} {one['macro_f1']:8.3f}  {one['share_of_teacher']:10.1%}"
            f"  {one['times_teacher']:9.2f} {one['megabytes']:6.2f}{pale}"
        )
    return "\n".join(lines)
