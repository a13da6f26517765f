"""``goemo selftest encoders``: every family of encoders, tiny and random, through every path of the
package, against transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

from goemo_utils.families.judge import LIMIT, Cell, Row, judge
from goemo_utils.families.zoo import FAMILIES, Family
from goemo_utils.records.record import package_digest

# A sample for the test suite: padding by family, no mask, a model that changes itself, positions
# after padding, left padding with types, and a window of attention.
SHORT = ("bert", "big_bird", "fnet", "ibert", "modernbert", "xlnet")
FACTS = ("limit", "pads", "why", "differs", "refused")
PATHS = ("alone", "batched", "packed", "onnxruntime", "chain", "tuned")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the table."""
    parser.add_argument("families", nargs="*", help="only these, by transformers' model_type")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument(
        "--no_tuning", action="store_true", help="leave out the fine-tuning of a few steps"
    )
    parser.add_argument("--page", metavar="FILE", help="also write the table as a Markdown page")
    parser.add_argument(
        "--keep",
        metavar="FILE",
        help="keep each row there as it comes, and do not make those again that it holds already",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row a family and the counts; 0 where every family is exact or is named as refused."""
    parser = argparse.ArgumentParser(prog="goemo selftest encoders", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    chosen = [family for family in FAMILIES if _asked(family, args)]
    unknown = set(args.families) - {family.model_type for family in FAMILIES}
    if unknown or not chosen:
        print(
            f"No such family: {', '.join(sorted(unknown))}. Expected some of"
            f" {', '.join(dict.fromkeys(family.model_type for family in FAMILIES))}.",
            file=sys.stderr,
        )
        return 2

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    print("| " + " | ".join(("family", "limit", "runs", *PATHS, "answers differ by")) + " |")
    print("|" + "---|" * (len(PATHS) + 4))
    kept = Kept(Path(args.keep) if args.keep else None)
    rows = []
    for family in chosen:
        row = kept.row(family) or kept.add(judge(family, tune=not args.no_tuning))
        rows.append(row)
        print(line(row), flush=True)
    print()
    print(summary(rows))
    if args.page:
        Path(args.page).write_text(page(rows), encoding="utf-8")
    refused = [row for row in rows if row.family.refused]
    return int(not all(row.passed for row in rows if row not in refused))


class Kept:
    """The rows of a table that was stopped, a line of JSON each, so that it goes on.

    They hold for one state of the package: rows of another are made again.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.code = file, package_digest()
        lines = file.read_text(encoding="utf-8").splitlines() if file and file.is_file() else []
        found = [json.loads(line) for line in lines]
        self.rows = {tuple(row["family"]): row for row in found if row["code"] == self.code}

    def row(self, family: Family) -> Row | None:
        """The row of a family, where it is kept."""
        kept = self.rows.get((family.model_type, family.note))
        if kept is None:
            return None
        cells = {name: Cell(*cell) for name, cell in kept["cells"].items()}
        return Row(family, cells=cells, **{name: kept[name] for name in FACTS})

    def add(self, row: Row) -> Row:
        """Keep a new row."""
        if self.file:
            entry = {
                "family": [row.family.model_type, row.family.note],
                "code": self.code,
                "cells": {name: [cell.difference, cell.reason] for name, cell in row.cells.items()},
                **{name: getattr(row, name) for name in FACTS},
            }
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        return row


def _asked(family: Family, args: argparse.Namespace) -> bool:
    if args.families:
        return family.model_type in args.families
    return family.model_type in SHORT or not args.short


def line(row: Row) -> str:
    """A row of the table."""
    name = row.family.model_type + (f" ({row.family.note})" if row.family.note else "")
    if row.refused:
        return f"| {name} | refused: {row.refused} |"
    runs = "padded" if row.pads else "one length at a time"
    cells = [_short(row.cells[path], row.family) if path in row.cells else "" for path in PATHS]
    return f"| {name} | {row.limit} | {runs} | {' | '.join(cells)} | {row.differs:.2f} |"


def _short(cell: Cell, family: Family) -> str:
    """A cell of a table: an export that is refused says so in two words, and what a family is
    refused for in one; the reason stands below the table.
    """
    if "cannot be exported" in cell.reason:
        return "no export"
    return "fails" if family.refused and cell.difference is None else cell.words


def summary(rows: Sequence[Row]) -> str:
    """The counts in words."""
    exact = [row for row in rows if row.passed and not row.family.refused]
    refused = [row for row in rows if row.family.refused]
    wrong = [row for row in rows if row not in exact and row not in refused]
    exported = [row for row in exact if row.cells["onnxruntime"].passed]
    alone = [row.family.model_type for row in exact if not row.pads]
    sentences = [
        f"{len(exact)} of {len(rows)} rows ({_families(rows)} families) answer as transformers"
        f" does, within {LIMIT:g} of a probability, alone, batched, padded and at their limit of"
        " length.",
        f"ONNX Runtime runs {len(exported)} of them; for the others its exporter refuses the graph"
        " or the self-check does, in a sentence.",
        f"Run one length at a time: {', '.join(alone) or 'none'}.",
    ]
    sentences += [f"Refused: {row.family.model_type}: {row.family.refused}." for row in refused]
    sentences += [f"WRONG: {row.family.model_type}." for row in wrong]

    return "\n".join(sentences)


def _families(rows: Sequence[Row]) -> int:
    """How many families there are: one may stand in two forms."""
    return len({row.family.model_type for row in rows})


def page(rows: Sequence[Row]) -> str:
    """The page docs/encoders.md."""
    import torch
    import transformers

    head = "| " + " | ".join(("family", "limit", "runs", *PATHS, "answers differ by")) + " |"
    table = [head, "|" + "---|" * (len(PATHS) + 4), *(line(row) for row in rows)]
    why = [
        _bullet(f"**{row.family.model_type}**: {row.why}.")
        for row in rows
        if row.why and not row.family.refused
    ]
    return PAGE.format(
        table="\n".join(table),
        summary="\n".join(map(_bullet, summary(rows).splitlines())),
        why="\n".join(why),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def _bullet(sentence: str) -> str:
    """A sentence of a list, as wide as the documents are."""
    return textwrap.fill(
        f"- {sentence}", 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


PAGE = """# Encoders

Any encoder classifier that transformers can load works in every command in the same way. This table
is the proof: each family is made tiny, with random weights and answers that differ between texts,
and run through every path of the package. A cell is the largest difference of a probability from
transformers' own answer to one text at a time, without padding, from a fresh copy of the model.
Written by `goemo selftest encoders --page docs/encoders.md` with torch {torch} and transformers
{transformers} on a CPU; nothing here ran on an NPU or a GPU.

- **alone**: the classifier, one text a call; **batched**: all texts in one call, padded where the
  model allows it; **packed**: the fast way on a CPU; **onnxruntime**: the exported graph;
  **chain**: a forward run as notebook 03 makes one; **tuned**: two steps of fine-tuning, and the
  tuned model in the classifier.
- The texts are ten: short ones, one word, and two that are cut at the model's limit of length.

{table}

{summary}

## What is found by looking at the model

No list of names decides any of this. When a model is loaded it is run on two short texts:

- which inputs its forward takes: one without `attention_mask` gets none;
- whether a text's answer stays the same in padded company. If not, texts of one length run together
  and nothing is padded;
- whether a forward changes the model for the next one (a switch, another module, a number that the
  first text's length settles). It is then put back before every forward, and lengths run apart;
- how few tokens it takes: shorter texts are padded to so many (CANINE pools four characters, and
  transformers has no answer to a text of one);
- whether the texts of a batch must hold equally many end tokens (BART, T5): others run apart;
- where its table of positions begins and how many places are left: that is the limit of length. A
  limit that the model itself refuses, as where it pads to whole blocks inside, is lowered;
- whether the tokenizer knows more tokens than the model's table holds: that is refused, with both
  numbers.

## Beside the list

Tried once on 2026-11-28, without fine-tuning, and equal to transformers within 1e-5 alone,
batched, packed and in the chain: biogpt, bloom, ctrl, gemma2, gpt_neo, mbart, mistral,
modernbert-decoder, mt5, nemotron, openai-gpt, opt, plbart, and ModernBERT with classifier_pooling
mean. ONNX Runtime runs ctrl, gpt_neo and openai-gpt of them. Refused in a sentence: jamba, which
fails on its first text, and FlauBERT with pre_norm (flaubert_large_cased), which transformers 5
fails on and 4.57.6 runs. In other settings, equal alone, batched and packed: bigbird_pegasus,
gemma3, mvp, phi3 with longrope, umt5, Funnel that pools the first token too or by maximum, Reformer
with open buckets, CANINE with other strides, ALBERT with two groups, XLM with languages or causal.
A pair of texts is answered as alone by a fresh copy of transformers' model; its own BigBird, once a
short text has switched it, answers long ones otherwise (by 0.06 of a probability). A tokenizer
without padding token (most GPT-2 classifiers) runs one text at a time; fine-tuning needs the token.

## One length at a time

Families that run one length at a time here, and why:

{why}
"""
