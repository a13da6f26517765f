from __future__ import annotations

from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.ladder import CORES, DEFAULT, KINDS, PLAIN, few_lines, rungs
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.params import PROJECT_ROOT

SHARED = {"embedding": 8, "width": 16, "uses": 2, "inner_width": 16}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": {"kind": "magic"}}, "rungs.a is .*; expected a mapping with kind, one of layers"),
        ({"a": 3}, "rungs.a is 3; expected a mapping"),
        ({"a": {"kind": "layers", "depth": 2}}, "rungs.a: `depth` = 2"),
        ({"a": {"kind": "pruning", "form": "units", "part": 1.5}}, "rungs.a: `part` = 1.5"),
        ({"a": {"kind": "layers", "of": "b"}}, "rungs.a: of is 'b'; expected one of teacher"),
        ({"teacher": {"kind": "layers"}}, "rungs has the name 'teacher'"),
        ({"../x": {"kind": "layers"}}, "rungs has the name '../x'"),
        (
            {"a": {"kind": "layers"}, "b": {"kind": "sharing", "of": "a", **SHARED}},
            "rungs.b: of is 'a', and kind sharing begins with random weights",
        ),
        (
            {"a": {"kind": "quantise", "to": "int8"}, "b": {"kind": "early_exit", "of": "a"}},
            "rungs.b: of is 'a' of kind quantise, whose folder is not the whole rung",
        ),
    ],
)
def test_a_rung_that_cannot_be_is_refused_by_name(given: dict, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        rungs(given)


def test_a_rung_may_start_from_an_earlier_one() -> None:
    found = rungs(
        {"a": {"kind": "layers", "layers": 1}, "b": {"kind": "quantise", "to": "int8", "of": "a"}}
    )
    assert found[1].title == "int8, dynamic, of a"


def test_every_kind_says_its_source_and_has_a_title() -> None:
    for rung in rungs(None):
        assert rung.title
    assert all("arXiv" in kind.SOURCE or "20" in kind.SOURCE for kind in KINDS.values())


def test_every_kind_that_has_code_of_its_own_is_shown_below_its_source() -> None:
    assert set(CORES) | {"quantise"} == set(KINDS)
    for kind in CORES:
        first, second, *_ = few_lines(kind).splitlines()
        assert first == f"# {KINDS[kind].SOURCE}"
        assert second.startswith("def ")


def test_every_rung_whose_folder_is_all_of_it_can_be_started_from() -> None:
    size = {"width": 16, "inner_width": 16}
    given = {
        "layers": {},
        "distil": size,
        "pruning": {"form": "heads", "part": 0.5},
        "sharing": SHARED,
        "vocabulary": {},
    }
    for kind in PLAIN:
        later = {"kind": "quantise", "to": "int8", "of": "a"}
        assert len(rungs({"a": {"kind": kind, **given[kind]}, "b": later})) == 2


def test_the_default_asks_ten_questions() -> None:
    assert len(DEFAULT) == 10
    assert [rung.name for rung in rungs(None)] == list(DEFAULT)


@pytest.mark.parametrize("name", ["optimise.yaml", "optimise-study.yaml", "optimise-teacher.yaml"])
def test_the_committed_studies_load_and_their_rungs_can_be(name: str) -> None:
    params = OptimiseParams.load(PROJECT_ROOT / "params" / name)
    assert rungs(params.rungs)


def test_the_committed_default_is_what_runs_without_a_file() -> None:
    assert OptimiseParams.load(PROJECT_ROOT / "params" / "optimise.yaml") == OptimiseParams.load()


def test_what_is_measured_of_a_rung_does_not_decide_what_it_is() -> None:
    plain = OptimiseParams()
    measured = OptimiseParams(rounds=9, timed_texts=40, seeds=3, device="rehearsal")
    assert measured.decisive == plain.decisive
    assert OptimiseParams(epochs=3).decisive != plain.decisive


def test_a_study_is_simulated_where_it_asks_the_rehearsal_device() -> None:
    assert OptimiseParams(device="rehearsal").simulated
    assert not OptimiseParams(device="cpu").simulated
    assert not OptimiseParams().simulated


def test_the_sample_is_not_mixed_with_other_texts(tmp_path: Path) -> None:
    file = tmp_path / "dev.tsv"
    file.write_text("a text\t1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="the sample's labels are its own"):
        OptimiseParams.load(None, {"dev": str(file)})
