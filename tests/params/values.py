"""Values that a key may get, and the sentence with which a bad one is refused."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from goemo_utils.errors import ParamsError
from goemo_utils.params import Params

KEYS = list(Params.model_fields)
COUNTS = {"limit": 1, "batch_size": 1, "max_length": 4, "seed": 0, "step_timeout": 1}


in_tmp = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
text = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)
scalar = st.one_of(
    text,
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
anything = st.one_of(
    scalar, st.lists(scalar, max_size=3), st.dictionaries(text, scalar, max_size=3)
)


def write(folder: Path, values: object) -> Path:
    path = folder / "run.yaml"
    path.write_text(
        values if isinstance(values, str) else yaml.safe_dump(values, allow_unicode=True),
        encoding="utf-8",
    )
    return path


def refusal(file: Path | None = None, overrides: dict | None = None) -> str:
    with pytest.raises(ParamsError) as caught:
        Params.load(file, overrides)
    message = str(caught.value)
    assert not any(
        mark in message for mark in ("Traceback (most", "pydantic.dev", "[type=", "input_value=")
    )
    assert caught.value.exit_code == 2
    return message


valid = st.fixed_dictionaries(
    {},
    optional={
        "run_id": (
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", fullmatch=True).filter(
                lambda t: t.lower() not in ("latest", "none", "null")
            )
        ),
        "model": st.sampled_from(
            [
                "embedded",
                "random:embedded",
                "SamLowe/roberta-base-go_emotions",
                "gpt2",
                "random:google/electra-small-discriminator",
            ]
        ),
        "task": st.sampled_from(["auto", "multi_label", "single_label", "encoder"]),
        "device": st.sampled_from(["rehearsal", "npu", "npu:0", "npu:7", "cuda:1", "cpu"]),
        "dtype": st.sampled_from(["float32", "float16", "bfloat16"]),
        "attn_implementation": st.sampled_from(["eager", "sdpa"]),
        "texts": st.sampled_from(["builtin", "stress"]),
        "limit": st.one_of(st.none(), st.integers(1, 10**6)),
        "threshold": st.one_of(st.none(), st.floats(0.001, 0.999)),
        "batch_size": st.integers(1, 4096),
        "max_length": st.integers(4, 8192),
        "seed": st.integers(0, 2**32 - 1),
        "step_timeout": st.integers(1, 604800),
        "language": st.sampled_from(["en", "zh"]),
    },
)
