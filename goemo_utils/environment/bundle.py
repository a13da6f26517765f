"""goemo doctor --bundle: what a maintainer needs from a machine that he cannot reach, in one file.

Nothing goes in that is not named here: no texts, weights, labels or logs, only findings, versions,
gates and figures. Credentials and texts of the run are masked in what remains, paths are cut.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from goemo_utils.boundary.credentials import GONE, recordable
from goemo_utils.boundary.regular import open_regular, read_regular
from goemo_utils.environment import diagnosis
from goemo_utils.environment.findings import SEVERITIES, Finding
from goemo_utils.environment.messages import ABOUT

SCHEMA = "goemo.bundle/1"
ENTRIES = {
    "doctor.json": "the facts, findings and verdicts of goemo doctor",
    "run.json": "versions, parameters, gates, call ratios and timings of one run",
    "logs.json": "the known messages and codes in that run's logs",
}
SIGNATURE = b"PK\x03\x04"
# characters of one file that are read: a log of a long run is larger, and its end is what matters
LOG_LIMIT = 32 << 20
ENTRY_LIMIT = 16 << 20
# what is taken of each record's results, and of every record, manifest and pack: names with spaces
RECORDS = {
    "00_environment": "",
    "01_load": "model device placement",
    "02_smoke": "n threshold placement why_unchecked",
    "03_parity": (
        "n_texts n_tokens n_labels n_decisions threshold quantity verdict limits metrics gates"
        " causes faults flips layers states ladder explanation probe remedies not_checked"
    ),
    "04_throughput": (
        "protocol rows latency phases grid ladder products energy speedup speedups worker"
        " conditions memory fallbacks not_checked parity_verdict"
    ),
}
ABOUT_STEP = "schema status seconds verdict findings simulated reason"
ABOUT_RUN = "schema run_id params code versions platform simulated steps"
ABOUT_PACK = (
    "schema role n_texts n_tokens truncated dtype weights_dtype attn_implementation device"
    " placement fallbacks fallback_proof simulated numerics fault remedy fault_hits batch_size"
    " max_length seed threads cpu_capability versions repeat_equal seconds"
)
# keys whose value is dropped at any depth, numbers excepted: "texts": 46 is a count
DROPPED = {"text", "texts", "labels", "label", "worst", "near", "examples", "tokens", "files"}

FIELDS = {field.name for field in fields(Finding)}

PATH = re.compile(r"(?<![\w.~:/-])(?:~|[A-Za-z]:)?[/\\](?:[\w.+@=-]+[/\\])*[\w.+@=-]+")
PUBLIC = ("/usr/", "/lib/", "/lib64/", "/dev/", "/etc/", "/proc/", "/sys/", "/bin/")
# what lies below one of these is the same on every machine
SHARED = re.compile(r"(?:(?:site|dist)-packages|lib|Ascend|goemo_utils|notebooks|params)[/\\].*")
SECRET = re.compile(
    r"(\w*(?:token|secret|password|passwd|api_?key|credential)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;]+",
    re.I,
)


def pack(result: dict[str, Any], run: Path | None) -> dict[str, bytes]:
    """The entries of a bundle, from a check-up and a run's folder, cleaned of what is private."""
    entries: dict[str, Any] = {"doctor.json": result}
    texts: list[str] = []
    if run is not None:
        texts = sorted(set(_texts_of(run)), key=len, reverse=True)
        entries["run.json"] = _run(run)
        entries["logs.json"] = _logs(run)

    told = _told(texts)
    return {
        name: json.dumps({"bundle": SCHEMA} | _clean(value, told), indent=1).encode()
        for name, value in entries.items()
    }


