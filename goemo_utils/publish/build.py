"""Write the model repository of a run, or refuse and say why."""

import copy
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from goemo_utils.boundary.parts import Scratch, clear_parts
from goemo_utils.boundary.regular import open_regular
from goemo_utils.errors import GoemoError
from goemo_utils.forward import thresholds
from goemo_utils.forward.checkpoint import locate
from goemo_utils.publish import card, evaluation, pictures, server
from goemo_utils.publish.check import check
from goemo_utils.publish.logs import logs
from goemo_utils.records.portable import places, portable
from goemo_utils.records.record import sha256_file, write_json, write_text
from goemo_utils.records.verify import alterations
from goemo_utils.records.weights import leaves, used_files
from goemo_utils.report import page, view
from goemo_utils.report.read import Run, read_run
from goemo_utils.report.summary import summarise

MARKERS = ("summary.json", "README.md", "inference.py")


class PublishError(GoemoError):
    """A run may not be published as it is, or the place to write to is taken."""


def refusal(run: Run, summary: dict[str, Any]) -> str | None:
    """Why a run is no port; None when it may be published."""
    if run.simulated:
        return "the run is SIMULATED: no Ascend device took part"
    if summary["verdict"] == "fail":
        failed = [gate["id"] for gate in summary["gates"] if gate["result"] == "fail"]
        return f"the run failed ({', '.join(failed) or 'its verdict is fail'})"
    if summary["verdict"] == "incomplete":
        return (
            f"the run is incomplete ({', '.join(state.step for state in run.missing)} did not"
            " finish)"
        )
    if run.device.get("kind") != "npu":
        return f"the run was on {run.device.get('kind')}, not on an NPU"

    return None


def publish(
    run_dir: Path,
    output: Path | None = None,
    draft: bool = False,
    weights: bool = False,
    licence: str | None = None,
) -> Path:
    """Write the model repository of the run in ``run_dir`` to ``output`` (default: publish/ in the
    run's folder) and return it.

    A run that is simulated, failed, incomplete or not on an NPU is refused unless ``draft``, which
    marks every file DRAFT (weights, which are copied byte for byte, keep their hash). ``weights``
    copies the checkpoint too. The folder is checked before it is put in place, and replaced as a
    whole.

    Raises PublishError on a refusal, ReportError for records that cannot be shown.
    """
    run = read_run(Path(run_dir))
    source, known = str(run.model.get("id")), places(run.params, run.folder) | _python(run)
    known |= _notebooks(run)
    run = _elsewhere(run, known)
    summary = summarise(run)
    why = refusal(run, summary)

    if why and not draft:
        raise PublishError(
            f"Run '{run.run_id}' cannot be published: {why}. Give --draft for a draft that is"
            " marked as one in every file."
        )
    if draft:
        summary["draft"] = why or "it was asked for as a draft"
    if not run.model:
        raise PublishError(
            f"Run '{run.run_id}' cannot be published: 01_load did not finish, so there is no model"
            " to describe. Run it again."
        )
    if changed := alterations(run.folder):
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise PublishError(
            f"Run '{run.run_id}' cannot be published: {changed[0]}{more}. Run it again: goemo run"
            " finds and repeats what no longer holds."
        )

    target = Path(output) if output else run.folder / "publish"
    if run.folder.resolve().is_relative_to(target.resolve()):
        raise PublishError(
            f"{target} holds the run '{run.run_id}' itself, which publishing there would replace:"
            " choose another --output."
        )
    if target.exists() and not _replaceable(target):
        raise PublishError(
            f"{target} exists and is no folder that goemo published: choose another --output, or"
            " empty it."
        )

    target.parent.mkdir(parents=True, exist_ok=True)
    clear_parts(target.parent, target.name)
    scratch = Scratch(f".{target.name}.", target.parent, ".part")
    made = scratch.path

    try:
        _write(made, run, summary, source if weights else None, licence, known)
        problems = check(made)
        if problems:
            raise PublishError(
                f"The folder was not written, because the check found {len(problems)} problem(s),"
                f" the first: {problems[0]}."
            )
        made.chmod(0o755)
        _replace(scratch.release(), target)
    finally:
        scratch.close()

    return target


def _replaceable(target: Path) -> bool:
    """Whether a place is an empty folder, or one that goemo published. A run has a summary too, and
    a manifest; a clone of a repository has .git.
    """
    if not target.is_dir():
        return False
    names = {path.name for path in target.iterdir()}
    strange = {name for name in names if name.startswith(".") or name == "manifest.json"}
    return not names or (names.issuperset(MARKERS) and not strange)


def _elsewhere(run: Run, known: dict[str, str]) -> Run:
    """The run as it may be read on other machines, without the paths of its own."""
    parts = {
        name: portable(getattr(run, name), known) for name in ("manifest", "records", "results")
    }
    return replace(
        run,
        states={
            step: replace(state, reason=portable(state.reason, known))
            for step, state in run.states.items()
        },
        **parts,
    )


