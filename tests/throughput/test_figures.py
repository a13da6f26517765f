"""Tables of figures hold what was measured and nothing else; each figure draws from its table."""

import csv
from pathlib import Path
from typing import Any

from goemo_utils.throughput import figures, memory


def cell(size: int, length: int, median: float | None) -> dict[str, Any]:
    return {
        "configuration": "padded batches of 16",
        "dtype": "float32",
        "device": "cpu",
        "batch_size": size,
        "length": length,
        "median": median,
        "ci95": median and [median - 1, median + 1],
        "n": 5,
    }


RESULTS = {
    "grid": [cell(1, 16, 10.0), cell(8, 16, 40.0), cell(1, 512, 2.0), cell(8, 512, None)],
    "latency": [
        {"configuration": "padded", "device": "cpu", "raw": [1.0, 2.0, 3.0]},
        {"configuration": "padded", "device": "rehearsal", "raw": []},
    ],
    "ladder": [
        {
            "rung": "padded",
            "median": 10.0,
            "ci95": [9.0, 11.0],
            "times_first": 1.0,
            "parity": {"sets_changed": 0, "n_texts": 5},
        },
        {
            "rung": "bfloat16",
            "median": 60.0,
            "ci95": [55.0, 66.0],
            "times_first": 6.0,
            "parity": {"sets_changed": 2, "n_texts": 5},
        },
        {"rung": "int8", "median": None, "ci95": None, "times_first": None, "parity": None},
    ],
}


def test_batch_sizes_are_shown_at_the_longest_length_measured_throughout() -> None:
    rows = figures.by_batch_size(RESULTS)
    assert [(row["batch_size"], row["length"], row["median"]) for row in rows] == [
        (1, 16, 10.0),
        (8, 16, 40.0),
    ]
    assert {row["way"] for row in rows} == {"one padded batch, float32 on cpu"}
    assert figures.by_batch_size(RESULTS, length=512)[0]["median"] == 2.0
    assert "at 8 texts" in figures.draw_by_batch_size(rows).axes[0].get_title(loc="left")


def test_latencies_keep_every_call_and_a_simulated_device_has_none() -> None:
    rows = figures.latency(RESULTS)
    assert [row["milliseconds"] for row in rows] == [1.0, 2.0, 3.0]
    assert "2 ms" in figures.draw_latency(rows).axes[0].get_title(loc="left")


def test_the_ladder_prints_speed_and_changed_answers_together() -> None:
    axes = figures.draw_ladder(figures.steps(RESULTS)).axes[0]
    assert "6.00 times" in axes.get_title(loc="left")
    assert any("6.00×, 2 of 5 label sets changed" in text.get_text() for text in axes.texts)


def test_a_run_without_grid_latency_or_ladder_has_empty_tables() -> None:
    assert figures.by_batch_size({}) == figures.latency({}) == figures.steps({}) == []


def test_figures_are_written_with_the_tables_behind_them(tmp_path: Path) -> None:
    written = figures.write(RESULTS, tmp_path / "new")
    assert [path.name for path in written] == [
        "by_batch_size.svg",
        "by_batch_size.csv",
        "latency.svg",
        "latency.csv",
        "ladder.svg",
        "ladder.csv",
    ]

    assert all(
        path.read_text(encoding="utf-8").lstrip().startswith("<?xml")
        for path in written
        if path.suffix == ".svg"
    )

    with (tmp_path / "new" / "ladder.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["rung"], float(row["times_first"])) for row in csv.DictReader(file)] == [
            ("padded", 1.0),
            ("bfloat16", 6.0),
        ]

    assert figures.write({}, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_the_texts_of_the_memory_check_are_short_and_all_different() -> None:
    texts = [memory.short_text(i) for i in range(5000)]
    assert len(set(texts)) == 5000
    assert max(map(len, texts)) < 80


def test_the_peak_of_a_process_is_what_it_held() -> None:
    import subprocess
    import sys

    # Linux hands the peak of a parent on to the child that it starts, and this process is large by
    # now: so a small one asks.
    code = (
        "import sys; from goemo_utils.throughput import memory;"
        "print(memory.peak_of([sys.executable, '-c', 'x = bytearray(400 * 2**20)'])[0])"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = int(asked.stdout)
    assert peak > 400 * 2**20
    assert peak < 1000 * 2**20
