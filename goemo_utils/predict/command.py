"""Classify texts from the command line or from a file of any size, in constant memory and in input
order.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from goemo_utils.boundary.terminal import bare
from goemo_utils.classifier import loader
from goemo_utils.errors import ParamsError, TextsError
from goemo_utils.predict.journal import Counts
from goemo_utils.records.pairs import shown

if TYPE_CHECKING:
    from tqdm import tqdm

    from goemo_utils.classifier.classifier import GoEmotionsClassifier, Prediction
    from goemo_utils.predict.inputs import Inputs

EPILOG = """\
Output. Without --output, one line a text on the screen: its labels above the threshold with their
probabilities, a tab, the text. --output FILE ending in
  .jsonl    one object a line: {"index", "text", "labels": [{"label", "probability"}, …],
            "truncated", "empty"}
  .csv      index, text, labels (joined by ;), probabilities (joined by ;), top_label,
            top_probability, truncated, empty
  .parquet  the same columns, labels and probabilities as lists
--csv-safe puts an apostrophe before a text or label that a spreadsheet would take for a formula
(one that begins with = + - @, a tab or a carriage return); without it the cells are the texts as
they are.
top_label is the most probable label, above the threshold or not. --probabilities adds every label's
probability: an object "probabilities" in .jsonl, one column p_<label> each in .csv and .parquet.
The file appears under its name only when it is complete. Until then its rows are kept beside it, in
.FILE.started, every 2,048 texts: after a kill the same command goes on behind the last of them, no
row twice and none lost, and refuses if texts, model or options are others. Answers to several files
also hold "file" and "row".

An empty line keeps its place and is answered with "empty": true and no labels. A text longer than
the model's limit is cut there and marked "truncated". Both are counted at the end, on standard
error. What the rehearsal device computed is marked "simulated".
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo predict``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(filter(None, (EPILOG, parser.epilog)))
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text",
        action="append",
        metavar="TEXT",
        help="a text to classify; may be given more than once",
    )
    source.add_argument(
        "--batch_file",
        nargs="+",
        metavar="FILE",
        help=(
            "one text a line, or .csv, .tsv, .jsonl, .json or .parquet with a column of texts;"
            " several files, folders or quoted patterns such as 'data/*.tsv' are read one behind"
            " the other; - reads one text a line from a pipe"
        ),
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help=(
            "the column of texts in a .csv, .tsv, .jsonl, .json or .parquet file; NAME+NAME for"
            " pairs of texts"
        ),
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help=(
            "labels with a higher probability are given (default: the model's own thresholds, else"
            " 0.3)"
        ),
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu (default), npu:N, cuda:N or rehearsal; an absent device is an error",
    )
    parser.add_argument(
        "--model_path", default="embedded", help="embedded (default), a local folder or a hub id"
    )
    loader.add_task(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write to a .jsonl, .csv or .parquet file instead of the screen",
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin --output anew, also where an earlier process left whole rows of it",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="also write the probability of every label"
    )
    parser.add_argument(
        "--csv-safe",
        action="store_true",
        help="keep texts that begin with = + - or @ as text in a .csv, by an apostrophe",
    )
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "eager", "packed", "unpadded", "onnxruntime"),
        help="how a CPU computes (default auto); unpadded is for an NPU, and has run on none",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16", "int8"),
        help="float32 (default), or reduced precision; int8 is for the CPU",
    )
    parser.add_argument(
        "--batch_tokens",
        type=int,
        metavar="N",
        help="tokens a batch (default on a CPU: 2048 without padding, 512 with it)",
    )
    parser.add_argument(
        "--max_length",
        type=int,
        default=512,
        metavar="N",
        help="tokens a text at most (default 512, or the model's own limit)",
    )


