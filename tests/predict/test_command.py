"""The predict command: every text answered in order, in the format of the file's name, all or
nothing.
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier, Prediction
from goemo_utils.errors import GoemoError, ParamsError, TextsError
from goemo_utils.predict import command as predict
from goemo_utils.predict.output import Form, open_output
from tests.forward import tiny_model

TEXTS = [
    "I am so happy today!",
    "",
    "This is awful, and I am angry.",
    "happy " * 200,
    'Ärger, 困惑 🙂 "quoted", comma',
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture
def batch_file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser(exit_on_error=False)
    predict.add_arguments(parser)
    return predict.run(parser.parse_args([str(a) for a in arguments]))


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_jsonl_answers_every_text_in_order(folder: Path, batch_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert (
        run("--batch_file", batch_file, "--model_path", folder, "--output", out, "--threshold", 0.2)
        == 0
    )
    rows = read_jsonl(out)
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["text"].strip() for row in rows] == [text.strip() for text in TEXTS]
    assert [row["truncated"] for row in rows] == [False, False, False, True, False]
    results, _ = GoEmotionsClassifier(str(folder), threshold=0.2).predict([TEXTS[2]])
    assert [(d["label"], d["probability"]) for d in rows[2]["labels"]] == [
        (name, pytest.approx(p, abs=2e-6)) for name, p in results[0]
    ]


def test_empty_lines_keep_their_place_and_are_named(
    folder: Path, batch_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.jsonl"
    run("--batch_file", batch_file, "--model_path", folder, "--output", out)
    assert [row["empty"] for row in read_jsonl(out)] == [False, True, False, False, False]
    assert read_jsonl(out)[1]["labels"] == []
    told = capsys.readouterr().err
    assert "5 texts" in told
    assert "1 empty (text 2)" in told
    assert "1 cut at 64 tokens" in told


def test_csv_and_parquet_hold_the_same_rows(folder: Path, batch_file: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        run(
            "--batch_file",
            batch_file,
            "--model_path",
            folder,
            "--output",
            tmp_path / f"out.{suffix}",
            "--probabilities",
        )
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["text"] for row in rows] == [row["text"] for row in table]
    assert (
        list(rows[0])
        == list(table[0])
        == [
            "index",
            "text",
            "labels",
            "probabilities",
            "top_label",
            "top_probability",
            "truncated",
            "empty",
            "p_joy",
            "p_anger",
            "p_neutral",
        ]
    )
    assert rows[1]["empty"] == "true"
    assert table[1]["empty"] is True
    assert table[1]["top_label"] is None
    assert rows[1]["top_label"] == ""
    for text, typed in zip(rows, table, strict=True):
        assert text["labels"] == ";".join(typed["labels"])
        assert text["top_label"] == (typed["top_label"] or "")
        if typed["p_joy"] is not None:
            assert float(text["p_joy"]) == pytest.approx(typed["p_joy"], abs=1e-6)


def test_a_parquet_file_of_several_row_groups_is_complete(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goemo_utils.predict.output.ROW_GROUP", 2)
    source = tmp_path / "texts.txt"
    source.write_text("".join(f"text {i}\n" for i in range(5)))
    run("--batch_file", source, "--model_path", folder, "--output", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["index"].to_pylist() == [0, 1, 2, 3, 4]


def test_a_column_of_a_csv_is_classified(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('id,comment\n1,I am so happy today!\n2,"This is awful,\nand I am angry."\n')
    run(
        "--batch_file",
        source,
        "--column",
        "comment",
        "--model_path",
        folder,
        "--output",
        tmp_path / "out.jsonl",
    )
    assert [row["text"] for row in read_jsonl(tmp_path / "out.jsonl")] == [
        "I am so happy today!",
        "This is awful,\nand I am angry.",
    ]


def test_texts_on_the_screen_are_one_line_each(folder: Path, capsys: pytest.CaptureFixture) -> None:
    run(
        "--text",
        "I am so happy today!",
        "--text",
        "two\nlines",
        "--text",
        "",
        "--model_path",
        folder,
        "--threshold",
        0.01,
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("\tI am so happy today!")
    assert lines[1].endswith("\ttwo lines")
    assert lines[2].startswith("(empty)")


def test_the_terminal_says_which_threshold_is_used_and_why(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run("--text", "No.", "--model_path", folder)
    assert "Threshold: 0.3, because the model has none of its own." in capsys.readouterr().err
    own = shutil.copytree(folder, tmp_path / "own")
    labels = list(json.loads((own / "config.json").read_text())["id2label"].values())
    thresholds = {"schema": "goemo.thresholds/1", "thresholds": {label: 0.9999 for label in labels}}
    (own / "thresholds.json").write_text(json.dumps(thresholds))
    run("--text", "No.", "--model_path", own)
    told = capsys.readouterr()
    assert f"Threshold: the model's own, {len(labels)} thresholds, 0.9999 to 0.9999." in told.err
    assert "(none above its own threshold)" in told.out
    run("--text", "No.", "--model_path", own, "--threshold", 0.0001)
    told = capsys.readouterr()
    assert "Threshold: 0.0001, as asked." in told.err
    assert all(label in told.out for label in labels)


def test_a_text_with_nothing_above_the_threshold_says_so(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    run("--text", "No.", "--model_path", folder, "--threshold", 0.9999)
    assert capsys.readouterr().out.startswith("(none above 0.9999)")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--batch_file", "absent.txt"], TextsError, "absent.txt"),
        (["--text", "x", "--output", "out.xlsx"], ParamsError, "xlsx"),
        (["--text", "x", "--output", "no/such/folder/out.csv"], ParamsError, "folder"),
        (["--text", "x", "--threshold", "1.5"], ParamsError, "threshold"),
        (["--text", "x", "--model_path", "./no-such-model"], GoemoError, "no-such-model"),
    ],
)
def test_bad_input_is_one_sentence_with_exit_code_two(
    arguments: list[str], error: type[GoemoError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        run(*arguments)
    assert caught.value.exit_code == 2


def test_an_empty_file_is_an_error_and_leaves_no_output(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("")
    with pytest.raises(TextsError, match=r"none.txt"):
        run(
            "--batch_file",
            tmp_path / "none.txt",
            "--model_path",
            folder,
            "--output",
            tmp_path / "out.csv",
        )
    assert not (tmp_path / "out.csv").exists()


def test_the_texts_are_never_overwritten_by_the_answers(tmp_path: Path) -> None:
    source = tmp_path / "same.jsonl"
    source.write_text('{"text": "x"}\n')
    with pytest.raises(ParamsError, match="same file"):
        run("--batch_file", source, "--output", source)
    assert source.read_text() == '{"text": "x"}\n'


def test_a_failure_half_way_keeps_the_earlier_file_and_the_whole_rows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = [json.dumps({"text": f"fine {i}"}) for i in range(3000)]
    source.write_text("\n".join([*good, "{"]))
    out.write_text("earlier")
    with pytest.raises(TextsError):
        run("--batch_file", source, "--model_path", folder, "--output", out)
    assert out.read_text() == "earlier"
    assert "2,048 rows are kept; the same command goes on behind them" in capsys.readouterr().err

    source.write_text("\n".join(good))
    assert run("--batch_file", source, "--model_path", folder, "--output", out) == 0
    assert "Going on behind the 2,048 rows" in capsys.readouterr().err
    assert [row["index"] for row in read_jsonl(out)] == list(range(3000))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    "suffix",
    [".csv", *(pytest.param(name, marks=pytest.mark.long) for name in (".jsonl", ".parquet"))],
)
def test_after_a_kill_the_same_command_ends_with_the_same_file(
    suffix: str, folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "many.csv"
    rows = [f'"text, number {i}"' if i % 9 else '""' for i in range(30_000)]
    source.write_text("\n".join(["text", *rows]) + "\n")
    out, undisturbed = tmp_path / f"out{suffix}", tmp_path / f"undisturbed{suffix}"
    options = ["--batch_file", source, "--model_path", folder, "--probabilities"]
    run(*options, "--output", undisturbed)

    command = [sys.executable, "-m", "goemo_utils.cli", "predict", *options, "--output", out]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    journal = tmp_path / f".{out.name}.started" / "parts.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and len(journal.read_text().splitlines()) > 1):
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()

    run(*options, "--output", out)
    assert out.read_bytes() == undisturbed.read_bytes()
    assert not journal.parent.exists()


def test_several_files_are_answered_with_file_and_row(folder: Path, tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"one of {name}\ntwo of {name}\n")
    out = tmp_path / "out.jsonl"
    run("--batch_file", tmp_path, "--model_path", folder, "--output", out)
    seen = [(Path(row["file"]).name, row["row"], row["text"]) for row in read_jsonl(out)]
    assert seen == [
        ("a.txt", 1, "one of a.txt"),
        ("a.txt", 2, "two of a.txt"),
        ("b.txt", 1, "one of b.txt"),
        ("b.txt", 2, "two of b.txt"),
    ]


def test_a_pipe_among_files_is_refused(folder: Path) -> None:
    with pytest.raises(ParamsError, match="--batch_file has - beside files"):
        run("--batch_file", "-", "a.txt", "--model_path", folder)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rows_of_a_simulated_device_say_so_in_every_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    row = Prediction(0, "text", [("joy", 0.5)], np.array([0.5], dtype=np.float32), False, False)
    with open_output(path, Form(["joy"], simulated=True), {}) as output:
        output.write([row])
    if suffix == ".jsonl":
        assert read_jsonl(path)[0]["simulated"] is True
    elif suffix == ".csv":
        assert next(csv.DictReader(path.open()))["simulated"] == "true"
    else:
        assert pq.read_table(path)["simulated"].to_pylist() == [True]


def test_a_column_without_a_file_is_refused_and_not_ignored(folder: Path) -> None:
    with pytest.raises(ParamsError, match="--column 'text' belongs to a file"):
        run("--text", "I am happy", "--column", "text", "--model_path", folder)


def test_a_link_stays_one_and_what_it_points_to_is_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").write_text("old")
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "real.jsonl")
    run("--text", "I am happy", "--model_path", folder, "--output", link)
    assert link.is_symlink()
    assert read_jsonl(tmp_path / "real.jsonl")[0]["text"] == "I am happy"


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no device that is always full"
)
def test_a_full_disk_behind_standard_output_is_one_sentence(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "goemo_utils.cli",
        "predict",
        "--text",
        "I am happy",
        "--model_path",
        str(folder),
    ]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "goemo: Standard output cannot be written: No space left"
    )


def test_a_reader_that_has_seen_enough_gets_no_count(folder: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.txt"
    many.write_text("I am happy today\n" * 6000)
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        "goemo_utils.cli",
        "predict",
        "--batch_file",
        str(many),
        "--model_path",
        str(folder),
    ]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert done.returncode == 0
    assert "texts" not in done.stderr
    assert "Traceback" not in done.stderr
