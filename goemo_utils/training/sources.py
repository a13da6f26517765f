"""Where labelled texts come from: a file, a data set on the hub, a pandas frame, or the sample that
comes with the package.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import TextsError, first_line
from goemo_utils.records.pairs import COLUMNS as PLUS
from goemo_utils.records.pairs import joined
from goemo_utils.texts import arrow
from goemo_utils.texts.files import is_goemotions, kind, listed, table_rows
from goemo_utils.texts.json_files import rows as json_rows
from goemo_utils.texts.lines import check_file, lines
from goemo_utils.training import hub
from goemo_utils.training.columns import Asked, Columns, choose
from goemo_utils.training.labels import LABELS
from goemo_utils.training.table import Table, collect

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = Path(__file__).parent / "sample"
# The groups of GoEmotions' own sentiment mapping (google-research,
# goemotions/data/sentiment_mapping.json), neutral beside them.
SENTIMENTS = ("negative", "neutral", "ambiguous", "positive")
FRAME = "the data frame"
ANYTHING = Asked()
_FASTTEXT = re.compile(r"\s*((?:__label__\S+(?:\s+|$))*)(.*)", re.DOTALL)


def read_table(source: str | Path | pd.DataFrame, asked: Asked = ANYTHING) -> Table:
    """Read labelled texts from a .csv .tsv .jsonl .json .txt .parquet path,
    ``hub:OWNER/NAME[/CONFIG]:SPLIT``, a pandas frame, or the sample.

    ``sample`` and ``sample:train`` are its train texts, ``sample:dev`` its dev texts. A .txt needs
    fastText's form, ``__label__joy text``. Raises TextsError naming source and row for what cannot
    be read, for a missing column, and for a source without a text.
    """
    return _pairs_too(_reader(source), asked)


def _reader(source: str | Path | pd.DataFrame) -> Callable[[Asked], Table]:
    """What reads a source's table; raises TextsError for a path that cannot be one."""
    if not isinstance(source, (str, Path)):
        return lambda asked: _frame(source, asked)

    name = str(source)
    if name.startswith("hub:"):
        files = hub.fetch(name)
        return lambda asked: _parquet(files, asked, name)
    if name in ("sample", "sample:train", "sample:dev"):
        part = "dev" if name == "sample:dev" else "train"
        return lambda asked: _sample(part, asked)

    path = Path(source)
    check_file(path, tuple(_READERS))
    read = _READERS[path.suffix.lower()]

    return lambda asked: read(path, asked)


def _pairs_too(read: Callable[[Asked], Table], asked: Asked) -> Table:
    """The table that ``read`` reads; of pairs where two columns of texts are asked for, as in
    ``sentence1+sentence2``. A pair with one empty text is a pair.
    """
    if asked.text is None or PLUS not in asked.text:
        return read(asked)

    try:
        return read(asked)
    except TextsError:  # no column has this very name
        names = asked.text.split(PLUS, 1)

    tables = [read(replace(asked, text=name)) for name in names]
    texts = [dict(zip(table.places, table.texts, strict=True)) for table in tables]
    cells = {p: c for table in tables for p, c in zip(table.places, table.cells, strict=True)}
    places = sorted(cells, key=_number)
    pairs = [joined(*(half.get(place, "") for half in texts)) for place in places]
    empty = tables[0].dropped + len(tables[0].texts) - len(pairs)

    return replace(
        tables[0],
        texts=pairs,
        cells=[cells[place] for place in places],
        places=places,
        dropped=empty,
    )


def _number(place: str) -> int:
    """The number of a row, as in ``line 7``."""
    return int(place.rpartition(" ")[2])


def _sample(part: str, asked: Asked) -> Table:
    """The sample has two columns of labels: sentiment, one a text and taken when none is asked, and
    emotions.
    """
    table = _delimited(
        SAMPLE / f"{part}.tsv",
        asked if asked.label else replace(asked, label="sentiment"),
        f"sample:{part}",
    )
    return (
        replace(table, names=LABELS, listed=True)
        if asked.label in ("emotions", "2")
        else replace(table, names=SENTIMENTS)
    )


def _delimited(path: Path, asked: Asked, source: str = "") -> Table:
    source, rows = source or str(path), table_rows(path)
    first = list(itertools.islice(rows, 20))
    filled = [row for _, row in first if row]
    if not filled:
        return collect(source, ())
    layout = (
        is_goemotions(path, filled) and asked.text in (None, "0") and asked.label in (None, "1")
    )

    chosen = Columns(0, (1,), header=False) if layout else choose(source, filled[0], asked)
    names = LABELS if layout and asked.labels is None else None
    return collect(
        source,
        _cells(source, itertools.chain(first, rows), chosen, len(filled[0])),
        names=names,
        hot=_hot(chosen, asked),
        listed=layout,
    )


def _cells(
    source: str, rows: Iterator[tuple[str, list[str]]], chosen: Columns, width: int
) -> Iterator[tuple[str, Any, Any]]:
    """Text and label cell of each row; a row of another width is an error, for a comma in an
    unquoted text shifts every column after it.
    """
    header = chosen.header

    for place, row in rows:
        if not row:
            continue
        if len(row) != width:
            raise TextsError(
                f"{source}, {place}: has {len(row)} columns; expected {width} as in the first row."
                " Correct the row: a text with a delimiter needs quotes."
            )
        if not header:
            yield place, row[chosen.text], _cell([row[i] for i in chosen.label], chosen)
        header = False


