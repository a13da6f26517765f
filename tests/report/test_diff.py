"""Two runs side by side: what changed, what moved, and whether a gate got worse."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.report import ReportError, diff, listing
from goemo_utils.report.read import read_run
from goemo_utils.report.words import Words
from tests.report import fixtures
from tests.report.pages import Page


def _arguments(module: Any, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for kind in ("passing", "with_cause", "failing", "rehearsal"):
        fixtures.make(kind, tmp_path / kind)
    return tmp_path


def _compare(runs: Path, before: str, after: str) -> dict:
    return diff.compare(read_run(runs / before), read_run(runs / after))


def test_a_run_against_itself_differs_in_nothing(runs: Path) -> None:
    found = _compare(runs, "passing", "passing")
    assert not found["changed"]
    assert not found["metrics"]
    assert not found["worse"]
    assert {gate["change"] for gate in found["gates"]} == {"same"}


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("passing", "failing", 1),
        ("failing", "passing", 0),
        ("passing", "with_cause", 1),
        ("passing", "passing", 0),
    ],
)
def test_the_exit_code_is_1_when_a_gate_got_worse(
    runs: Path, capsys, before: str, after: str, code: int
) -> None:
    assert diff.run(_arguments(diff, before, after, "--outputs", str(runs))) == code
    assert ("Got worse" in capsys.readouterr().out) == bool(code)


def test_worse_gates_are_named_with_value_and_limit(runs: Path) -> None:
    found = _compare(runs, "passing", "failing")
    assert {"rounding", "cause", "place", "flips", "flip_bound", "verdict"} == set(found["worse"])
    rounding = next(g for g in found["gates"] if g["id"] == "rounding")
    assert (
        rounding["before"]["value"],
        rounding["after"]["value"],
        rounding["after"]["limit"],
    ) == (1.37, 41_000.0, 2.0)


def test_an_error_that_needs_a_cause_is_worse_than_rounding(runs: Path) -> None:
    assert set(_compare(runs, "passing", "with_cause")["worse"]) == {"rounding", "verdict"}


def test_a_cause_that_is_no_longer_needed_is_not_worse(runs: Path) -> None:
    assert _compare(runs, "with_cause", "passing")["worse"] == []


def test_a_gate_that_vanished_is_worse_than_one_that_passed(tmp_path: Path) -> None:
    before = fixtures.make("passing", tmp_path / "a")
    manifest, records = fixtures.passing()
    parity = records["03_parity"]["results"]
    parity["gates"] = [g for g in parity["gates"] if g["id"] != "place"]
    after = fixtures.write_run(tmp_path / "b", manifest, records)
    assert diff.compare(read_run(before), read_run(after))["worse"] == ["place"]


@pytest.mark.parametrize(
    ("kind", "what", "change"),
    [
        ("versions", "torch", lambda m, r: m["versions"].update(torch="2.9.0")),
        ("params", "threshold", lambda m, r: m["params"].update(threshold=0.5)),
        ("code", "revision", lambda m, r: m["code"].update(revision="f" * 40)),
        (
            "device",
            "numerics",
            lambda m, r: r["01_load"]["results"]["device"].update(numerics="tanh_gelu"),
        ),
        (
            "weights",
            "weights_sha256",
            lambda m, r: r["01_load"]["results"]["model"].update(
                weights_sha256="sha256:" + "0" * 64
            ),
        ),
    ],
)
def test_what_changed_is_named_by_its_kind(tmp_path: Path, kind: str, what: str, change) -> None:
    before = fixtures.make("passing", tmp_path / "a")
    manifest, records = fixtures.passing()
    change(manifest, records)
    after = fixtures.write_run(tmp_path / "b", manifest, records)
    found = diff.compare(read_run(before), read_run(after))["changed"]
    assert [(row["kind"], row["what"]) for row in found] == [(kind, what)]


@pytest.mark.parametrize(("factor", "moved"), [(1.001, False), (1.2, True)])
def test_a_rate_moved_only_when_the_intervals_do_not_overlap(
    tmp_path: Path, factor: float, moved: bool
) -> None:
    before = fixtures.make("passing", tmp_path / "a")
    manifest, records = fixtures.passing()
    row = records["04_throughput"]["results"]["rows"][0]
    row.update(median=row["median"] * factor, ci95=[v * factor for v in row["ci95"]])
    after = fixtures.write_run(tmp_path / "b", manifest, records)
    assert diff.compare(read_run(before), read_run(after))["rates"][0]["moved"] is moved


@pytest.mark.parametrize(
    ("n", "k", "moved"),
    [
        ((23, 23), (0, 2), False),
        ((5427, 5427), (0, 40), True),
        ((23, 5427), (0, 0), False),
        ((5427, 5427), (3, 5), False),
    ],
)
def test_a_flip_rate_moved_only_when_its_exact_intervals_lie_apart(
    tmp_path: Path, capsys, n: tuple[int, int], k: tuple[int, int], moved: bool
) -> None:
    for name, texts, flips in zip("ab", n, k, strict=True):
        manifest, records = fixtures.passing()
        records["03_parity"]["results"].update(
            n_texts=texts,
            flips={"count": flips, "texts": flips, "explained": flips, "unexplained": 0},
        )
        fixtures.write_run(tmp_path / name, manifest, records)
    row = next(r for r in _compare(tmp_path, "a", "b")["metrics"] if r["id"] == "flip_rate")
    assert row["moved"] is moved
    assert (row["before"], row["after"]) == (k[0] / n[0], k[1] / n[1])
    assert row["before_interval"] == pytest.approx(scipy_interval(k[0], n[0]), abs=1e-9)
    diff.run(_arguments(diff, "a", "b", "--outputs", str(tmp_path)))
    line = next(line for line in capsys.readouterr().out.splitlines() if "flip_rate" in line)
    assert line.endswith("moved" if moved else "within the intervals")
    assert line.count("[") == 2


def scipy_interval(k: int, n: int) -> list[float]:
    """Clopper-Pearson by quantiles of the beta distribution: another way to the same numbers."""
    beta = pytest.importorskip("scipy.stats").beta
    return [
        0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1)),
        1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k)),
    ]


def test_a_share_of_texts_has_an_interval_and_a_share_of_pairs_has_none(runs: Path) -> None:
    manifest, records = fixtures.passing()
    for metric, value in (("top1_match", 5400 / 5427), ("match_within_1_percent", 0.9)):
        fixtures.set_metric(records["03_parity"]["results"], metric, value)
    fixtures.write_run(runs / "changed", manifest, records)
    rows = {r["id"]: r for r in _compare(runs, "passing", "changed")["metrics"]}
    assert rows["top1_match"]["after_interval"] == pytest.approx(
        scipy_interval(5400, 5427), abs=1e-9
    )
    assert rows["top1_match"]["moved"] is True
    assert "after_interval" not in rows["match_within_1_percent"]
    assert rows["match_within_1_percent"]["moved"] is None


def test_other_thresholds_of_the_model_are_named(tmp_path: Path) -> None:
    for name, low in (("a", 0.12), ("b", 0.2)):
        manifest, records = fixtures.passing()
        records["01_load"]["results"]["model"]["thresholds"] = [low, *[0.5] * 27]
        fixtures.write_run(tmp_path / name, manifest, records)
    changed = _compare(tmp_path, "a", "b")["changed"]
    assert [(row["kind"], row["what"]) for row in changed] == [("weights", "thresholds")]
    assert "28 thresholds, 0.12 to 0.5 → 28 thresholds, 0.2 to 0.5" in diff.text(
        _compare(tmp_path, "a", "b"), Words("en")
    )


def test_json_and_page_are_written_and_the_page_marks_a_rehearsal(runs: Path, capsys) -> None:
    words = [
        "passing",
        "rehearsal",
        "--outputs",
        str(runs),
        "--json",
        str(runs / "d.json"),
        "--html",
        str(runs / "d.html"),
    ]
    diff.run(_arguments(diff, *words))
    assert json.loads((runs / "d.json").read_text())["schema"] == "goemo.diff/1"
    page = Page(runs / "d.html")
    assert not page.all("script")
    assert page.all("title")[0].text.startswith("SIMULATED")
    assert "SIMULATED" in capsys.readouterr().out


def test_an_unknown_run_is_refused_with_the_names_there_are(runs: Path) -> None:
    with pytest.raises(ReportError, match="passing"):
        diff.run(_arguments(diff, "nothing", "passing", "--outputs", str(runs)))


def test_the_list_shows_every_run_once_with_its_verdict(runs: Path, capsys) -> None:
    (runs / "latest").symlink_to("passing")
    (runs / "broken").mkdir()
    (runs / "broken" / "manifest.json").write_text("{")
    assert listing.run(_arguments(listing, "--outputs", str(runs))) == 0
    out = capsys.readouterr().out
    assert out.count("pass, SIMULATED") == 1
    assert "unreadable" in out
    assert "latest" not in out
    listing.run(_arguments(listing, "--outputs", str(runs), "--json"))
    assert {row["run"] for row in json.loads(capsys.readouterr().out)} == {
        "passing",
        "with_cause",
        "failing",
        "rehearsal",
        "broken",
    }


def test_no_runs_is_said_in_a_sentence(tmp_path: Path, capsys) -> None:
    assert listing.run(_arguments(listing, "--outputs", str(tmp_path / "none"))) == 0
    assert "goemo run" in capsys.readouterr().out