def _notebooks(run: Run) -> dict[str, str]:
    """Where notebooks lay that were not the package's own, by the run's manifest."""
    folder = str((run.manifest.get("code") or {}).get("notebooks") or "")
    return {folder: Path(folder).name} if folder else {}


def _python(run: Run) -> dict[str, str]:
    """Where the run's machine kept its Python, by the record of its environment."""
    executable = Path(str((run.of("00_environment").get("facts") or {}).get("executable") or ""))
    return (
        {str(executable.parents[1]): "python"}
        if executable.is_absolute() and len(executable.parents) > 2
        else {}
    )


def _write(
    folder: Path,
    run: Run,
    summary: dict[str, Any],
    source: str | None,
    licence: str | None,
    known: dict[str, str],
) -> None:
    summary = copy.deepcopy(summary)
    draft = summary.get("draft")
    mark = f"DRAFT: {draft}" if draft else None
    copied = _copy_weights(folder, run, source) if source else []
    values = {
        language: card.context(run, summary, bool(copied), licence, language)
        for language in ("zh", "en")
    }
    write_text(folder / "README.md", card.render("README.zh.md.j2", values["zh"]))
    write_text(folder / "README.en.md", card.render("README.en.md.j2", values["en"]))
    of_programs = {
        **values["en"],
        "model": _plain(values["en"]["base"]),
        "draft": _plain(draft) if draft else None,
        "padding": _plain(values["en"]["padding"] or ""),
    }
    write_text(folder / "inference.py", card.render("inference.py.j2", of_programs))
    server.write(folder, of_programs)
    evaluation.write(folder, of_programs, summary, mark)
    pictures.write(folder, summary, mark)

    if values["en"]["own"] and "thresholds.json" not in copied:
        told = f"the checkpoint's own, as the run {run.run_id} used them"
        found = {
            "schema": thresholds.SCHEMA,
            "thresholds": dict(zip(run.model["labels"], run.model["thresholds"], strict=True)),
            "criterion": told,
        }
        write_json(
            folder / thresholds.FILE, found | ({"criterion": f"{mark}; {told}"} if mark else {})
        )

    write_text(folder / "requirements.txt", _requirements(run, mark))
    for name, text in logs(run, mark).items():
        write_text(folder / "logs" / name, portable(text, known))

    write_json(folder / "summary.json", summary)
    write_text(
        folder / "report.html",
        page.html(view.view(run, summary, str(run.params.get("language") or "en"))),
    )


def _plain(text: str) -> str:
    """A string of a record that may stand in a comment or docstring of a program."""
    return re.sub(r"[^\w ./:,()@+-]", "?", text)


def _requirements(run: Run, mark: str | None) -> str:
    versions = run.manifest.get("versions") or {}
    head = [f"# {mark}"] if mark else []
    head.append(
        "# What inference.py and server.py import. The device's own packages are not listed: they"
        " belong to the machine."
    )
    pins = [
        f"{name}=={versions[name].split('+')[0]}" if versions.get(name) else name
        for name in ("torch", "transformers", "numpy", *server.PACKAGES)
    ]
    return "\n".join([*head, *pins]) + "\n"


def _copy_weights(folder: Path, run: Run, model: str) -> list[str]:
    if run.model.get("source") == "random":
        raise PublishError(
            "Weights were asked for, and this run used random ones: there is nothing to publish."
        )
    _, source, _ = locate(model, run.model.get("revision"))
    allowed = {path.name for path in used_files(source)}
    recorded = {file["name"]: file["sha256"] for file in run.model.get("files") or []}
    for name in recorded:
        path = source / name
        if Path(name).name != name or not path.is_file():
            raise PublishError(
                f"The checkpoint file {name!r} of the run is not in {source} any more: publish"
                " without --weights."
            )
        if leaves(path):
            raise PublishError(
                f"The checkpoint file {name!r} is a link to {path.resolve()}, outside {source}:"
                " expected a file inside the folder. Put the file itself there and run again, or"
                " publish without --weights."
            )

    # What a load does not use is not published, whatever an older record lists.
    chosen = [name for name in recorded if name in allowed]
    for name in chosen:
        _copy(source / name, folder / name, recorded[name])
    return chosen


def _copy(source: Path, target: Path, expected: str) -> None:
    """Copy a regular file, and raise PublishError unless what was copied has the hash that the run
    recorded.
    """
    with open_regular(source) as read, target.open("xb") as write:
        shutil.copyfileobj(read, write)
    if sha256_file(target) != expected:
        raise PublishError(
            f"The checkpoint file {source.name!r} in {source.parent} is not the one that this run"
            " read (its SHA-256 differs): run again, or publish without --weights."
        )


def _replace(made: Path, target: Path) -> None:
    """Put the new folder in place; the old one is gone only when the new one is there."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(made, target)
    shutil.rmtree(old, ignore_errors=True)
