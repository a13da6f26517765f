"""Labelled texts are read from every kind of source, and what cannot be read is refused with its
place.
"""

import json
import re
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from goemo_utils.errors import TextsError
from goemo_utils.training.columns import Asked
from goemo_utils.training.data import LABELS, read_split
from goemo_utils.training.sources import SAMPLE, SENTIMENTS, class_names, read_table

in_tmp = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
CLASS = {"names": ["neg", "pos"], "_type": "ClassLabel"}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def hub_parquet(path: Path, columns: dict[str, list], features: dict | None = None) -> Path:
    """A parquet file as Hugging Face writes one: the features are JSON in the schema."""
    table = pyarrow.table(columns)
    if features is not None:
        table = table.replace_schema_metadata(
            {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
    return path


def said(source: object, **options: object) -> str:
    with pytest.raises(TextsError) as caught:
        read_split(source, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "Traceback" not in message
    assert caught.value.exit_code == 2
    return message


def names(split) -> list[list[str]]:
    return [[split.labels[i] for i in ids] for ids in split.label_ids()]


def test_a_csv_of_reviews_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "reviews.csv",
        'id,review,sentiment\n1,"good, really",1\n2,bad,-1\n3,so so,0\n4,fine,1\n',
    )
    split = read_split(path, text_column="review", label_column="sentiment")
    assert (split.texts, split.labels, split.task) == (
        ["good, really", "bad", "so so", "fine"],
        ("-1", "0", "1"),
        "single_label",
    )
    assert names(split) == [["1"], ["-1"], ["0"], ["1"]]
    assert names(read_split(path, text_column="review")) == names(split), (
        "sentiment is a usual name of a label column"
    )


def test_imdb_gets_the_names_that_its_parquet_file_declares(tmp_path: Path) -> None:
    path = hub_parquet(
        tmp_path / "imdb.parquet",
        {"text": ["dull", "great", "bad"], "label": [0, 1, 0]},
        {"text": {"_type": "Value"}, "label": CLASS},
    )
    split = read_split(path)
    assert (split.labels, split.task, names(split)) == (
        ("neg", "pos"),
        "single_label",
        [["neg"], ["pos"], ["neg"]],
    )


def test_sst_2_is_read_and_its_hidden_test_labels_are_refused(tmp_path: Path) -> None:
    features = {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}
    train = hub_parquet(
        tmp_path / "train.parquet",
        {"sentence": ["hide it", "a joy"], "label": [0, 1], "idx": [0, 1]},
        features,
    )
    assert names(read_split(train)) == [["negative"], ["positive"]]
    test = hub_parquet(
        tmp_path / "test.parquet",
        {"sentence": ["a", "b", "c"], "label": [-1, -1, -1], "idx": [0, 1, 2]},
        features,
    )

    message = said(test)
    assert "test.parquet, row 0: the label is -1" in message
    assert "3 of 3 rows" in message
    assert "Use a split with labels" in message


@pytest.mark.parametrize("kind", ["Sequence", "List", None])
def test_simplified_goemotions_has_lists_of_declared_ids(tmp_path: Path, kind: str | None) -> None:
    one = {"names": list(LABELS), "_type": "ClassLabel"}
    path = hub_parquet(
        tmp_path / "go.parquet",
        {"text": ["a", "b"], "labels": [[17], [2]], "id": ["x", "y"]},
        {"labels": {"feature": one, "length": -1, "_type": kind} if kind else [one]},
    )
    split = read_split(path)
    assert (split.labels, split.task, names(split)) == (
        LABELS,
        "multi_label",
        [["joy"], ["anger"]],
    ), "lists are multi-label, even of one"


def test_the_goemotions_tsv_layout_needs_no_columns_and_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "dev.tsv", '"A ""quote""\tand\nline"\t2,27\tee8\nyes\t17\ted0\n')
    for options in ({}, {"text_column": "0", "label_column": "1"}):
        split = read_split(path, **options)
        assert split.texts == ['A "quote"\tand\nline', "yes"]
        assert names(split) == [
            ["anger", "neutral"],
            ["joy"],
        ]
        assert (split.labels, split.task) == (LABELS, "multi_label")


def test_an_id_that_goemotions_does_not_have_is_refused_with_its_line(tmp_path: Path) -> None:
    message = said(write(tmp_path / "t.tsv", "fine\t1\tx\nbad\t28\ty\n"))
    assert "t.tsv, line 2: label '28' is unknown" in message
    assert "from 0 to 27" in message
    assert "admiration" in message


def test_jsonl_has_names_ids_or_lists_of_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl",
        '{"text": "a", "labels": ["joy", "love"]}\n\n{"text": "b", "labels": []}\n{"text": "c",'
        ' "labels": "joy"}\n',
    )
    split = read_split(path)
    assert (split.labels, split.task, names(split)) == (
        ("joy", "love"),
        "multi_label",
        [["joy", "love"], [], ["joy"]],
    )
    path = write(
        tmp_path / "n.jsonl", '{"content": "a", "class": 4}\n{"class": 2.0, "content": "b"}\n'
    )
    assert (read_split(path).labels, read_split(path).task) == (("2", "4"), "single_label")


