"""The landing notebook says what became of the newest run."""

import json
import re
import time
from pathlib import Path

import pytest

from goemo_utils.notebook import landing
from goemo_utils.params import Params
from goemo_utils.records.step import Step


@pytest.fixture
def root(tmp_path, monkeypatch):
    return tmp_path / "outputs"


def begin(root, run_id: str) -> Step:
    params = Params.load(None, {"run_id": run_id, "output_root": str(root)})
    return Step.begin("00_environment", params)


def test_without_a_run_it_says_where_to_begin(root) -> None:
    assert "00_environment" in landing.latest_run(root)
    assert "no report" in landing.report_link(root)


def test_the_run_that_was_written_to_last_is_shown_step_by_step(root) -> None:
    begin(root, "older").finish("ready", {})
    time.sleep(0.01)
    begin(root, "newer").finish("ready for rehearsal", {})
    table = landing.latest_run(root)
    assert table.index.name == "run newer"
    assert table.loc["00_environment", "verdict"] == "ready for rehearsal"
    assert table.loc["01_load", "state"] == "not run yet"


def test_a_damaged_run_is_passed_over(root) -> None:
    begin(root, "sound").finish("ready", {})
    (root / "damaged").mkdir()
    (root / "damaged" / "manifest.json").write_text("{")
    assert landing.newest(root).name == "sound"


def links(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return re.findall(r"\]\(([^)]+\.ipynb)\)", "".join("".join(c["source"]) for c in cells))


def test_the_maps_lie_beside_the_runs_and_lead_to_every_notebook_of_the_project(root) -> None:
    english, chinese = landing.write_maps(root)
    numbered = sorted(path.name for path in landing.NOTEBOOKS.glob("[0-9]*.ipynb"))
    for path, language in ((english, ""), (chinese, "zh")):
        targets = [(root / link).resolve() for link in links(path)]
        assert all(target.is_file() for target in targets)
        leads_to = [target for target in targets if target.parent != root.resolve()]
        assert sorted(target.name for target in leads_to) == numbered
        assert {target.parent for target in leads_to} == {landing.NOTEBOOKS / language}


def test_the_maps_lead_to_each_other(root) -> None:
    english, chinese = landing.write_maps(root)
    assert chinese.name in links(english)
    assert english.name in links(chinese)


def test_a_map_has_the_cells_of_the_one_that_it_was_made_from(root) -> None:
    made = json.loads(landing.write_maps(root)[0].read_text(encoding="utf-8"))
    original = json.loads((landing.NOTEBOOKS / "start.ipynb").read_text(encoding="utf-8"))
    assert [c["id"] for c in made["cells"]] == [c["id"] for c in original["cells"]]
    code = [c["source"] for c in original["cells"] if c["cell_type"] == "code"]
    assert [c["source"] for c in made["cells"] if c["cell_type"] == "code"] == code
