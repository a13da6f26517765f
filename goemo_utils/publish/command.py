"""Write the model repository of a run, ready for a hub, or check one that exists."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``goemo publish``."""
    from goemo_utils.report.locate import add_root

    parser.add_argument("run", nargs="?", help="a run's folder or name; latest is the newest")
    parser.add_argument(
        "--draft",
        action="store_true",
        help="publish a simulated, failed or incomplete run, marked DRAFT in every file",
    )
    parser.add_argument("--weights", action="store_true", help="copy the checkpoint too")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where to write (default: publish/ in the run's folder)",
    )
    parser.add_argument(
        "--license", metavar="ID", help="license of the weights, for the front matter"
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="DIR",
        help=(
            "check a published folder instead: blanks, placeholders, contradictions, numbers in no"
            " record, dead links"
        ),
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help=(
            "run deploy.sh of a published folder of your own, ask its server, and stop it: this"
            " runs what is in the folder"
        ),
    )
    parser.add_argument(
        "--device", default="cpu", help="with --start: cpu (default), npu[:N] or cuda[:N]"
    )
    parser.add_argument("--model_path", help="with --start: the weights, as MODEL_PATH")
    parser.add_argument("--json", action="store_true", help="with --check: the problems as JSON")
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``goemo publish``: 0 written or clean, 1 when --check found problems."""
    from goemo_utils.errors import ParamsError

    asked = [part for part in (args.run, args.check, args.start) if part is not None]
    if len(asked) != 1:
        raise ParamsError(
            "goemo publish needs a run to publish, or --check DIR, or --start DIR, and not two of"
            " them: name one of them."
        )
    if args.start is not None:
        return _start(args.start, args.device, args.model_path)
    if args.check is not None:
        return _check(args.check, args.json)
    from goemo_utils.publish.build import publish
    from goemo_utils.report.locate import find_run

    folder = publish(
        find_run(args.run, args.outputs), args.output, args.draft, args.weights, args.license
    )
    print(
        f"{'DRAFT written' if args.draft else 'Written'} to {folder}: "
        + ", ".join(sorted(path.name for path in folder.iterdir()))
    )
    return 0


def _start(folder: Path, device: str, model_path: str | None) -> int:
    from goemo_utils.publish.start import start

    print(
        f"Running {folder / 'deploy.sh'} on {device}: this runs what is in the folder.", flush=True
    )
    started = start(folder, device, model_path)
    best = started.answer[0][0]
    shown = f"{best['label']} {best['score']:.3f}" if isinstance(best, dict) else f"{best:.3g}, …"
    print(
        f"It answered POST {started.address} after {started.seconds:.1f} s ({shown}), and stopped."
    )
    return 0


def _check(folder: Path, as_json: bool) -> int:
    from dataclasses import asdict

    from goemo_utils.publish.check import check

    problems = check(folder)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=1))
    else:
        print(
            "\n".join(map(str, problems))
            if problems
            else f"{folder}: no problem found. External addresses were not visited."
        )
        if problems:
            kinds = {
                kind: sum(p.kind == kind for p in problems)
                for kind in dict.fromkeys(p.kind for p in problems)
            }
            print(
                f"\n{len(problems)} problems: "
                + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            )
    return 1 if problems else 0