def test_a_txt_is_read_in_the_form_of_fasttext(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.txt", "__label__joy __label__love I love this\n__label__very_sad no\n"
    )
    split = read_split(path)
    assert split.texts == ["I love this", "no"]
    assert names(split) == [["joy", "love"], ["very_sad"]]
    assert read_split(write(tmp_path / "s.txt", "__label__a,b x\n__label__c y\n")).labels == (
        "a,b",
        "c",
    ), "a name is whole"
    assert read_split(path).task == "multi_label"
    assert read_split(tmp_path / "s.txt").task == "single_label"


def test_a_txt_without_labels_says_which_formats_have_them(tmp_path: Path) -> None:
    message = said(write(tmp_path / "t.txt", "just a text\nanother\n"))
    assert "has no labels" in message
    assert "__label__joy" in message
    assert ".csv, .tsv, .jsonl or .parquet" in message
    assert "line 2: the label is empty" in said(
        write(tmp_path / "u.txt", "__label__joy yes\nnothing here\n")
    )


def test_a_frame_is_read_like_a_file() -> None:
    frame = pd.DataFrame(
        {"review": ["a", "b", None, " "], "mood": pd.Categorical(["low", "high", "low", "low"])},
        index=[7, 7, 8, 9],
    )
    split = read_split(frame, text_column="review", label_column="mood")
    assert (split.texts, names(split)) == (["a", "b"], [["low"], ["high"]])
    assert read_table(frame, Asked("review", "mood")).dropped == 2
    assert names(read_split(frame, text_column=0, label_column=1)) == names(split)
    lists = pd.DataFrame({"text": ["a", "b", "c"], "labels": [np.array([1, 0]), (1,), []]})

    assert (names(read_split(lists)), read_split(lists).task) == (
        [["0", "1"], ["1"], []],
        "multi_label",
    )
    assert read_split(pd.DataFrame({"text": ["a", "b"], "label": [1.0, 2.0]})).labels == (
        "1",
        "2",
    ), "pandas writes ids as floats"


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_label_of_a_frame_is_refused_with_its_row(missing: object) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Series(["joy", missing], dtype=object)})
    for task in ("auto", "multi_label"):
        assert "the data frame, row 1: the label is" in said(frame, task=task)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "text,label\na,joy\nb,\n"),
        ("t.jsonl", '{"text":"a","label":"joy"}\n\n{"text":"b","label":null}\n'),
    ],
)
def test_a_missing_label_of_a_file_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str
) -> None:
    assert f"{name}, line 3: the label is" in said(write(tmp_path / name, content))


def test_an_empty_cell_means_no_label_when_the_task_is_said_to_be_multi_label(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "t.csv", 'text,label\na,"joy, love"\nb,\n')
    assert names(read_split(path, task="multi_label")) == [["joy", "love"], []]


def test_columns_of_zeros_and_ones_are_labels_when_labels_names_them(tmp_path: Path) -> None:
    content = "text,id,joy,anger,fear\nyes,x1,1,0,0\nno,x2,0,1,1\nhm,x3,0,0,0\n"
    split = read_split(write(tmp_path / "raw.csv", content), "anger,joy")
    assert (split.labels, split.task, names(split)) == (
        ("anger", "joy"),
        "multi_label",
        [["joy"], ["anger"], []],
    )

    frame = pd.DataFrame({"text": ["a", "b"], "joy": [True, False], "anger": [0.0, 1.0]})
    assert (names(read_split(frame, ["joy", "anger"])), read_split(frame, "joy,anger").task) == (
        [["joy"], ["anger"]],
        "single_label",
    )
    jsonl = write(
        tmp_path / "t.jsonl", '{"text":"a","joy":1,"anger":0}\n{"text":"b","joy":0,"anger":1}\n'
    )

    assert names(read_split(jsonl, "joy,anger")) == [["joy"], ["anger"]]
    hot = hub_parquet(tmp_path / "t.parquet", {"text": ["a", "b"], "joy": [1, 0], "anger": [0, 1]})
    assert names(read_split(hot, "joy,anger")) == [["joy"], ["anger"]]


