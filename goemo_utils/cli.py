"""The command line: parse, call, exit code. Every command's work is in a module of its own.

Nothing heavy is imported here before ``main`` listens for signals: an early Ctrl-C ends cleanly.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

EPILOG = (
    "exit codes: 0 passed; 1 a gate failed; 2 could not run (parameters, device, model, texts);"
    " 3 a step crashed, timed out or was killed"
)
# command -> (module with add_arguments and run, one line of help)
MODULES = {
    "predict": ("goemo_utils.scale.command", "classify texts: one, or a file of any size"),
    "reference": (
        "goemo_utils.parity.reference",
        "make a reference pack on this machine, to be used on another",
    ),
    "compare": ("goemo_utils.parity.compare", "judge two packs again, without running anything"),
    "judge": (
        "goemo_utils.parity.many",
        "judge a device on any number of texts, part by part",
    ),
    "bench": (
        "goemo_utils.throughput.bench",
        "measure the ways of running a classifier against each other",
    ),
    "finetune": ("goemo_utils.training.command", "fine-tune a classifier on labelled texts"),
    "optimise": (
        "goemo_utils.optimise.command",
        "make a classifier smaller and faster in many ways, and measure them",
    ),
    "serve": ("goemo_utils.serve.command", "answer over HTTP, with a page to try texts"),
    "stream": ("goemo_utils.stream.command", "answer a topic of Kafka, with windows of counts"),
    "learn": ("goemo_utils.learn.command", "the course: exercises that check themselves"),
    "diff": ("goemo_utils.report.diff", "what changed between two runs"),
    "list": ("goemo_utils.report.listing", "the runs and their verdicts"),
    "publish": ("goemo_utils.publish.command", "write the model repository of a run"),
    "init": ("goemo_utils.params.init", "lay out a working copy of the notebooks and params"),
}
# command -> (module with main(argv), one line of help): they parse their own arguments, the doctor
# even without this package installed
MAINS = {
    "doctor": (
        "goemo_utils.environment.doctor",
        "say what is wrong with this machine, and what fixes it",
    ),
    "cann": (
        "goemo_utils.cann.command",
        "run a command with the genuine torch_npu on a SIMULATED CANN",
    ),
    "selftest parity": (
        "goemo_utils.parity.selftest",
        "prove the parity study: causes named, faults found",
    ),
    "selftest encoders": (
        "goemo_utils.families.command",
        "compare every family of encoders with transformers, on every path",
    ),
    "selftest faults": (
        "goemo_utils.chain.campaign",
        "kill runs, fill disks, set the clock back: what stays, and whether runs go on",
    ),
    "selftest operators": (
        "goemo_utils.rehearsal.operators",
        "compare every operator of the rehearsal device with the CPU",
    ),
}


def step_name(text: str) -> str:
    """A step by its full name, its number or its noun: 03_parity, 03, parity."""
    import argparse

    from goemo_utils.records.record import STEPS

    for step in STEPS:
        if text in (step, *step.split("_")):
            return step
    raise argparse.ArgumentTypeError(f"unknown step '{text}': expected one of {', '.join(STEPS)}")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    import argparse

    from goemo_utils import __version__

    top = argparse.ArgumentParser(
        prog="goemo",
        description="Port a Hugging Face text classifier to an Ascend NPU, and prove the port.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--language", choices=("en", "zh"), help="language of what run prints and of its report"
    )
    top.add_argument("--version", action="version", version=f"goemo {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run_parser(commands)
    for name, (_, line) in MODULES.items():
        commands.add_parser(name, help=line, add_help=False)
    lines = {name.split()[0]: line for name, (_, line) in MAINS.items()}
    lines["selftest"] = f"the tables that prove the kit: {', '.join(_selftests())}"
    for name, line in lines.items():
        commands.add_parser(name, help=line, add_help=False)
    return top


def _selftests() -> dict[str, str]:
    """The tables of ``goemo selftest`` and their lines of help."""
    return {name.split()[-1]: line for name, (_, line) in MAINS.items() if " " in name}


def _run_parser(commands: Any) -> None:
    """Add ``goemo run``."""
    from goemo_utils.boundary.options import add_parameters

    run = commands.add_parser(
        "run",
        help="run the notebooks as a chain and leave a report",
        epilog=EPILOG,
        description=(
            "Run the six notebooks with one set of parameters. Without options: the embedded model"
            " on the rehearsal device (SIMULATED). A run that was stopped goes on with: goemo run"
            " -f FILE -p run_id NAME"
        ),
    )
    add_parameters(run, "parameters file (default: params/rehearsal.yaml)")
    run.add_argument(
        "--from",
        dest="start",
        type=step_name,
        metavar="STEP",
        help="run STEP and everything after it again (of the latest run, unless run_id is given)",
    )
    run.add_argument("--only", type=step_name, metavar="STEP", help="run STEP alone again")
    run.add_argument("--force", action="store_true", help="run every step, whatever is up to date")
    run.add_argument("--dry-run", action="store_true", help="say what would run and why, and stop")


def main(argv: list[str] | None = None) -> int:
    """Entry of the ``goemo`` command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        from goemo_utils.boundary.terminal import only_visible

        with only_visible():
            return _told(arguments)
    except KeyboardInterrupt:
        print("goemo: interrupted.", file=sys.stderr)
        return 3


def _told(arguments: list[str]) -> int:
    """Do what was asked, and tell any failure in one line; returns the exit code."""
    from goemo_utils.boundary.signals import forget, how_ended
    from goemo_utils.errors import GoemoError

    forget()
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        raise
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if how_ended():  # a signal that met an import comes out as whatever the import raises
            raise KeyboardInterrupt from None
        if isinstance(error, GoemoError):
            sentence, code = str(error), error.exit_code
        elif isinstance(error, OSError):
            sentence, code = _system(error), 2
        else:
            sentence, code = _foreign(error), 3
    print(f"goemo: {sentence}", file=sys.stderr)
    return code


