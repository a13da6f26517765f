"""Whether torch, torch_npu, CANN and Python belong together, by the dated table in compat.json."""

from __future__ import annotations

from typing import Any

from goemo_utils.environment.findings import table
from goemo_utils.environment.versions import key, public, release, satisfies

VERDICTS = ("paired", "compatible", "unlisted", "unsupported")


def judge(
    torch: str | None, torch_npu: str | None, cann: str | None, python: str
) -> dict[str, Any]:
    """The verdict on a stack: ``{"verdict", "why", "mismatch", "row", "dated"}``.

    paired: the row of the published table. compatible: another pair that the publisher's cross
    table allows. unlisted: the table says nothing. unsupported: the table contradicts it.
    ``mismatch`` is what contradicts: "torch", "cann", "python" or None. Versions that are not known
    (None) are left out of the judgement and named in ``why``.
    """
    data = table("compat.json")
    answer: dict[str, Any] = {
        "verdict": None,
        "mismatch": None,
        "row": None,
        "dated": data["dated"],
        "why": "",
    }
    if torch_npu is None:
        return {**answer, "why": "torch_npu is not installed"}
    row = next(
        (one for one in data["wheels"] if key(one["torch_npu"]) == key(public(torch_npu))), None
    )
    wanted = row["torch"] if row else ".".join(map(str, release(torch_npu)))
    answer["row"] = row
    if torch is not None and release(torch) != release(wanted):
        return {
            **answer,
            "verdict": "unsupported",
            "mismatch": "torch",
            "why": f"torch_npu {torch_npu} needs torch {wanted}, and torch {torch} is installed",
        }
    if row is None:
        return {
            **answer,
            "verdict": "unlisted",
            "why": f"torch_npu {torch_npu} is in no row of the table of {data['dated']}",
        }
    low, high = row["python"]
    if not satisfies(python, f">={low}") or release(python)[:2] > release(high):
        return {
            **answer,
            "verdict": "unsupported",
            "mismatch": "python",
            "why": (
                f"torch_npu {torch_npu} supports Python {low} to {high}, and this is Python"
                f" {python}"
            ),
        }
    if row["cann"] is None:
        return {
            **answer,
            "verdict": "unlisted",
            "why": (
                f"no CANN release is published for torch_npu {torch_npu} in the table of"
                f" {data['dated']}"
            ),
        }
    if cann is None:
        return {
            **answer,
            "verdict": None,
            "why": (
                f"torch_npu {torch_npu} pairs with CANN {row['cann']}; the version of CANN here is"
                " not known"
            ),
        }
    if key(cann) == key(row["cann"]):
        return {
            **answer,
            "verdict": "paired",
            "why": (
                f"torch_npu {torch_npu}, torch {wanted} and CANN {cann} are one row of the table"
            ),
        }
    cross = data["compatible"]
    if _series(row["release"]) in cross["releases"] and _series(cann) in cross["cann"]:
        return {
            **answer,
            "verdict": "compatible",
            "why": (
                f"torch_npu {torch_npu} pairs with CANN {row['cann']} and is listed as compatible"
                f" with CANN {cann}"
            ),
        }
    return {
        **answer,
        "verdict": "unsupported",
        "mismatch": "cann",
        "why": (
            f"torch_npu {torch_npu} pairs with CANN {row['cann']}, and CANN {cann} is not listed as"
            " compatible"
        ),
    }


def paired_wheel(torch: str) -> dict[str, Any] | None:
    """The newest row for this torch that names a CANN, or None."""
    rows = [
        row
        for row in table("compat.json")["wheels"]
        if row["torch"] == ".".join(map(str, release(torch))) and row["cann"]
    ]
    return max(rows, key=lambda row: key(row["torch_npu"]), default=None)


def needed_numpy(cann: str, python: str) -> str | None:
    """The clause that CANN's documentation puts on numpy, or None when it says nothing."""
    rules = table("compat.json")["cann_python"]["numpy"]
    return next(
        (
            rule["numpy"]
            for rule in rules
            if satisfies(cann, rule["cann"]) and satisfies(python, rule["python"])
        ),
        None,
    )


def _series(version: str) -> str:
    return ".".join(map(str, release(version)[:2]))