def write(path: Path, entries: Mapping[str, bytes]) -> None:
    """Write the entries as a zip file. Raises OSError; FileExistsError where something is there."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in entries.items():
            # without the clock and the user of this machine
            bundle.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    with path.open("xb") as file:
        file.write(whole.getvalue())


def explain(content: bytes) -> list[Finding]:
    """The findings in a bundle: a summary in front, then those of the run's logs, then those of the
    machine. Raises ValueError where it is no bundle.
    """
    entries = _entries(content)
    if "doctor.json" not in entries:
        raise ValueError("a zip file without doctor.json, so not from goemo doctor --bundle")

    logs = entries.get("logs.json", {}).get("logs")
    found = [one for log in _dicts(logs) for one in _findings(log.get("findings"))]
    found += _findings(entries["doctor.json"].get("findings"))
    unique = {(one.id, one.evidence): one for one in found}.values()
    worst_first = sorted(unique, key=lambda one: SEVERITIES.index(one.severity))
    return [_summary(entries), *worst_first]


def _run(run: Path) -> dict[str, Any]:
    """A run without its texts: the manifest, the records and the packs, each with the digest of the
    file it is from.
    """
    packs = sorted((run / "packs").glob("*.json"))
    return {
        "manifest": _chosen(run / "manifest.json", ABOUT_RUN),
        "records": {
            step: _chosen(run / f"{step}.json", ABOUT_STEP, keys) for step, keys in RECORDS.items()
        },
        "packs": [
            _chosen(path, ABOUT_PACK) for path in packs if not path.name.endswith(".job.json")
        ],
    }


def _chosen(path: Path, keys: str, results: str | None = None) -> dict[str, Any] | None:
    content = _bytes(path)
    value = _json(content)
    if content is None or value is None:
        return None

    chosen = {key: value[key] for key in keys.split() if key in value}
    if results is not None and isinstance(value.get("results"), dict):
        chosen["results"] = {key: value["results"].get(key) for key in results.split()}
    return chosen | {"sha256": hashlib.sha256(content).hexdigest()}


def _logs(run: Path) -> dict[str, Any]:
    """Each log by its findings alone: a log may quote the texts that the model was given."""
    logs = []
    for path in sorted((run / "logs").glob("*.log")):
        content = _bytes(path, LOG_LIMIT)
        if content is None:
            continue
        text = content.decode("utf-8", errors="replace")
        raised = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception))(?=:|$)", text, re.M)
        logs.append(
            {
                "log": path.name,
                "lines": text.count("\n"),
                "raised": list(dict.fromkeys(raised)),
                "findings": [one.as_dict() for one in diagnosis.diagnose(text)],
                "fallbacks": diagnosis.fallbacks(text),
            }
        )

    return {"logs": logs}


def _texts_of(run: Path) -> Iterator[str]:
    """Every text that the run wrote down: none of them may stand in the bundle."""
    for path in [*run.glob("*.json"), *(run / "packs").glob("*.json")]:
        yield from _strings(_json(_bytes(path)), False)


def _strings(value: Any, inside: bool) -> Iterator[str]:
    if isinstance(value, str):
        if inside and len(value) > 7:
            yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _strings(one, key in ("text", "texts"))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, inside)


def _told(texts: list[str]) -> Callable[[str], str]:
    """How a string is told elsewhere: without texts, credentials, paths and this host's name."""
    quoted = re.compile("|".join(map(re.escape, texts))) if texts else None
    host = socket.gethostname()
    named = re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])") if len(host) > 2 else None

    def told(value: str) -> str:
        if quoted:
            value = quoted.sub("(text)", value)
        value = SECRET.sub(rf"\1{GONE}", str(recordable(value)))
        if named and host != "localhost":
            value = named.sub("(host)", value)
        return PATH.sub(_cut, value)

    return told


def _cut(found: re.Match[str]) -> str:
    path = found[0]
    if path.startswith(PUBLIC):
        return path
    shared = SHARED.search(path)
    return "…/" + (shared[0] if shared else re.split(r"[/\\]", path)[-1])


