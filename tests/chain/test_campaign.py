"""The fault campaign, in short: on stand-ins for the notebooks, one or two trials of each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from goemo_utils.chain import campaign, faults
from goemo_utils.chain.faults import Place, Trial
from tests.chain.stand_ins import write_notebooks


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faults")
    write_notebooks(root / "notebooks", "05_report", "earlier_report_goes")
    place = Place(root, (), {"GOEMO_NOTEBOOKS": str(root / "notebooks")})
    yield place
    faults.end_all(place)


@pytest.fixture(scope="module")
def acts(place) -> campaign.Acts:
    import random

    return campaign.Acts(place, campaign._undisturbed(place), random.Random(0))


@pytest.mark.long
def test_a_killed_run_leaves_nothing_torn_nobody_alive_and_goes_on(acts) -> None:
    trials = list(acts.of("kill", 1))
    assert [campaign.line(trial) for trial in trials if not campaign.good(trial)] == []


@pytest.mark.campaign  # minutes on a busy machine; docs/reliability.md has the table
@pytest.mark.parametrize("kind", ["term", "write", "full", "twice", "clock"])
def test_every_other_fault_ends_well_too(acts, kind: str) -> None:
    trials = list(acts.of(kind, 2))
    assert [campaign.line(trial) for trial in trials if not campaign.good(trial)] == []


def test_the_table_counts_what_was_found() -> None:
    trials = [
        Trial("kill", "a", -9, same=True),
        Trial("kill", "b", -9, torn=["manifest.json"], orphans=2, litter=1, same=False),
    ]
    row = campaign.table(trials).splitlines()[-1]
    assert row.endswith("| 2 | -9 | 1 | 2 | 1 | 1 of 2 |")
    assert campaign.good(trials[0])
    assert not campaign.good(trials[1])


def test_a_torn_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": "goemo.man')
    (tmp_path / "report.html").write_text("<html><body>")
    assert faults.torn(tmp_path) == ["manifest.json", "report.html"]


def test_signals_are_spread_evenly_and_a_campaign_goes_on_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = faults.Course({"01_load": 2.0, "03_parity": 6.0}, 10.0)
    first = Trial("none", "10.0 s", 0, same=True, course=course, ended=["pass"])
    shares: list[float] = []

    def one_run(self, kind, number, asked):
        shares.extend(asked)
        yield from (Trial(kind, "x", -9, same=True, share=share) for share in asked)
        return []

    monkeypatch.setattr(campaign, "_undisturbed", lambda place: first)
    monkeypatch.setattr(campaign.Acts, "_one_run", one_run)
    words = ["--kills", "20", "--each", "0", "--seed", "3", "--trials", str(tmp_path / "t.jsonl")]
    assert campaign.main([*words, "--most", "1"]) == 0
    assert len(shares) == 10
    assert campaign.main(words) == 0
    assert [int(share * 20) for share in sorted(shares)] == list(range(20))
    assert course.at(0.1) == faults.Moment("", 1.0)
    assert course.at(0.7) == faults.Moment("03_parity", 1.0)
