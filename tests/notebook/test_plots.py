"""The notebooks' figures: titles state the finding of the data given, axes carry units, a
simulation says so.
"""

import math

import pytest

from goemo_utils.notebook import plots


def words(figure) -> str:
    axes = figure.axes[0]
    return " | ".join(
        [
            axes.get_title("left"),
            axes.get_xlabel(),
            axes.get_ylabel(),
            *(t.get_text() for t in axes.texts),
        ]
    )


def test_margins_count_what_could_have_changed() -> None:
    assert "1 of the 3 nearest decisions could have changed" in words(
        plots.margins([[0.1, 0.2], [1.0, 1e-3], [2.0, 1e-3]], 0.01, False)
    )
    assert "None of the 1 nearest" in words(plots.margins([[1.0, 1e-3]], None, False))
    assert "logit units" in words(plots.margins([[0.0, 0.0]], None, False))


def test_layers_name_the_worst_ratio() -> None:
    assert "as near to float64 as the CPU" in words(
        plots.layers([{"layer": 0, "R": 1.1}, {"layer": 1, "R": 0.9}], False)
    )
    assert "Up to 350 times" in words(
        plots.layers(
            [{"layer": 0, "R": 1.1}, {"layer": 1, "R": 350.0}, {"layer": 2, "R": None}], False
        )
    )


def test_the_ladder_names_the_nearest_rung() -> None:
    rows = [
        {"rung": "gold (float64)", "rmse": 1e-3},
        {"rung": "tanh_gelu", "rmse": 0.0},
        {"rung": "hf32", "rmse": 2e-3},
    ]
    assert "Nearest to the device: tanh_gelu" in words(plots.ladder(rows, False))
    assert "bit-equal" in words(plots.ladder(rows, False))


@pytest.mark.parametrize("bad", [40.0, "Infinity"])
def test_heat_names_the_hot_call_and_prints_its_value(bad) -> None:
    table = {
        "columns": ["0", "1"],
        "rows": [
            {"module": "attention.self softmax", "values": [1.0, None]},
            {"module": "output.LayerNorm layer_norm", "values": [0.9, bad]},
        ],
    }
    said = words(plots.heat(table, False))
    assert "Error enters at output.LayerNorm layer_norm" in said
    assert ("40.0" if bad == 40.0 else "Infinity") in said
    assert "Every call is right" in words(
        plots.heat({"columns": ["0"], "rows": [{"module": "a", "values": [1.0]}]}, False)
    )


def test_heat_tells_nan_from_a_call_that_was_not_covered() -> None:
    said = words(
        plots.heat(
            {
                "columns": ["0", "1", "2"],
                "rows": [
                    {"module": "a", "values": ["NaN", "not covered", None]},
                    {"module": "b", "values": [1.0, 1.0, 2.0]},
                ],
            },
            False,
        )
    )
    assert said.count("NaN") == 1
    assert said.count("| n/c") == 1
    assert "Error enters at a" in said
    assert "n/c: the call could not be repeated" in said


def test_rates_are_drawn_only_where_there_are_any() -> None:
    row = {
        "id": "cpu",
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 16,
        "median": 1234.4,
        "ci95": [1200, 1300],
        "unit": "texts/s",
    }
    assert plots.rates([{**row, "median": None}], True) is None
    said = words(plots.rates([row], False))
    assert "1,234" in said
    assert "texts/s, median with 95 % interval" in said


@pytest.mark.parametrize(
    ("identity", "batch", "name"),
    [
        ("cpu", 16, "eager float32, batch 16"),
        ("classifier-bf16", None, "goemo float32"),
        ("onnx-int8", None, "ONNX Runtime float32"),
        ("pipeline-1", 1, "pipeline float32, batch 1"),
    ],
)
def test_a_way_has_a_name_that_fits_beside_its_bar(identity, batch, name) -> None:
    row = {"id": identity, "device": "cpu", "dtype": "float32", "batch_size": batch}
    assert plots.short(row) == name


def test_a_simulated_figure_says_so() -> None:
    made = [
        plots.margins([[1.0, 1e-3]], None, True),
        plots.layers([{"layer": 0, "R": 1.0}], True),
        plots.ladder([{"rung": "gold", "rmse": math.pi}], True),
        plots.heat({"columns": ["0"], "rows": [{"module": "a", "values": [1.0]}]}, True),
    ]
    assert all(words(f).startswith("SIMULATED. ") for f in made)