def _cell(values: Sequence[Any], chosen: Columns) -> Any:
    return tuple(values) if chosen.hot else values[0]


def _hot(chosen: Columns, asked: Asked) -> tuple[str, ...] | None:
    return asked.labels if chosen.hot else None


def _txt(path: Path, asked: Asked) -> Table:
    """fastText's form; the labels of a line are a tuple, for a name in it is whole and one label in
    every line is no list.
    """
    if asked.text is not None or asked.label is not None:
        raise TextsError(
            f"{path} has no columns, but text_column or label_column was given; expected neither"
            " for a .txt. Leave them out."
        )

    rows = [
        (
            f"line {number}",
            match[2].rstrip("\n"),
            tuple(word.removeprefix("__label__") for word in match[1].split()) or "",
        )
        for number, line in enumerate(lines(path, None), 1)
        if (match := _FASTTEXT.match(line))
    ]

    if rows and not any(cell for _, _, cell in rows):
        raise TextsError(
            f"{path} has no labels: a .txt holds texts alone, unless its lines begin as fastText's"
            " do, `__label__joy the text`. Give a .csv, .tsv, .jsonl or .parquet with a column of"
            " texts and one of labels."
        )

    return collect(str(path), rows)


def _json(path: Path, asked: Asked) -> Table:
    rows = json_rows(path)
    first = next(rows, None)
    if first is None:
        return collect(str(path), ())
    keys = list(_object(path, *first))
    chosen = choose(str(path), keys, asked, numbers=False)

    def cells() -> Iterator[tuple[str, Any, Any]]:
        for place, value in itertools.chain([first], rows):
            fields = _object(path, place, value)
            absent = [keys[i] for i in (chosen.text, *chosen.label) if keys[i] not in fields]
            if absent:
                raise TextsError(
                    f"{path}, {place}: has no field {absent[0]!r}; its fields are"
                    f" {listed(list(fields))}. Expected the same in every line; add it."
                )
            yield (
                place,
                fields[keys[chosen.text]],
                _cell([fields[keys[i]] for i in chosen.label], chosen),
            )

    return collect(str(path), cells(), hot=_hot(chosen, asked))


def _object(path: Path, place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TextsError(
            f"{path}, {place}: the value is {kind(value)}; expected an object with a text and its"
            ' labels, such as {"text": "…", "labels": ["joy"]}.'
        )
    return value


def _parquet(paths: Sequence[Path], asked: Asked, source: str) -> Table:
    """The rows of one or more files with the same columns, counted through from row 0."""
    arrow.require()
    import pyarrow
    from pyarrow import parquet, types

    rows: list[tuple[str, Any, Any]] = []
    names, is_list = None, False

    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                chosen = choose(source, schema.names, asked, numbers=False)
                picked = [schema.names[i] for i in (chosen.text, *chosen.label)]
                texts, *columns = (
                    column.to_pylist()
                    for column in file.read(columns=picked).select(picked).columns
                )
        except (pyarrow.ArrowException, OSError) as error:
            raise TextsError(
                f"{path} is not a readable .parquet file ({first_line(error)}); expected Parquet."
                " Write it again."
            ) from None

        kept = schema.field(chosen.label[0]).type
        is_list = types.is_list(kept) or types.is_large_list(kept) or types.is_fixed_size_list(kept)
        names = names or class_names(schema.metadata, picked[1])
        rows += [
            (f"row {number}", text, _cell(cells, chosen))
            for number, (text, *cells) in enumerate(zip(texts, *columns, strict=True), len(rows))
        ]

    return collect(
        source,
        rows,
        names=None if chosen.hot else names,
        hot=_hot(chosen, asked),
        listed=is_list and not chosen.hot,
    )


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...] | None:
    """The names of a column's ids as Hugging Face writes them into an Arrow schema, also for a list
    of ids; None where there are none.

    The key ``huggingface`` holds JSON whose ``info.features.<column>`` is a ClassLabel with
    ``names``, or a Sequence or List whose ``feature`` is one (huggingface/datasets,
    ``Features.arrow_schema``).
    """
    try:
        feature = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]
        while isinstance(feature, list) or "feature" in feature:
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature["names"] if feature.get("_type") == "ClassLabel" else None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return None

    return tuple(map(str, names)) if isinstance(names, list) and names else None


def _frame(frame: pd.DataFrame, asked: Asked) -> Table:
    chosen = choose(FRAME, list(frame.columns), asked, numbers=False)
    texts, *columns = (frame.iloc[:, i].tolist() for i in (chosen.text, *chosen.label))
    rows = (
        (
            f"row {number}",
            text,
            _cell([list(cell) if isinstance(cell, tuple) else cell for cell in cells], chosen),
        )
        for number, (text, *cells) in enumerate(zip(texts, *columns, strict=True))
    )
    return collect(FRAME, rows, hot=_hot(chosen, asked))


_READERS: dict[str, Callable[[Path, Asked], Table]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".jsonl": _json,
    ".json": _json,
    ".txt": _txt,
    ".parquet": lambda path, asked: _parquet([path], asked, str(path)),
}