def test_a_column_named_as_label_must_hold_zeros_and_ones(tmp_path: Path) -> None:
    assert "line 3: column 'joy' holds '2'" in said(
        write(tmp_path / "t.csv", "text,joy\na,1\nb,2\n"), labels="joy"
    )
    assert "all but 'fear'" in said(
        write(tmp_path / "u.csv", "text,joy,anger\na,1,0\n"), labels="joy,anger,fear"
    )


def test_columns_are_found_by_number_in_a_file_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "1,good film,x\n0,bad film,y\n")
    split = read_split(path, text_column="1", label_column="0")
    assert (split.texts, names(split)) == (["good film", "bad film"], [["1"], ["0"]])
    assert read_split(path, text_column=1, label_column=0).texts == split.texts
    headed = write(tmp_path / "h.csv", "sentiment,review\n1,good\n0,bad\n")
    assert read_split(headed, text_column="1", label_column="0").texts == [
        "good",
        "bad",
    ], "a row of usual names is a header"


def test_of_two_columns_one_that_is_known_gives_the_other(tmp_path: Path) -> None:
    assert read_split(write(tmp_path / "t.tsv", "tweet\temotion\na\tjoy\nb\tfear\n")).texts == [
        "a",
        "b",
    ]
    assert read_split(write(tmp_path / "u.csv", "mood,text\njoy,a\nfear,b\n")).labels == (
        "fear",
        "joy",
    )


@pytest.mark.parametrize(
    "options", [{}, {"text_column": "review"}, {"label_column": "mood"}, {"text_column": "7"}]
)
def test_a_missing_column_lists_the_columns_there_are(
    tmp_path: Path, options: dict[str, str]
) -> None:
    files = [
        write(tmp_path / "t.csv", "id,tweet,tone\n1,a,b\n"),
        write(tmp_path / "t.jsonl", '{"id": 1, "tweet": "a", "tone": "b"}\n'),
        hub_parquet(tmp_path / "t.parquet", {"id": [1], "tweet": ["a"], "tone": ["b"]}),
    ]
    for source in (*files, pd.DataFrame({"id": [1], "tweet": ["a"], "tone": ["b"]})):
        message = said(source, **options)
        assert "'id', 'tweet', 'tone'" in message
        assert all(repr(value) in message and key in message for key, value in options.items())


def test_one_column_cannot_be_text_and_label(tmp_path: Path) -> None:
    assert "the same column, 'text'" in said(
        write(tmp_path / "t.csv", "text,label\na,b\n"), text_column="text", label_column="0"
    )