def run(args: argparse.Namespace) -> int:
    """Classify as asked and return the exit code 0; raises GoemoError (exit code 2) with one
    sentence for bad input.
    """
    from goemo_utils.forward import thresholds

    if args.text and args.column is not None:
        raise ParamsError(
            f"--column '{args.column}' belongs to a file, and --text was given: expected"
            " --batch_file with it."
        )
    _check_output(args)
    inputs = _inputs(args)
    source: Iterable[str] = inputs.texts() if inputs else args.text or _pipe(args.column)
    # The first text is asked for before the model loads, so that a wrong file fails at once.
    first, source = _peek(source, args.batch_file)
    if args.text:
        # Threads of OpenMP that wait for more by spinning cost a cold start more than one text.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    classifier = loader.loader(args)(args.model_path)
    if classifier.device.simulated:
        print(
            "SIMULATED: the rehearsal device computed these answers; this is not a port.",
            file=sys.stderr,
        )
    print(thresholds.origin(args.threshold, classifier.info), file=sys.stderr)
    texts = _chain(first, source)
    counts: Counts | None
    if args.output:
        counts = _write_file(args, classifier, texts, inputs)
    else:
        predictions = classifier.predict_stream(texts, skip_empty=True)
        counts = _show(
            predictions, classifier, bar=bool(args.batch_file) and not sys.stdout.isatty()
        )
    if args.batch_file and counts:
        print(summary(counts, classifier.max_length, args.output), file=sys.stderr)
    return 0


def _inputs(args: argparse.Namespace) -> Inputs | None:
    """The files of texts; None where the texts come otherwise."""
    from goemo_utils.predict.inputs import Inputs

    if not args.batch_file or args.batch_file == ["-"]:
        return None
    if "-" in args.batch_file:
        raise ParamsError(
            "--batch_file has - beside files, and a pipe has no place among them: expected - alone,"
            " or files."
        )

    inputs = Inputs(args.batch_file, args.column, Path(args.output) if args.output else None)
    output = Path(args.output or "")
    if args.output and output.exists() and any(output.samefile(file) for file in inputs.files):
        raise ParamsError(
            f"--output and --batch_file are the same file, '{output}': the texts would be lost."
        )
    return inputs


def _pipe(column: str | None) -> Iterable[str]:
    """The texts of a pipe, which is said, since it may wait for ever."""
    from goemo_utils.texts.lines import stream_lines

    if column is not None:
        raise ParamsError(
            f"--column '{column}' belongs to a table, and --batch_file - reads one text a line:"
            " expected no column. Leave it out, or give a file."
        )
    print("Reading one text a line from standard input, until it closes …", file=sys.stderr)
    return stream_lines(sys.stdin.buffer, "standard input")


def _write_file(
    args: argparse.Namespace,
    classifier: GoEmotionsClassifier,
    texts: Iterable[str],
    inputs: Inputs | None,
) -> Counts:
    """Answer into --output, behind the rows that an earlier process left."""
    from goemo_utils.predict.output import Form, open_output

    several = inputs is not None and len(inputs.files) > 1
    form = Form(
        classifier.labels,
        args.probabilities,
        classifier.device.simulated,
        args.csv_safe,
        inputs.place if inputs and several else None,
    )
    settings = _settings(args, classifier) | {"several files": several}
    path = Path(args.output)

    with open_output(path, form, settings, inputs is not None, args.from_scratch) as output:
        journal = output.journal
        if journal.rows:
            print(
                f"Going on behind the {journal.rows:,} rows of {args.output} that are there;"
                " --from-scratch begins anew.",
                file=sys.stderr,
            )
        rest = journal.skip(texts)
        # a pipe may wait for its next text, and then an answer would
        ahead = inputs is not None and classifier.device.kind == "cpu"
        answers = classifier.predict_ahead if ahead else classifier.predict_chunks
        try:
            with _bar(journal.rows) as bar:
                for chunk in answers(rest, skip_empty=True, first=journal.rows):
                    output.write(chunk)
                    bar.update(len(chunk))
        except BaseException:
            if journal.rows and inputs:
                print(
                    f"{journal.rows:,} rows are kept; the same command goes on behind them.",
                    file=sys.stderr,
                )
            raise
    return journal.counts