def _clean(value: Any, told: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return told(value)
    if isinstance(value, Mapping):
        return {
            told(str(key)): _clean(one, told)
            for key, one in value.items()
            if key not in DROPPED or isinstance(one, (int, float))
        }
    return [_clean(one, told) for one in value] if isinstance(value, (list, tuple)) else value


def _entries(content: bytes) -> dict[str, dict[str, Any]]:
    """The known entries of a bundle; what a stranger packed beside them is not opened."""
    entries = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            for name in ENTRIES.keys() & set(bundle.namelist()):
                with bundle.open(name) as file:
                    part = file.read(ENTRY_LIMIT + 1)
                if len(part) > ENTRY_LIMIT:
                    raise ValueError(f"{name} is larger than {ENTRY_LIMIT >> 20} MiB")
                value = _json(part)
                if value is None or value.get("bundle") != SCHEMA:
                    raise ValueError(f"{name} is not of {SCHEMA}")
                entries[name] = value
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"not a zip file that can be read: {error}") from None

    return entries


def _findings(value: Any) -> list[Finding]:
    """The findings in a list, those of the wrong form left out: a stranger wrote it."""
    return [
        Finding(**{**one, "about": tuple(one["about"])})
        for one in _dicts(value)
        if one.keys() == FIELDS
        and one["severity"] in SEVERITIES
        and isinstance(one["about"], list)
        and all(isinstance(one[name], str) for name in FIELDS - {"about"})
    ]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _summary(entries: dict[str, dict[str, Any]]) -> Finding:
    """The bundle in one note: the machine, the run's verdict, and each gate that did not pass."""
    doctor, run = entries["doctor.json"], entries.get("run.json")
    facts = _dict(doctor, "facts")
    torch, npu = _dict(facts, "torch"), _dict(facts, "torch_npu")
    active = _dict(_dict(facts, "cann"), "active")
    lines = [
        f"python {facts.get('python')}, torch {torch.get('version')},"
        f" torch_npu {npu.get('version')}, CANN {active.get('toolkit')}"
    ]
    lines += [
        f"{name}: {'ready' if verdict.get('ok') else 'not ready'}, {verdict.get('why')}"
        for name, verdict in _dict(doctor, "verdicts").items()
        if isinstance(verdict, dict)
    ]
    lines += _run_lines(run) if run else ["no run is packed"]
    title = "A bundle of goemo doctor: one machine" + (" and one run" if run else "")

    return Finding("bundle", "note", title, "\n".join(lines), "", "", SCHEMA, ABOUT)


def _run_lines(run: dict[str, Any]) -> list[str]:
    params = _dict(_dict(run, "manifest"), "params")
    parity = _dict(_dict(_dict(run, "records"), "03_parity"), "results")
    lines = [
        f"run: {params.get('model')} on {params.get('device')}, {params.get('dtype')},"
        f" {parity.get('n_texts')} texts, verdict {parity.get('verdict')}"
    ]
    lines += [
        f"gate {gate.get('id')}: {gate.get('result')}, {gate.get('value')} against"
        f" {gate.get('limit')}"
        for gate in _dicts(parity.get("gates"))
        if gate.get("result") != "pass"
    ]
    families = _dict(_dict(_dict(parity, "explanation"), "cause"), "families")
    lines += [
        f"{name}: computed as {family.get('named')}, {family.get('calls')} calls"
        for name, family in families.items()
        if isinstance(family, dict)
    ]

    return lines


def _dict(value: dict[str, Any], key: str) -> dict[str, Any]:
    one = value.get(key)
    return one if isinstance(one, dict) else {}


def _bytes(path: Path, end: int | None = None) -> bytes | None:
    """A file's content, of a long one the last ``end`` bytes; None where it cannot be read."""
    try:
        if end is None:
            return read_regular(path)
        with open_regular(path) as file:
            file.seek(max(0, path.stat().st_size - end))
            return file.read(end)
    except OSError:
        return None


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        value = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