def test_a_damaged_row_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 3: has 3 columns; expected 2" in said(
        write(tmp_path / "t.csv", "text,label\na,joy\nwell, well,joy\n")
    )
    assert "line 2: has no field 'label'" in said(
        write(tmp_path / "t.jsonl", '{"text":"a","label":1}\n{"text":"b"}\n')
    )
    assert "line 1: the value is a list" in said(write(tmp_path / "u.jsonl", '["a", 1]\n'))
    assert "line 2: the value is a number" in said(
        write(tmp_path / "v.jsonl", '{"text":"a","label":1}\n{"text":3,"label":1}\n')
    )
    assert "line 1: byte 3 (0xe9) is not UTF-8" in said(write(tmp_path / "w.csv", b"caf\xe9,1\n"))
    assert "row 0: a label is an object" in said(
        pd.DataFrame({"text": ["a"], "label": [{"joy": 1}]})
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "no such file"),
        ("t.csv", "", "is empty"),
        ("t.xlsx", "x", "ends in '.xlsx'"),
        ("t.csv", "text,label\n", "no row"),
        ("t.csv", "text,label\n ,joy\n,fear\n", "2 rows and every text is empty"),
        ("t.csv", "\n\n", "no row"),
        ("t.jsonl", "\n", "no row"),
        ("t.parquet", "PAR1 no", "not a readable .parquet"),
    ],
)
def test_a_source_without_texts_is_refused(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        write(path, content)
    assert words in said(path)
    assert str(path) in said(path)


@in_tmp
@given(
    content=st.binary(max_size=200)
    | st.text("tex,labeljoy\t\n\"'[]{}:|;01-_ ", max_size=120).map(str.encode),
    suffix=st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".parquet"]),
)
def test_any_bytes_are_read_or_refused_in_a_sentence(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    path = write(tmp_path / f"any{suffix}", content)
    for options in (
        {},
        {"text_column": "0", "label_column": "1"} if suffix in (".csv", ".tsv") else {},
    ):
        try:
            split = read_split(path, **options)
            assert len(split) == len(split.targets) > 0
            assert split.targets.shape[1] == len(split.labels)
        except TextsError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {b"huggingface": b"no json"},
        {b"huggingface": b"[]"},
        {b"huggingface": b'{"info": null}'},
        {
            b"huggingface": (
                b'{"info": {"features": {"label": {"dtype": "int64", "_type": "Value"}}}}'
            )
        },
        {b"huggingface": b'{"info": {"features": {"label": []}}}'},
    ],
)
def test_a_schema_that_declares_no_classes_has_none(metadata: dict[bytes, bytes] | None) -> None:
    assert class_names(metadata, "label") is None


def test_the_sample_is_a_part_of_goemotions_with_sentiments_and_emotions() -> None:
    train, dev = read_split("sample"), read_split("sample:dev")
    assert (len(train), len(dev), train.labels, train.task, dev.task) == (
        2000,
        500,
        SENTIMENTS,
        "single_label",
        "single_label",
    )

    assert min(train.support().values()) > 100
    assert min(dev.support().values()) > 20
    many, few = (
        read_split("sample", label_column="emotions"),
        read_split("sample:dev", label_column="emotions"),
    )
    assert (many.labels, many.task, few.task, many.texts, few.texts) == (
        LABELS,
        "multi_label",
        "multi_label",
        train.texts,
        dev.texts,
    )

    assert min(many.support().values()) >= 8
    assert min(few.support().values()) >= 2
    assert len(set(train.texts) | set(dev.texts)) == 2500, "no text occurs twice"
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 350_000
    assert "Apache-2.0" in (SAMPLE / "README.md").read_text()


