"""Compares version strings without a library: releases such as 2.8.0.post4+cpu, CANN's 8.3.RC1,
driver versions such as 25.3.rc1.b061.
"""

from __future__ import annotations

import re

STAGES = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "rc": -1, "": 0, "post": 1}


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 8, 0) of "2.8.0.post4+cpu"; () when there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def public(version: str) -> str:
    """The version without its local part: "2.9.0.post1" of "2.9.0.post1+gitee7ba04"."""
    return version.strip().split("+")[0]


def local(version: str) -> str:
    """The local part: "cpu" of "2.8.0+cpu", "" where there is none."""
    return version.strip().partition("+")[2]


def key(version: str) -> tuple[tuple[int, ...], tuple[int, int]]:
    """An order for versions: numbers, then development, alpha, beta, candidate, final, post."""
    numbers = release(version)
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    tail = re.search(
        r"(dev|alpha|beta|post|rc|a|b)\.?(\d*)",
        public(version).lower()[len(".".join(map(str, release(version)))) :],
    )
    stage = (STAGES[tail.group(1)], int(tail.group(2) or 0)) if tail else (0, 0)
    return numbers, stage


def satisfies(version: str, specifier: str) -> bool:
    """Whether ``version`` meets every comma-separated clause, such as ">=5.8,<6" or "==3.20.*";
    local parts are ignored.
    """
    return all(
        _clause(public(version), clause.strip())
        for clause in specifier.split(",")
        if clause.strip()
    )


def newer(version: str, series: str) -> bool:
    """Whether a release comes after a series: 2.15.0 after 2.14, of which 2.14.1 is one."""
    last = release(series)
    return release(version)[: len(last)] > last


def _clause(version: str, clause: str) -> bool:
    match = re.fullmatch(r"(==|!=|>=|<=|>|<)\s*(\S+)", clause)
    if match is None:
        raise ValueError(
            f"cannot read the version clause {clause!r}; expected an operator and a version, such"
            " as >=2.8"
        )

    operator, wanted = match.groups()
    if wanted.endswith(".*"):
        prefix = release(wanted[:-2])
        same = release(version)[: len(prefix)] == prefix
        return same if operator == "==" else not same

    left, right = key(version), key(wanted)

    return {
        "==": left == right,
        "!=": left != right,
        ">=": left >= right,
        "<=": left <= right,
        ">": left > right,
        "<": left < right,
    }[operator]
