"""Whether torch, torch_npu, CANN, the driver and Python belong together, by the dated and sourced
rows of compat.json, and which release to take where they do not.
"""

from __future__ import annotations

from typing import Any

from goemo_utils.environment.findings import table
from goemo_utils.environment.versions import key, public, release, satisfies

VERDICTS = ("paired", "compatible", "newer", "unlisted", "unsupported")


def judge(
    torch: str | None, torch_npu: str | None, cann: str | None, python: str
) -> dict[str, Any]:
    """The verdict on a stack: ``{"verdict", "why", "mismatch", "row", "dated"}``.

    paired: the row of the published table. compatible: another pair that the publisher's cross
    table allows. newer: a part is newer than this table, which says nothing against it. unlisted:
    the table says nothing. unsupported: the table contradicts it. ``mismatch`` is what contradicts:
    "torch", "cann", "python" or None. Versions that are not known (None) are left out of the
    judgement and named in ``why``.
    """
    dated = table("compat.json")["dated"]
    if torch_npu is None:
        return _answer(None, "torch_npu is not installed")

    row = row_of(torch_npu)
    wanted = row["torch"] if row else ".".join(map(str, release(torch_npu)))
    if torch is not None and release(torch) != release(wanted):
        why = f"torch_npu {torch_npu} needs torch {wanted}, and torch {torch} is installed"
        return _answer("unsupported", why, row, "torch")
    if row is None and _newer_wheel(torch_npu):
        return _answer("newer", f"torch_npu {torch_npu} is newer than this table of {dated}")
    if row is None:
        return _answer("unlisted", f"torch_npu {torch_npu} is in no row of the table of {dated}")

    low, high = row["python"]
    if not satisfies(python, f">={low}") or release(python)[:2] > release(high):
        span = f"supports Python {low} to {high}, and this is Python {python}"
        return _answer("unsupported", f"torch_npu {torch_npu} {span}", row, "python")
    if row["cann"] is None:
        why = f"no CANN release is published for torch_npu {torch_npu} in the table of {dated}"
        return _answer("unlisted", why, row)
    return _beside_cann(torch_npu, row, cann)


def row_of(torch_npu: str) -> dict[str, Any] | None:
    """The row of a wheel, its local part ignored."""
    wanted = key(public(torch_npu))
    rows: list[dict[str, Any]] = table("compat.json")["wheels"]
    return next((row for row in rows if key(row["torch_npu"]) == wanted), None)


def proposal(torch: str | None, cann: str | None, python: str) -> dict[str, Any] | None:
    """The wheel to install: of those that still live, serve goemo and run on this Python, one that
    fits the installed CANN, then one that keeps torch, or its first two numbers, then, beside a
    torch newer than the rehearsal is tested with, one of the newest torch, then one of the tested,
    then the newest. None where no row fits Python.
    """
    own = table("compat.json")["goemo"]
    wheels: list[dict[str, Any]] = table("compat.json")["wheels"]
    rows = [row for row in wheels if row["cann"] and not ended(row)]
    rows = [row for row in rows if satisfies(row["torch"], own["torch"]["npu"])]
    rows = [row for row in rows if _python_fits(row, python)]
    if not rows:
        return None

    ahead = torch is not None and release(torch) > release(own["tested"])

    def merit(row: dict[str, Any]) -> tuple[Any, ...]:
        keeps_torch = torch is not None and release(torch) == release(row["torch"])
        keeps_series = torch is not None and series(torch) == series(row["torch"])
        fits_cann = cann is not None and fits(row, cann)
        least_back = release(row["torch"]) if ahead else ()
        tested = row["torch"] == own["tested"]
        of_torch = (keeps_torch, keeps_series, least_back, tested)
        return (fits_cann, *of_torch, key(row["release"]), key(row["torch_npu"]))

    return max(rows, key=merit)


def fits(row: dict[str, Any], cann: str) -> bool:
    """Whether the publisher lists a wheel's release with a CANN, as its pair or in the cross
    table.
    """
    if row["cann"] is None:
        return False
    cross = table("compat.json")["compatible"]
    listed = series(row["release"]) in cross["releases"] and series(cann) in cross["cann"]
    return key(cann) == key(row["cann"]) or listed


def ended(row: dict[str, Any]) -> str | None:
    """The day on which a wheel's support ended, or "earlier" where the day is not published; None
    while it lives, by the day of the table.
    """
    data = table("compat.json")
    state, day = data["support"]["states"].get(series(row["torch"]), ["unlisted", None])
    if day is not None:
        return str(day) if day <= data["dated"] else None
    return "earlier" if state == "end of life" else None


def driver_fits(cann: str, driver: str) -> bool | None:
    """What the release notes of CANN say of a driver; None where they do not name it."""
    rows = table("compat.json")["drivers"]["rows"]
    answer: bool | None = rows.get(series(cann), {}).get(series(driver))
    return answer


def drivers_of(cann: str) -> str:
    """The series of drivers that a CANN accepts, as a list in words."""
    row = table("compat.json")["drivers"]["rows"].get(series(cann), {})
    return ", ".join(name for name, fine in row.items() if fine)


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


def series(version: str) -> str:
    """The first two numbers of a version: 9.2 of 9.2.0."""
    return ".".join(map(str, release(version)[:2]))


def _beside_cann(torch_npu: str, row: dict[str, Any], cann: str | None) -> dict[str, Any]:
    pair = f"torch_npu {torch_npu} pairs with CANN {row['cann']}"
    dated = table("compat.json")["dated"]
    if cann is None:
        return _answer(None, f"{pair}; the version of CANN here is not known", row)
    if key(cann) == key(row["cann"]):
        why = (
            f"torch_npu {torch_npu}, torch {row['torch']} and CANN {cann} are one row of the table"
        )
        return _answer("paired", why, row)
    if fits(row, cann):
        return _answer("compatible", f"{pair} and is listed as compatible with CANN {cann}", row)
    if _newer_cann(cann):
        return _answer("newer", f"CANN {cann} is newer than this table of {dated}; {pair}", row)

    why = f"{pair}, and CANN {cann} is not listed as compatible"

    return _answer("unsupported", why, row, "cann")


def _answer(
    verdict: str | None,
    why: str,
    row: dict[str, Any] | None = None,
    mismatch: str | None = None,
) -> dict[str, Any]:
    dated = table("compat.json")["dated"]
    return {"verdict": verdict, "why": why, "mismatch": mismatch, "row": row, "dated": dated}


def _newer_wheel(torch_npu: str) -> bool:
    """Whether a wheel came after every row of its torch, or after every torch of the table."""
    rows = table("compat.json")["wheels"]
    same = [row for row in rows if series(row["torch"]) == series(torch_npu)]
    return key(public(torch_npu)) > max(key(row["torch_npu"]) for row in same or rows)


def _newer_cann(cann: str) -> bool:
    rows = table("compat.json")["wheels"]
    newest = max(key(row["cann"]) for row in rows if row["cann"])
    return key(cann) > newest and series(cann) not in table("compat.json")["compatible"]["cann"]


def _python_fits(row: dict[str, Any], python: str) -> bool:
    low, high = row["python"]
    return satisfies(python, f">={low}") and release(python)[:2] <= release(high)
