"""The checker finds what must not be published, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from goemo_utils.publish.build import publish
from goemo_utils.publish.check import Problem, check
from goemo_utils.publish.claims import backed, parse, same
from tests.report import fixtures


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("published")
    return publish(fixtures.make("passing", place / "run"), place / "out")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "out"))


def _with(folder: Path, text: str, name: str = "README.md") -> list[Problem]:
    path = folder / name
    path.write_text(path.read_text() + "\n" + text + "\n")
    return check(folder)


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        ("| cosine_similarity |  |", "blank", "cosine_similarity"),
        ("- 余弦：cosine_similarity=。", "blank", "cosine_similarity"),
        ("- 判定依据：。", "blank", "判定依据"),
        ("- Basis of the verdict:\n\n## Next", "blank", "Basis of the verdict"),
        ("  top1_match", "blank", "top1_match"),
        ("| weights | $weight |", "placeholder", "$weight"),
        ("Model {{ name }} was ported.", "placeholder", "{{ name }}"),
        ("Tested on TODO.", "placeholder", "TODO"),
        ("| path | ${MODEL_DIR} |", "placeholder", "${MODEL_DIR}"),
        ("- max_abs_diff: 0.0247", "contradiction", "max_abs_diff"),
        ("- NPU 延迟: ~146.84 ms", "contradiction", "npu_latency_ms"),
        ("加速比10.4 ×", "contradiction", "speedup"),
        ("- pretrained_used=false", "contradiction", "pretrained_used"),
        ("吞吐量达到 478.9 条/s", "number in no record", "478.9"),
        ("误差 0.0001%", "number in no record", "0.0001%"),
        ("It took 73 texts.", "number in no record", "73"),
        ("[日志](logs/missing.log)", "dead link", "logs/missing.log"),
        ("日志在 logs/eval.log 中", "dead link", "logs/eval.log"),
        ("See [it](https://localhost/x).", "dead link", "https://localhost/x"),
        ("[x](javascript:alert(1))", "dead link", "javascript:alert(1"),
        ("```bash\npip install -r reqs.txt\n```", "dead link", "reqs.txt"),
        ("精度误差率 0.5 以内", "unsaid", "error rate"),
    ],
)
def test_a_defect_is_found_and_named_with_its_line(
    folder: Path, text: str, kind: str, what: str
) -> None:
    assert check(folder) == []
    found = [problem for problem in _with(folder, text) if problem.kind == kind]
    assert found
    assert what in found[0].what
    assert found[0].file == "README.md"


@pytest.mark.parametrize(
    "text",
    [
        "The limit is `max_abs_diff < 0.05`.",
        "## 12. A heading with 34 in it",
        "Version 2.9.0.post1 of 2026-11-21, 10:42 UTC.",
        "float32, bfloat16, Top-3, RoBERTa-base, Ascend 910B3, SHA-256",
        "```bash\nexport X=$HOME\necho 73\n```",
        "步骤如下：\n\n- 第一步",
        "- Contents:\n\n```text\nx\n```",
        "1. first\n2. second\n13. thirteenth",
        "cost 0.3 of 5,427 texts, 12 layers, 768 units",
        "| a | 5427 |",
        "https://huggingface.co/some/model-123456",
    ],
)
def test_honest_text_is_left_alone(folder: Path, text: str) -> None:
    assert _with(folder, text) == []


def test_two_files_that_disagree_are_found_without_a_summary(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mean_abs_diff: 0.00182\n")
    (tmp_path / "README.en.md").write_text("mean_abs_diff: 0.00257\n")
    found = [p for p in check(tmp_path) if p.kind == "contradiction"]
    assert len(found) == 1
    assert "0.00182" in found[0].what
    assert "0.00257" in found[0].what


def test_a_card_with_every_known_defect_is_caught_in_all_of_them(tmp_path: Path) -> None:
    """Our own small card with the defects that published ports have had."""
    (tmp_path / "README.md").write_text(
        "# A port\n\n- latency: see below\n- NPU 延迟: ~20.5 ms\n- max_abs_diff: 0.03\n-"
        " within_1_percent:"
        " True\n\n权重路径$weights\nmax_abs_diff0.0071\ncosine_similarity\ntop1_match\nNPU"
        " latency_ms9.25\n\n- 精度：cosine_similarity=。\n- 判定依据：。\n-"
        " 日志：logs/run.log\n\n精度误差率0.0001%\nCPU 吞吐量11.5 texts/s\n"
    )
    kinds = [(p.kind, p.what) for p in check(tmp_path)]
    for kind, part in [
        ("missing", "summary.json"), ("placeholder", "$weights"),
        ("blank", "cosine_similarity has no value"), ("blank", "top1_match"),
        ("blank", "cosine_similarity="), ("blank", "判定依据"),
        ("contradiction", "max_abs_diff"), ("contradiction", "npu_latency_ms"),
        ("dead link", "logs/run.log"), ("unsaid", "match_basis"), ("unsaid", "error rate"),
        ("number in no record", "0.0071"), ("number in no record", "11.5"),
        ("number in no record", "20.5"), ("number in no record", "0.0001%"),
    ]:  # fmt: skip
        assert any(k == kind and part in what for k, what in kinds), (kind, part)


def test_a_null_without_a_reason_in_the_summary_is_a_blank(folder: Path) -> None:
    path = folder / "summary.json"
    path.write_text(
        path.read_text()
        .replace('"top1_match": 1.0', '"top1_match": null')
        .replace('"weight_path": "SamLowe/roberta-base-go_emotions@58b6c5b4"', '"weight_path": ""')
    )
    assert {"top1_match", "weight_path"} <= {
        p.what.split()[0] for p in check(folder) if p.kind == "blank"
    }


def test_an_unmarked_draft_is_found(folder: Path) -> None:
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"simulated": false', '"simulated": true', 1))
    files = {p.file for p in check(folder) if p.kind == "unmarked draft"}
    assert {
        "README.md",
        "inference.py",
        "requirements.txt",
        "logs/run_npu.log",
        "report.html",
        "summary.json",
    } <= files


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5,427", 5427),
        ("4.1 × 10⁻⁶", 4.1e-6),
        ("9.2e-08", 9.2e-8),
        ("0.0001%", 1e-6),
        ("12 %", 0.12),
        ("−0.25", -0.25),
        ("1e99999999", 1e300),
    ],
)
def test_numbers_are_read_as_cards_write_them(text: str, value: float) -> None:
    assert parse(text).value == pytest.approx(value)


def test_a_rounded_number_is_backed_and_a_different_one_is_not() -> None:
    assert backed(parse("4.1 × 10⁻⁶"), [4.13e-6])
    assert not backed(parse("4.2 × 10⁻⁶"), [4.13e-6])
    assert same(parse("0.0080"), parse("0.00801658"))
    assert not same(parse("0.0247"), parse("0.0080"))


@pytest.mark.parametrize(
    "value", [4.575311100050732e-05, 2.0706674158573151e-04, 9.9e-200, 1 / 3, 1e22]
)
def test_a_number_written_with_all_its_digits_is_the_recorded_one(value: float) -> None:
    """The first is a mean_abs_diff of a run: mantissa times power of ten is another float."""
    assert backed(parse(repr(value)), [value])
    assert not backed(parse(repr(value * 1.0000001)), [value])


@pytest.mark.parametrize(
    "text",
    [
        "The port is 27.54x faster.",
        "speedup: 10x",
        "| speedup | - | 12.5x |",
        "NPU 相比 CPU 提升 10 倍",
        "推理速度达到 CPU 的 12.5倍",
        "about 10 times faster than the CPU",
        "a 10-fold speed-up",
        "加速倍数：27.54",
        "# 27.5 × on Ascend",
        "加速比达到 **27.54X**",
        "提升 7.3 倍",
        "速度提升至 730%",
        '"7×" faster',
        "seven times faster",
        "twice as fast",
        "an order of magnitude faster",
        "快了七倍",
        "性能达到 CPU 的七倍",
        "提速两倍",
        "吞吐翻倍",
        "延迟减半",
        "half the latency",
        "by a factor of seven",
        "a speed-up of 7",
        "730 % of the CPU's throughput",
        "7.3-fold",
        "x7.3",
        "7+ times the throughput",
        "`7.3x` faster",
        "７．３倍",
        "| model | CPU | NPU | ratio to CPU: NPU/CPU |\n|---|---|---|---|\n| a | 1 | 7 | 7.3 |",
        "| 模型 | CPU | NPU | 加速比 |\n|---|---|---|---|\n| base | 1 | 7 | 7.3 |",
        "| NPU / CPU | 7 |\n|---|---|\n| x | y |",
    ],
)
def test_an_invented_speed_up_is_found_in_every_usual_spelling(folder: Path, text: str) -> None:
    kinds = {problem.kind for problem in _with(folder, text)}
    assert kinds & {"number in no record", "contradiction"}


@pytest.mark.parametrize(
    "text", ["images of 224x224", "8x910B3", "a matrix of 12 × 768", "error 4.1 × 10⁻³⁰⁰ at most"]
)
def test_a_size_is_no_speed_up(folder: Path, text: str) -> None:
    found = [problem for problem in _with(folder, text) if "factor" in problem.what]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "cut latency from 41 ms to 12 ms",
        "延迟从 41 ms 降到 12 ms",
        "| device | latency |\n|---|---|\n| NPU | 12 ms |",
        "单条 12 毫秒",
        "12 texts/s",
        "12 samples/sec",
        "每秒 12 条",
        "0.012 s per text",
    ],
)
def test_a_time_or_a_rate_is_backed_by_a_measured_one_alone(folder: Path, text: str) -> None:
    """Twelve stands in the record too: the layers of the model, the cores of the machine."""
    found = [problem.what for problem in _with(folder, text)]
    assert any("a measured time or rate" in what for what in found)


@pytest.mark.parametrize(
    "text",
    [
        "Run it twice.",
        "Half of the texts are short, 一半的文本很短。",
        "the order of magnitude of rounding",
        "| ratio of labels | 1 |\n|---|---|\n| a | 2 |",
    ],
)
def test_words_that_count_something_else_are_no_speed_up(folder: Path, text: str) -> None:
    assert [problem for problem in _with(folder, text) if "factor" in problem.what] == []


def test_a_number_elsewhere_in_the_record_does_not_back_a_speed_up(folder: Path) -> None:
    n_texts = json.loads((folder / "summary.json").read_text())["comparison"]["n_texts"]
    (problem,) = [p for p in _with(folder, f"It is {n_texts}x faster.") if "factor" in p.what]
    assert problem.kind == "number in no record"


@pytest.mark.parametrize(
    ("card", "record", "wrong"),
    [
        ("True", 0.95, True),
        ("✅", 0.95, True),
        ("✅ 通过", 1.0, False),
        ("❌", 1.0, True),
        ("未通过", 0.95, False),
        ("False", 0.95, False),
    ],
)
def test_a_yes_or_no_is_compared_with_the_ratio_of_the_record(
    folder: Path, card: str, record: float, wrong: bool
) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    summary["match_within_1_percent"] = record
    path.write_text(json.dumps(summary))
    text = f"| match_within_1_percent | {card} |"
    found = [p for p in _with(folder, text) if f"{card.split()[0]} here" in p.what]
    assert bool(found) is wrong


def test_versions_are_compared_with_those_of_the_run(folder: Path) -> None:
    real = json.loads((folder / "summary.json").read_text())["provenance"]["versions"]["torch"]
    assert _with(folder, f"| torch | {real} |") == []
    (problem,) = _with(folder, "| torch | 2.1.0 |")
    assert problem.kind == "contradiction"
    assert "2.1.0" in problem.what


def test_names_of_one_metric_in_two_languages_are_one_metric(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "| 指标 | CPU | NPU |\n|---|---|---|\n| 平均延迟 | 322.2 ms | 11.7 ms |\n\n"
        "NPU latency_ms: 14.2\n"
    )
    (problem,) = [p for p in check(tmp_path) if p.kind == "contradiction"]
    assert "14.2" in problem.what
    assert "11.7" in problem.what


@pytest.mark.parametrize(
    ("card", "kind", "part"),
    [
        ("gibberish", "number in no record", "27.54"),
        ("nomic", "wrong version", "25.5.2"),
        ("nomic", "contradiction", "0.803"),
        ("vit", "contradiction", "npu_latency_ms"),
        ("vit", "placeholder", "$weight"),
        ("vit", "blank", "top1_match"),
    ],
)
def test_the_cards_of_the_world_are_seen_through(card: str, kind: str, part: str) -> None:
    world = Path(__file__).parents[1] / "environment" / "fixtures" / "world" / "cards"
    assert any(p.kind == kind and part in p.what for p in check(world / card))