class Hub:
    """A hub with the files of one data set, or one that cannot be reached."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, reachable: bool = True
    ) -> None:
        self.folder, self.reachable, self.fetched = folder, reachable, []
        monkeypatch.setattr(huggingface_hub, "list_repo_files", self.list_repo_files)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.hf_hub_download)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

    def list_repo_files(self, repo: str, *, repo_type: str) -> list[str]:
        if not self.reachable:
            raise ConnectionError("no network")
        assert (repo, repo_type) == ("owner/name", "dataset")
        return sorted(
            (
                str(path.relative_to(self.folder))
                for path in self.folder.rglob("*")
                if path.is_file()
            ),
            reverse=True,
        )

    def hf_hub_download(self, repo: str, name: str, *, repo_type: str) -> str:
        assert (repo, repo_type) == ("owner/name", "dataset")
        self.fetched.append(name)
        return str(self.folder / name)

    def snapshot_download(self, repo: str, *, repo_type: str, local_files_only: bool) -> str:
        assert local_files_only
        if not self.folder.exists():
            raise FileNotFoundError(repo)
        return str(self.folder)


def shards(folder: Path) -> Path:
    features = {"label": CLASS}
    for number, (texts, ids) in enumerate([(["a", "b"], [0, 1]), (["c"], [1])]):
        hub_parquet(
            folder / f"plain/train-0000{number}-of-00002.parquet",
            {"text": texts, "label": ids},
            features,
        )

    hub_parquet(
        folder / "plain/train_extra-00000-of-00001.parquet",
        {"text": ["no"], "label": [0]},
        features,
    )
    hub_parquet(
        folder / "plain/test-00000-of-00001-0af3.parquet", {"text": ["d"], "label": [0]}, features
    )

    write(folder / "README.md", "a card")
    return folder


@pytest.mark.parametrize("source", ["hub:owner/name/plain:train", "hub:owner/name:train"])
def test_a_split_on_the_hub_is_all_its_shards_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    hub = Hub(monkeypatch, shards(tmp_path))
    split = read_split(source)
    assert (split.texts, names(split)) == (["a", "b", "c"], [["neg"], ["pos"], ["pos"]])
    assert hub.fetched == [f"plain/train-0000{number}-of-00002.parquet" for number in range(2)]
    assert read_split("hub:owner/name/plain:test").texts == ["d"]


def test_a_row_of_a_later_shard_is_counted_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Hub(monkeypatch, shards(tmp_path))
    hub_parquet(
        tmp_path / "plain/train-00001-of-00002.parquet",
        {"text": ["c"], "label": [2]},
        {"label": CLASS},
    )
    assert "hub:owner/name/plain:train, row 2: label '2' is unknown" in said(
        "hub:owner/name/plain:train"
    )


def test_data_is_the_folder_of_a_data_set_without_configurations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub_parquet(
        tmp_path / "data/validation-00000-of-00001.parquet", {"text": ["a", "b"], "label": [0, 1]}
    )
    hub_parquet(tmp_path / "other/validation-00000-of-00001.parquet", {"text": ["c"], "label": [0]})
    Hub(monkeypatch, tmp_path)
    assert (
        read_split("hub:owner/name:validation").texts
        == read_split("hub:owner/name/absent:validation").texts
        == ["a", "b"]
    )


def test_a_split_that_the_hub_does_not_have_lists_those_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Hub(monkeypatch, shards(tmp_path))
    for source in ("hub:owner/name/plain:dev", "hub:owner/name:dev", "hub:owner/name/fancy:train"):
        message = said(source)
        assert source in message
        assert "plain:test, plain:train" in message
    (tmp_path / "second").mkdir()
    hub_parquet(tmp_path / "second/train-00000-of-00001.parquet", {"text": ["a"], "label": [0]})
    assert "configurations plain, second" in said("hub:owner/name:train")


def test_a_hub_data_set_without_parquet_files_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Hub(monkeypatch, tmp_path)
    write(tmp_path / "script.py", "raise SystemExit")
    assert "no Parquet file at all" in said("hub:owner/name:train")


def test_without_a_network_the_cache_is_read_and_nothing_cached_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Hub(monkeypatch, shards(tmp_path / "cache"), reachable=False)
    assert read_split("hub:owner/name/plain:train").texts == ["a", "b", "c"]
    Hub(monkeypatch, tmp_path / "nowhere", reachable=False)
    message = said("hub:owner/name/plain:train")
    assert "'owner/name'" in message
    assert "ConnectionError" in message
    assert "local file" in message
    assert "HF_ENDPOINT" in message


def test_a_download_that_breaks_off_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Hub(monkeypatch, shards(tmp_path))
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *_, **__: (_ for _ in ()).throw(TimeoutError())
    )
    assert re.search(
        r"plain/train-00000-of-00002.parquet could not be fetched.*TimeoutError.*HF_ENDPOINT",
        said("hub:owner/name/plain:train"),
    )


@pytest.mark.parametrize(
    "source", ["hub:name:train", "hub:owner/name", "hub:owner/name/a/b:train", "hub:"]
)
def test_a_name_that_is_no_data_set_shows_the_form(source: str) -> None:
    assert "hub:OWNER/NAME/CONFIG:SPLIT" in said(source)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "t.csv", "text,text,label\na,b,joy\nc,d,love\n"),
        tmp_path / "t.parquet",
    ]
    parquet.write_table(
        pyarrow.Table.from_arrays(
            [pyarrow.array(["a", "c"])] * 2 + [pyarrow.array(["joy", "love"])],
            names=["text", "text", "label"],
        ),
        files[1],
    )
    for file in files:
        assert "has 2 columns called 'text'; expected one" in said(file)
    assert read_split(files[0], text_column=1, label_column=2).texts[-2:] == ["b", "d"]


@pytest.mark.parametrize(("name", "sign"), [("t.csv", ";"), ("t.csv", "\t"), ("t.tsv", ",")])
def test_a_file_parted_by_another_sign_is_told_so(tmp_path: Path, name: str, sign: str) -> None:
    message = said(write(tmp_path / name, f"review{sign}mood\na{sign}joy\n"))
    assert f"It is one column that holds {sign!r}" in message
    assert "a .csv is parted by commas, a .tsv by tabs" in message
