"""Which engine answers: what contradicts itself is refused in a sentence."""

import argparse

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.scale import command
from goemo_utils.scale.engine import engine

FILES = ["--batch_file", "texts.txt", "--output", "answers.parquet"]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*FILES, *words] if "--text" not in words else [*words])


def test_without_a_word_this_process_answers() -> None:
    assert engine(parsed()) is None


def test_a_worker_takes_a_cpu_unless_it_is_given_more() -> None:
    assert engine(parsed("--engine", "ray")).needs == {"CPU": 1}


def test_a_worker_on_an_npu_takes_one() -> None:
    assert engine(parsed("--engine", "ray", "--device", "npu")).needs == {"CPU": 1, "NPU": 1}


def test_a_worker_on_cuda_takes_a_gpu_by_rays_own_option() -> None:
    options = engine(parsed("--engine", "ray", "--device", "cuda")).options()
    assert options == {"num_cpus": 1, "num_gpus": 1, "resources": {}}


def test_resources_are_named_with_their_amounts() -> None:
    asked = engine(parsed("--engine", "ray", "--resources", "NPU=1,CPU=4", "--workers", "3"))
    assert asked.needs == {"CPU": 4, "NPU": 1}
    assert asked.threads == 4
    assert asked.workers == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "2"], "--workers belongs to --engine ray"),
        (["--address", "auto"], "--address belongs to --engine ray"),
        (["--resources", "NPU=1"], "--resources belongs to --engine ray"),
        (["--engine", "ray", "--workers", "0"], "--workers is 0"),
        (["--engine", "ray", "--resources", "NPU"], "--resources has 'NPU'"),
        (["--engine", "ray", "--resources", "NPU=0"], "--resources has 'NPU=0'"),
        (["--engine", "ray", "--resources", "NPU=0.5"], "whole cards"),
        (["--engine", "ray", "--resources", "NPU=inf"], "--resources has 'NPU=inf'"),
        (["--engine", "ray", "--resources", "=1"], "--resources has '=1'"),
        (["--engine", "ray", "--resources", "NPU=1,"], "--resources has ''"),
        (["--engine", "ray", "--device", "npu:3"], "names one card"),
        (["--engine", "ray", "--output", "a.jsonl"], "ends in .parquet"),
        (["--engine", "ray", "--batch_file", "-"], "files of texts"),
        (["--engine", "ray", "--text", "a text"], "files of texts"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(ParamsError, match=sentence):
        engine(parsed(*words))
