"""A report of several cards: a table, a sentence that names the sick one, and no speed of simulated
ones.
"""

from pathlib import Path
from typing import Any

import pytest

from goemo_utils.report import render
from goemo_utils.report.read import ReportError
from tests.report import fixtures

READING = "Card 2 is R = 9.9e+03 from the others and errs in gelu of encoder. The other 3 agree."


def gate(result: str, reading: str, sick: list[int]) -> dict[str, Any]:
    return {
        "id": "cards",
        "result": result,
        "value": 9900.0 if sick else 0.0,
        "limit": 3.0,
        "n": 4,
        "formula": "formula of cards",
        "meaning": reading,
        "sick": sick,
    }


def row(card: int, sick: bool) -> dict[str, Any]:
    fault = {"module": "encoder", "operator": "gelu", "reading": None, "ratio_rms": 1e4}
    return {
        "card": card,
        "name": f"card {card}",
        "status": "ok",
        "reason": None,
        "sick": sick,
        "verdict": "fail" if sick else "pass",
        "R": 8980.0 if sick else 1.1,
        "texts_changed": 0,
        "bits": "B" if sick else "A",
        "apart": 9900.0 if sick else 0.0,
        "gates_failed": ["rounding"] if sick else [],
        "causes": [],
        "faults": [fault] if sick else [],
    }


def with_cards(kind: str, sick: list[int], rate: float | None = None) -> Any:
    """The records of a run with four cards."""
    manifest, records = getattr(fixtures, kind)()
    parity, speed = records["03_parity"]["results"], records["04_throughput"]["results"]
    told = gate("fail", READING, sick) if sick else gate("pass", "All 4 cards agree.", [])
    parity["gates"].append(told)
    parity["cards"] = {
        "rows": [row(card, card in sick) for card in range(4)],
        "pairs": [],
        "limit": 3.0,
        "formula": "f",
        "sick": sick,
        "reading": told["meaning"],
        "gate": told,
    }
    if sick:
        parity["verdict"] = speed["parity_verdict"] = "fail"
    rates = [
        {"card": card, "name": f"card {card}", "sick": False, "median": rate, "ci95": None, "n": 30}
        for card in range(4)
    ]
    value = None if rate is None else 0.93
    scaling = {"value": value, "together": 372.0, "alone": 400.0, "cards": 4, "reason": "simulated"}
    speed["cards"] = {"rows": rates, "scaling": scaling}
    return manifest, records


def page(folder: Path, run: Any, language: str = "en") -> str:
    fixtures.write_run(folder, *run)
    render(folder, language)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("language", "named"), [("en", "Card 2 is R"), ("zh", "其中卡 2 异常")])
def test_the_page_names_the_sick_card_and_shows_every_card(
    tmp_path: Path, language: str, named: str
) -> None:
    told = page(tmp_path / "r", with_cards("rehearsal", [2]), language)
    assert told.count(named) >= 2
    name = {"en": "card", "zh": "卡"}[language]
    for card in range(4):
        assert f"{name}\u00a0{card}" in told


def test_summary_holds_every_card_and_its_schema_knows_them(tmp_path: Path) -> None:
    from goemo_utils.records.record import read_json

    page(tmp_path / "r", with_cards("rehearsal", [2]))
    summary = read_json(tmp_path / "r" / "summary.json")
    assert summary["verdict"] == "fail"
    assert summary["cards"]["sick"] == [2]
    assert [card["bits"] for card in summary["cards"]["rows"]] == ["A", "A", "B", "A"]
    assert summary["cards"]["scaling_efficiency"] is None


def test_real_cards_show_their_rates_and_what_they_do_at_once(tmp_path: Path) -> None:
    told = page(tmp_path / "r", with_cards("passing", [], rate=100.0))
    assert "Throughput by card" in told
    assert "Scaling efficiency" in told
    assert "93" in told


def test_a_rate_of_a_simulated_card_is_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cards has a rate of card 0 on a simulated device"):
        page(tmp_path / "r", with_cards("rehearsal", [], rate=100.0))


def test_a_page_of_one_card_has_no_such_section(tmp_path: Path) -> None:
    assert "Card by card" not in page(tmp_path / "r", fixtures.rehearsal())