def _system(error: OSError) -> str:
    """A sentence for what the system refused: a full disk, a folder that may not be written."""
    from goemo_utils.boundary.regular import NotRegular

    where = f"{error.filename}: " if error.filename else ""
    if isinstance(error, NotRegular):
        return f"{where}{error.strerror}. Put the file itself there, or give another path."
    return (
        f"{where}{error.strerror or error}. Expected a file system that can be read and written"
        " there. Make room, or choose another folder."
    )


def _foreign(error: Exception) -> str:
    """A sentence for an exception that is none of goemo's: what ran out, or where its traceback
    lies.
    """
    from goemo_utils.boundary.remedies import of_error
    from goemo_utils.boundary.unexpected import one_line

    return of_error(error) or one_line(error)


def _dispatch(arguments: list[str]) -> int:
    from goemo_utils.boundary.signals import as_interrupt, at_once

    with at_once():
        work = _prepared(arguments)
    with as_interrupt():
        code = work()
        sys.stdout.flush()  # a full disk behind standard output is told too
        return code


def _prepared(arguments: list[str]) -> Callable[[], int]:
    """Import the command and parse its arguments: what is left to do."""
    from importlib import import_module

    from goemo_utils.environment import torch_npu

    arguments = _in_language(arguments)
    if arguments[:1] != ["doctor"]:  # which looks at the environment as it is
        torch_npu.for_device(torch_npu.asked_for(arguments))

    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in MAINS:
            module = import_module(MAINS[name][0])
            return lambda: int(module.main(arguments[words:]))

    name = arguments[0] if arguments else ""
    if name == "selftest":
        return lambda: _selftest_help(asked=arguments[1:] in (["-h"], ["--help"]))
    if name in MODULES:
        return _command(name, arguments[1:])
    return run_chain(parser().parse_args(arguments), arguments)


def _in_language(arguments: list[str]) -> list[str]:
    """``goemo --language zh run …`` is ``goemo run … -p language zh``; the other commands speak
    English.
    """
    from goemo_utils.errors import ParamsError

    if arguments[:1] != ["--language"]:
        return arguments
    given, rest = arguments[1:2], arguments[2:]
    if given not in (["en"], ["zh"]) or (rest[:1] not in (["run"], []) and given != ["en"]):
        raise ParamsError(
            f"--language was given as {' '.join(given) or 'nothing'} before"
            f" {' '.join(rest[:1]) or 'no command'}; expected en or zh, and zh before run, the"
            " command that speaks Chinese. Write goemo --language zh run."
        )
    return [*rest, "-p", "language", *given] if rest[:1] == ["run"] else rest


def _command(name: str, arguments: list[str]) -> Callable[[], int]:
    """A command whose module has ``add_arguments`` and ``run``."""
    import argparse
    from importlib import import_module

    module = import_module(MODULES[name][0])
    command = argparse.ArgumentParser(
        prog=f"goemo {name}",
        description=" ".join((module.__doc__ or "").split("\n\n")[0].split()),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    parsed = command.parse_args(arguments)
    return lambda: int(module.run(parsed))


def _selftest_help(asked: bool) -> int:
    """Say what ``goemo selftest`` knows; exit code 2 where a table should have been named."""
    lines = [f"  {name:10s} {line}" for name, line in _selftests().items()]
    usage = f"usage: goemo selftest {'|'.join(_selftests())} [--help]"
    print("\n".join([usage, *lines]), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def run_chain(args: argparse.Namespace, command: list[str]) -> Callable[[], int]:
    """``goemo run``: check everything that can be checked first; what is left is to run the
    notebooks and tell each step in a line.
    """
    from goemo_utils.errors import ParamsError
    from goemo_utils.forward import versions
    from goemo_utils.params import Params
    from goemo_utils.params.home import params_file

    if args.start and args.only:
        raise ParamsError("--from and --only contradict each other: give one of them.")
    file = params_file(args.file, "rehearsal.yaml")
    params = _named(Params.load(file, dict(args.param)), file, args)
    versions.check(params.device.partition(":")[0])
    for note in versions.notes():
        print(f"goemo: {note}", file=sys.stderr)

    from goemo_utils.chain import chain
    from goemo_utils.chain.plan import make_plan
    from goemo_utils.chain.screen import Screen
    from goemo_utils.records.step import run_dir
    from goemo_utils.texts.builtin import load_texts

    load_texts(params)

    def work() -> int:
        screen = Screen(params, file, args.param)
        screen.head()
        asked = (args.start, args.only, args.force)
        if args.dry_run:
            for planned in make_plan(params, run_dir(params), *asked):
                screen.planned(planned)
            return 0

        outcome = chain.run(params, file, *asked, ["goemo", *command], screen.tell)
        screen.tail(outcome)
        return outcome.exit_code

    return work


def _named(params: Any, file: Path, args: argparse.Namespace) -> Any:
    """The parameters with a run_id: the one given, the latest run's when going on with it, or a new
    one.
    """
    from pathlib import Path

    from goemo_utils.errors import ParamsError
    from goemo_utils.records.manifest import latest_run_id, new_run_id

    if params.run_id:
        return params

    goes_on = args.start or args.only
    name = latest_run_id(Path(params.output_root)) if goes_on else new_run_id(params, file)
    if name is None:
        raise ParamsError(
            f"{'--from' if args.start else '--only'} goes on with an earlier run, and"
            f" {params.output_root} has none. Run `goemo run` first, or name one with -p run_id"
            " NAME."
        )
    return params.model_copy(update={"run_id": name})


if __name__ == "__main__":
    sys.exit(main())
