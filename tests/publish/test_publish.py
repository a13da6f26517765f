"""The model repository of a run: complete, honest, and refused when the run is no port."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from goemo_utils import report
from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ParamsError
from goemo_utils.families.zoo import FAMILIES, make
from goemo_utils.forward import thresholds
from goemo_utils.publish import command
from goemo_utils.publish.build import PublishError, publish
from goemo_utils.publish.card import SCORER
from goemo_utils.publish.check import check
from goemo_utils.records.record import sha256_file
from goemo_utils.report import ReportError
from tests.forward.tiny_model import SENTENCES, save_roberta
from tests.report import fixtures

FILES = {
    "README.md",
    "README.en.md",
    "inference.py",
    "requirements.txt",
    "summary.json",
    "report.html",
    "logs",
    "deploy.sh",
    "server.py",
    "eval",
    "results",
    "assets",
}
LOGS = {"run_npu.log", "accuracy_compare.log", "pretrained_attempt.log"}


def _published(tmp_path: Path, kind: str, **options) -> Path:
    return publish(fixtures.make(kind, tmp_path / "run"), tmp_path / "out", **options)


@pytest.mark.parametrize("kind", ["passing", "with_cause"])
def test_a_port_is_published_whole_and_passes_its_own_check(tmp_path: Path, kind: str) -> None:
    folder = _published(tmp_path, kind)
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.name for path in (folder / "logs").iterdir()} == LOGS
    assert check(folder) == []
    assert not any("DRAFT" in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_no_published_file_names_a_folder_of_the_machine_that_made_it(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    home, root = tmp_path / "home", tmp_path / "run"
    manifest["params"].update(
        output_root=str(tmp_path), model=str(home / "my model"), texts=str(home / "texts.csv")
    )
    manifest["command"] = ["goemo", "run", "-p", "model", str(home / "my model")]
    records["00_environment"]["results"]["facts"] = {"executable": "/opt/far/away/bin/python"}
    records["00_environment"]["results"]["findings"] = [
        {
            "id": "x",
            "severity": "note",
            "title": "Python",
            "evidence": "/opt/far/away/bin/python -m pip",
        }
    ]
    records["01_load"]["results"]["model"].update(
        id=str(home / "my model"),
        source="local",
        weight_path=str(home / "my model"),
        path=str(home / "my model"),
    )
    fixtures.write_run(root, manifest, records)
    (root / "logs").mkdir(exist_ok=True)
    (root / "logs" / "worker-candidate.log").write_text(
        f"reading {home}/my model/config.json from {root}\n"
    )
    folder = publish(root, tmp_path / "out")
    for path in folder.rglob("*"):
        assert not path.is_file() or not re.search(f"{tmp_path}|/opt/far", path.read_text()), (
            path.name
        )
    assert json.loads((folder / "summary.json").read_text())["weight_path"] == "my model"
    assert "reading my model/config.json" in (folder / "logs" / "run_npu.log").read_text()


@pytest.mark.parametrize("where", [".", "..", "../latest"])
def test_a_run_is_never_replaced_by_what_is_published_of_it(tmp_path: Path, where: str) -> None:
    run = fixtures.make("passing", tmp_path / "outputs" / "run")
    report.render(run)
    (tmp_path / "outputs" / "latest").symlink_to("run")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PublishError, match="choose another --output"):
        publish(run, run / where)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_run_and_a_clone_of_a_repository_are_no_place_to_publish(tmp_path: Path) -> None:
    other = fixtures.make("passing", tmp_path / "other")
    report.render(other)
    clone = _published(tmp_path, "passing")
    (clone / ".git").mkdir()
    for target in (other, clone):
        before = sorted(target.rglob("*"))
        with pytest.raises(PublishError, match="no folder that goemo published"):
            publish(tmp_path / "run", target)
        assert sorted(target.rglob("*")) == before


@pytest.mark.parametrize(
    ("kind", "why"), [("rehearsal", "SIMULATED"), ("failing", "failed"), ("died", "incomplete")]
)
def test_a_run_that_is_no_port_is_refused_with_the_reason(
    tmp_path: Path, kind: str, why: str
) -> None:
    with pytest.raises(PublishError, match=why):
        _published(tmp_path, kind)
    assert not (tmp_path / "out").exists()


def test_a_run_on_another_device_is_refused(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["01_load"]["results"]["device"].update(kind="cuda", name="NVIDIA H200")
    with pytest.raises(PublishError, match="cuda, not on an NPU"):
        publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")


@pytest.mark.parametrize("kind", ["rehearsal", "failing", "died", "passing"])
def test_a_draft_says_so_in_every_file(tmp_path: Path, kind: str) -> None:
    folder = _published(tmp_path, kind, draft=True)
    for path in folder.rglob("*"):
        if path.is_file():
            assert ("draft" if path.name == "summary.json" else "DRAFT") in path.read_text(), (
                path.name
            )
    assert check(folder) == []


def test_a_draft_of_a_rehearsal_says_simulated_in_card_report_and_summary(tmp_path: Path) -> None:
    folder = _published(tmp_path, "rehearsal", draft=True)
    for name in ("README.md", "README.en.md", "report.html"):
        assert (folder / name).read_text().count("SIMULATED") >= 3
    assert json.loads((folder / "summary.json").read_text())["simulated"] is True
    assert (
        "| npu_texts_per_second | not applicable (simulated) |"
        in (folder / "README.en.md").read_text()
    )


@pytest.mark.parametrize("name", ["README.md", "README.en.md"])
def test_the_front_matter_is_what_the_hubs_read(tmp_path: Path, name: str) -> None:
    text = (_published(tmp_path, "passing") / name).read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["hardware"] == "NPU"
    assert header["license"] == "mit"
    assert header["base_model"] == "SamLowe/roberta-base-go_emotions"
    assert {"NPU", "Ascend", "ascend-npu"} <= set(header["tags"])


@pytest.mark.parametrize("name", ["README.md", "README.en.md"])
def test_the_scorer_block_holds_every_field_with_the_value_of_the_summary(
    tmp_path: Path, name: str
) -> None:
    folder = _published(tmp_path, "with_cause")
    summary = json.loads((folder / "summary.json").read_text())
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", (folder / name).read_text(), re.M))
    assert set(SCORER) <= set(rows)
    assert float(rows["max_abs_diff"]) == summary["max_abs_diff"]
    assert float(rows["cosine_similarity"]) == summary["cosine_similarity"]
    assert rows["match_basis"].startswith("share of compared values")
    assert all(rows[field].strip() for field in SCORER)


def test_the_sections_are_in_both_cards(tmp_path: Path) -> None:
    folder = _published(tmp_path, "passing")
    for name in ("README.md", "README.en.md"):
        headings = re.findall(r"^## (\d+)\. \S", (folder / name).read_text(), re.M)
        assert headings == [str(i) for i in range(1, 10)]


def test_requirements_pin_the_versions_of_the_run_and_no_device_package(tmp_path: Path) -> None:
    text = (_published(tmp_path, "passing") / "requirements.txt").read_text()
    assert "torch==2.8.0" in text
    assert "transformers==5.8.1" in text
    assert not re.search(r"torch.?npu|cann", text, re.I)


def test_inference_needs_only_torch_transformers_and_numpy(tmp_path: Path) -> None:
    tree = ast.parse((_published(tmp_path, "passing") / "inference.py").read_text())
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert names - set(sys.stdlib_module_names) == {"torch", "transformers", "numpy", "torch_npu"}
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert "GoEmotionsClassifier" in classes


@pytest.mark.slow
def test_inference_in_a_fresh_process_gives_the_classifiers_own_probabilities(
    tmp_path: Path,
) -> None:
    embedded = Path(command.__file__).parents[1] / "embedded"
    if not list(embedded.glob("*.safetensors")):
        pytest.skip("this checkout has no embedded model")
    manifest, records = fixtures.rehearsal()
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in embedded.iterdir()
        if path.suffix in (".json", ".safetensors")
    ]
    records["01_load"]["results"]["model"]["files"] = files
    folder = publish(
        fixtures.write_run(tmp_path / "run", manifest, records),
        tmp_path / "out",
        draft=True,
        weights=True,
    )
    # The published program answers first, before anything of the project is imported into that
    # process.
    program = (
        "import json, sys, inference\ntexts = json.loads(input())\nours ="
        " inference.GoEmotionsClassifier(device='cpu').predict(texts)\nassert not"
        " any(name.startswith('goemo_utils') for name in sys.modules)\ntry:"
        " inference.open_device('npu')\nexcept SystemExit as stop: refusal = str(stop)\nfrom"
        " goemo_utils import GoEmotionsClassifier\ntheirs ="
        " GoEmotionsClassifier().predict(texts)\nprint(json.dumps([ours[1].tolist(),"
        " theirs[1].tolist(), [[l for l, _ in r] for r in ours[0]], [[l for l, _ in r] for r in"
        " theirs[0]], refusal]))"
    )
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    texts = json.dumps(["I am so happy today!", "I love you.", "What does this button do? " * 20])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        input=texts + "\n",
        capture_output=True,
        text=True,
        env=clean,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs, our_labels, their_labels, refusal = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert our_labels == their_labels
    assert our_labels[0][0] == "joy"
    assert "npu" in refusal
    assert "--device cpu" in refusal


def test_weights_that_are_not_the_ones_of_the_run_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text("{}")
    manifest, records = fixtures.passing()
    file = {"name": "config.json", "bytes": 2, "sha256": sha256_file(checkpoint / "config.json")}
    records["01_load"]["results"]["model"].update(id=str(checkpoint), source="local", files=[file])
    run = fixtures.write_run(tmp_path / "run", manifest, records)
    assert (publish(run, tmp_path / "out", weights=True) / "config.json").read_text() == "{}"
    (checkpoint / "config.json").write_text('{"changed": true}')
    with pytest.raises(PublishError, match=r"config\.json"):
        publish(run, tmp_path / "out", weights=True)
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_hostile_names_stay_text_in_card_and_program(tmp_path: Path) -> None:
    manifest, records = fixtures.hostile()
    records["01_load"]["results"]["model"]["id"] = (
        'x"""\nimport os; os.system("false")\n"""<script>alert(1)</script>|[a](javascript:b)'
    )
    folder = publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")
    for name in ("README.md", "README.en.md"):
        text = (folder / name).read_text()
        assert "<script" not in text
        assert "\u202e" not in text
        assert not re.search(r"(?<!\\)\]\(javascript:", text)
    tree = ast.parse((folder / "inference.py").read_text())
    assert "os" not in {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }


def _with_own_thresholds(own: list[float], **model) -> tuple[dict, dict]:
    manifest, records = fixtures.passing()
    manifest["params"]["threshold"] = None
    records["01_load"]["results"]["model"].update(thresholds=own, **model)
    records["03_parity"]["results"]["threshold"] = own
    return manifest, records


@pytest.mark.parametrize("draft", [False, True])
def test_a_model_s_own_thresholds_are_published_and_named(tmp_path: Path, draft: bool) -> None:
    own = [round(0.12 + 0.01 * i, 2) for i in range(28)]
    manifest, records = _with_own_thresholds(own)
    folder = publish(
        fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out", draft=draft
    )
    assert {path.name for path in folder.iterdir()} == FILES | {"thresholds.json"}
    assert check(folder) == []
    labels = records["01_load"]["results"]["model"]["labels"]
    assert thresholds.read(folder, labels, "multi_label") == own
    assert ("DRAFT" in (folder / "thresholds.json").read_text()) is draft
    assert "28 thresholds (0.120 to 0.390)" in (folder / "README.en.md").read_text()
    assert "28 个阈值（0.120 至 0.390）" in (folder / "README.md").read_text()
    assert "--threshold 0" not in (folder / "README.en.md").read_text()
    assert json.loads((folder / "summary.json").read_text())["comparison"]["threshold"] == own


def test_a_threshold_that_was_asked_for_is_published_instead(tmp_path: Path) -> None:
    manifest, records = _with_own_thresholds([0.2] * 28)
    manifest["params"]["threshold"] = records["03_parity"]["results"]["threshold"] = 0.45
    folder = publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")
    assert not (folder / "thresholds.json").exists()
    assert "THRESHOLD = 0.45" in (folder / "inference.py").read_text()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["fnet", "big_bird"], ids=["no mask", "changes in a forward"])
def test_the_published_program_of_a_model_that_is_not_padded_answers_as_the_classifier(
    tmp_path: Path, kind: str
) -> None:
    model = make(next(one for one in FAMILIES if one.model_type == kind), tmp_path / "model")
    classifier = GoEmotionsClassifier(str(model))
    manifest, records = _with_own_thresholds(
        [0.5] * 3, id=str(model), source="local", labels=classifier.labels, n_labels=3
    )
    records["01_load"]["results"]["model"]["padding"] = classifier.info["padding"]
    records["01_load"]["results"]["model"]["max_length"] = classifier.max_length
    folder = publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")
    texts = ["no", "It rains on the sofa. " * 9, "yes", "The cat sleeps here today. " * 9]
    code = (
        "import json, inference\nmodel, texts = json.loads(input())\n"
        "print(json.dumps(inference.GoEmotionsClassifier(model, 'cpu').predict(texts)[1].tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        input=json.dumps([str(model), texts]),
        capture_output=True,
        text=True,
        check=True,
    )
    ours = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(ours, classifier.predict(texts)[1], atol=1e-6)


@pytest.mark.long
def test_the_published_program_decides_by_each_label_s_own_threshold(tmp_path: Path) -> None:
    model = save_roberta(tmp_path / "model")
    labels, own = ["joy", "anger", "neutral"], [0.9, 0.1, 0.5]
    manifest, records = _with_own_thresholds(
        own, id=str(model), source="local", labels=labels, n_labels=3
    )
    folder = publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")
    code = (
        "import json, sys, inference\nmodel, texts = json.loads(input())\nfor asked in (None, 0.5):"
        " print(json.dumps(inference.GoEmotionsClassifier(model, 'cpu',"
        " asked).predict(texts)[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        input=json.dumps([str(model), SENTENCES]),
        capture_output=True,
        text=True,
        check=True,
    )
    for line, threshold in zip(done.stdout.splitlines(), (own, 0.5), strict=True):
        ours, _ = GoEmotionsClassifier(str(model), threshold=threshold).predict(SENTENCES)
        assert [[label for label, _ in row] for row in json.loads(line)] == [
            [label for label, _ in row] for row in ours
        ]
    shown = subprocess.run(
        [sys.executable, "inference.py", "--help"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "(default each label's own)" in " ".join(shown.split())


def test_records_that_cannot_be_shown_are_not_published(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["01_load"]["results"]["model"]["weight_path"] = "$weight"
    with pytest.raises(ReportError, match="weight_path"):
        publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")


def test_a_folder_that_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(PublishError, match="choose another"):
        _published(tmp_path, "passing")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_publishing_again_replaces_the_folder_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = _published(tmp_path, "passing")
    (folder / "old.txt").write_text("left over")
    publish(tmp_path / "run", folder)
    assert not (folder / "old.txt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}


def test_a_checkpoint_without_a_home_has_no_base_model_and_asks_for_a_path(tmp_path: Path) -> None:
    manifest, records = fixtures.passing()
    records["01_load"]["results"]["model"].update(
        id="embedded", source="embedded", weight_path="goemo_utils/embedded"
    )
    folder = publish(fixtures.write_run(tmp_path / "run", manifest, records), tmp_path / "out")
    assert "base_model" not in (folder / "README.md").read_text()
    assert "--model_path" in (folder / "README.en.md").read_text()


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_the_command_publishes_and_checks(tmp_path: Path, capsys) -> None:
    run = fixtures.make("passing", tmp_path / "run")
    assert _run(str(run), "--output", str(tmp_path / "out")) == 0
    assert _run("--check", str(tmp_path / "out")) == 0
    card = tmp_path / "out" / "README.md"
    card.write_text(card.read_text().replace("4.13e-06", "5.60e-03"))
    assert _run("--check", str(tmp_path / "out")) == 1
    assert "max_abs_diff" in capsys.readouterr().out
    assert _run("--check", str(tmp_path / "out"), "--json") == 1
    assert {row["kind"] for row in json.loads(capsys.readouterr().out)} == {
        "contradiction",
        "number in no record",
    }


@pytest.mark.parametrize("words", [(), ("run", "--check", "folder")])
def test_the_command_wants_a_run_or_a_folder(words: tuple[str, ...]) -> None:
    with pytest.raises(ParamsError, match="--check"):
        _run(*words)


def test_a_folder_that_does_not_exist_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="nowhere"):
        _run("--check", str(tmp_path / "nowhere"))