def _settings(args: argparse.Namespace, classifier: GoEmotionsClassifier) -> dict[str, object]:
    """What decides a row beside its text."""
    from goemo_utils import __version__
    from goemo_utils.classifier.identity import digest

    return {
        "model": digest(classifier),
        "threshold": classifier.threshold,
        "device": args.device,
        "batch_tokens": classifier.batch_tokens,
        "probabilities": args.probabilities,
        "csv-safe": args.csv_safe,
        "goemo": __version__,
    }


def _bar(done: int = 0, shown: bool = True) -> tqdm[NoReturn]:
    """Progress in texts; none where standard error is no terminal, as in a log file."""
    from tqdm import tqdm

    quiet = None if shown else True
    return tqdm(unit=" texts", initial=done, disable=quiet, mininterval=0.5, file=bare(sys.stderr))


def _show(
    predictions: Iterable[Prediction], classifier: GoEmotionsClassifier, bar: bool
) -> Counts | None:
    """Print the answers; None where the reader of a pipe, such as head, had seen enough before the
    end.
    """
    try:
        counts = Counts()
        with _bar(shown=bar) as progress:
            for prediction in predictions:
                print(_line(prediction, classifier))
                counts.add(prediction)
                progress.update()
        sys.stdout.flush()

        return counts
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # What is still buffered goes nowhere, or Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.ENOSPC:
            raise ParamsError(
                f"Standard output cannot be written: {error.strerror}. Free some space, or write"
                " elsewhere."
            ) from None
        return None


def _line(prediction: Prediction, classifier: GoEmotionsClassifier) -> str:
    threshold = classifier.threshold
    limit = "its own threshold" if isinstance(threshold, list) else f"{threshold:g}"
    if prediction.empty:
        labels = "(empty)"
    elif prediction.labels:
        labels = ", ".join(f"{label} {probability:.3f}" for label, probability in prediction.labels)
    else:
        labels = f"(none above {limit})"
    # Half a surrogate pair, as wrong decoding leaves them, cannot be printed.
    text = " ".join(shown(prediction.text).split()).encode("utf-8", "replace").decode()
    marks = "  [truncated]" * prediction.truncated + "  [SIMULATED]" * classifier.device.simulated
    return f"{labels}\t{text}{marks}"


def summary(counts: Counts, max_length: int, output: str | None) -> str:
    """The last line: how many texts, how many were empty and where, how many were cut."""
    parts = [f"{counts.texts} texts" + (f" to {output}" if output else "")]
    if counts.empty:
        more = ", …" if counts.empty > len(counts.first_empty) else ""
        parts.append(
            f"{counts.empty} empty (text {', '.join(map(str, counts.first_empty))}{more}), left"
            " without labels"
        )
    if counts.truncated:
        parts.append(f"{counts.truncated} cut at {max_length} tokens")
    return "; ".join(parts) + "."


def _check_output(args: argparse.Namespace) -> None:
    check_place(args)
    if args.output and Path(args.output).is_dir():
        raise ParamsError(f"--output '{args.output}' is a folder: give the name of a file.")


def check_place(args: argparse.Namespace) -> None:
    """Raise ParamsError for an --output with a name or a folder that cannot be."""
    from goemo_utils.predict.output import SUFFIXES

    if args.csv_safe and not str(args.output).endswith(".csv"):
        raise ParamsError(
            f"--csv-safe belongs to a .csv, and --output is {args.output}: expected --output with a"
            " name that ends in .csv."
        )
    if not args.output:
        return
    path = Path(args.output)
    if path.suffix not in SUFFIXES:
        raise ParamsError(
            f"--output '{path}' ends in '{path.suffix}': expected {', '.join(SUFFIXES)}."
        )
    if not path.absolute().parent.is_dir():
        raise ParamsError(
            f"The folder of --output '{path}' does not exist: make it first, or give another path."
        )


def _peek(source: Iterable[str], names: list[str] | None) -> tuple[str, Iterable[str]]:
    rest = iter(source)
    try:
        return next(rest), rest
    except StopIteration:
        where = " ".join(names or [])
        raise TextsError(f"There are no texts in {where}: expected at least one.") from None


def _chain(first: str, rest: Iterable[str]) -> Iterable[str]:
    yield first
    yield from rest
