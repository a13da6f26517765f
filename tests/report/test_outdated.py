"""A step that was run again overtakes what later steps recorded of it: the page says so."""

from pathlib import Path
from typing import Any

import pytest

from goemo_utils.report import ReportError, render
from goemo_utils.report.read import read_run
from tests.report import fixtures
from tests.report.pages import Page

LATER = {"started": "2026-11-21T10:00:00.000Z", "ended": "2026-11-21T10:00:20.000Z"}


def run_again(tmp_path: Path, step: str, **changed: Any) -> Path:
    """A passing run in which ``step`` was run again later, with other results or parameters."""
    manifest, records = fixtures.passing()
    records[step].update(LATER)
    for key, values in changed.items():
        records[step][key] = {**(records[step].get(key) or {}), **values}
    return fixtures.write_run(tmp_path, manifest, records)


def states(folder: Path) -> dict[str, str]:
    return {name: state.status for name, state in read_run(folder).states.items()}


def test_a_later_verdict_puts_the_throughput_that_quotes_the_old_one_out_of_date(tmp_path) -> None:
    folder = run_again(tmp_path, "03_parity", results={"verdict": "pass-with-cause"})
    assert states(folder)["04_throughput"] == "outdated"
    assert states(folder)["03_parity"] == "ok"


def test_a_later_record_with_the_same_outcome_overtakes_nothing(tmp_path) -> None:
    assert set(states(run_again(tmp_path, "03_parity")).values()) == {"ok"}


def test_a_model_loaded_anew_puts_everything_that_was_built_on_the_old_one_out_of_date(
    tmp_path,
) -> None:
    manifest, records = fixtures.passing()
    for step in ("01_load", "02_smoke", "03_parity", "04_throughput"):
        records[step]["params"] = {"model": "old"}
    records["01_load"].update(LATER, params={"model": "new"})
    told = states(fixtures.write_run(tmp_path, manifest, records))
    assert [step for step, state in told.items() if state == "outdated"] == [
        "02_smoke",
        "03_parity",
        "04_throughput",
    ]


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "04_throughput is older than what"), ("zh", "04_throughput 早于")],
)
def test_the_page_says_so_and_how_to_go_on(tmp_path, language, words) -> None:
    folder = run_again(tmp_path, "03_parity", results={"verdict": "pass-with-cause"})
    render(folder, language)
    page = Page(folder / "report.html")
    assert words in page.text
    assert "goemo run -f params/npu.yaml" in page.text
    assert "--from 04_throughput" in page.text


def test_a_contradiction_that_no_later_run_explains_is_refused(tmp_path) -> None:
    manifest, records = fixtures.passing()
    records["03_parity"]["results"]["verdict"] = "pass-with-cause"
    with pytest.raises(ReportError, match="run 04_throughput again"):
        render(fixtures.write_run(tmp_path, manifest, records))


def test_values_are_compared_with_the_nearest_step_that_decides_them(tmp_path) -> None:
    manifest, records = fixtures.passing()
    numerics = {"01_load": "exact", "03_parity": "hf32", "04_throughput": "hf32"}
    for step, value in numerics.items():
        records[step]["params"] = {"rehearsal_numerics": value}
    folder = fixtures.write_run(tmp_path, manifest, records)
    assert set(states(folder).values()) == {"ok"}
    render(folder)


def test_a_rehearsal_says_what_the_run_that_was_compared_imitated(tmp_path) -> None:
    manifest, records = fixtures.rehearsal()
    records["03_parity"]["results"]["packs"]["candidate"]["numerics"] = "tf32"
    folder = fixtures.write_run(tmp_path, manifest, records)
    render(folder)
    assert "told to imitate tf32" in Page(folder / "report.html").text
