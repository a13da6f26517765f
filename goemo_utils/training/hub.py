"""Data sets on the hub: the Parquet files of one split. No data set's own code is run."""

from __future__ import annotations

import re
from pathlib import Path

from goemo_utils.errors import TextsError

_SOURCE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(/(?P<config>[\w.-]+))?:(?P<split>[\w.-]+)")
_SHARD = re.compile(r"(?P<folder>[^/]+)/(?P<split>[\w.-]+?)(-\d+(-of-\d+)?(-\w+)?)?\.parquet")
_ELSEWHERE = "Download it and give the local file, or set HF_ENDPOINT to a mirror."


def fetch(source: str) -> list[Path]:
    """The local paths of the Parquet files of ``hub:OWNER/NAME[/CONFIG]:SPLIT``, in their order,
    fetched where they are not in the cache.

    They are ``CONFIG/SPLIT-*.parquet``, else ``data/SPLIT-*.parquet``; without CONFIG ``data/``, or
    the only folder that has the split. Raises TextsError when the name has another form, the hub
    cannot be asked, or the data set has no such files.
    """
    from huggingface_hub import hf_hub_download

    found = _SOURCE.fullmatch(source)
    if not found:
        raise TextsError(
            f"'{source}' names no data set; expected hub:OWNER/NAME:SPLIT or"
            " hub:OWNER/NAME/CONFIG:SPLIT, such as"
            " hub:google-research-datasets/go_emotions/simplified:train."
        )

    repo, config, split = found["repo"], found["config"], found["split"]
    shards = _choose(source, _files(repo), config, split)

    try:
        return [Path(hf_hub_download(repo, name, repo_type="dataset")) for name in shards]
    except Exception as error:  # offline, gated, cut off: the hub has a class for each
        raise TextsError(
            f"'{source}': {shards[0]} could not be fetched from the hub ({type(error).__name__})."
            f" {_ELSEWHERE}"
        ) from None


def _files(repo: str) -> list[str]:
    """The names of the data set's files, or when the hub cannot be asked those of them that are in
    the cache.
    """
    from huggingface_hub import list_repo_files, snapshot_download

    try:
        return list(list_repo_files(repo, repo_type="dataset"))
    except Exception as error:  # offline, no such repository, gated: the hub has a class for each
        reason = type(error).__name__
    try:
        folder = Path(snapshot_download(repo, repo_type="dataset", local_files_only=True))
    except Exception:
        raise TextsError(
            f"Data set '{repo}' could not be fetched from the hub ({reason}). Check the name and"
            f" the network. {_ELSEWHERE}"
        ) from None
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]


def _choose(source: str, names: list[str], config: str | None, split: str) -> list[str]:
    """The shards of the split, from one folder; TextsError with the configurations and splits there
    are.
    """
    shards = [
        (match["folder"], match["split"], name)
        for name in sorted(names)
        if (match := _SHARD.fullmatch(name))
    ]
    folders = sorted({folder for folder, part, _ in shards if part == split})
    wanted = [folder for folder in (config, "data") if folder in folders] or (
        folders if config is None else []
    )

    if len(wanted) > 1 and config is None:
        raise TextsError(
            f"'{source}' has configurations {', '.join(folders)}; expected one. Name it:"
            f" hub:OWNER/NAME/{folders[0]}:{split}."
        )

    if not wanted:
        there = (
            ", ".join(dict.fromkeys(f"{folder}:{part}" for folder, part, _ in shards))
            or "no Parquet file at all"
        )
        raise TextsError(
            f"'{source}' has no file {config or 'data'}/{split}-*.parquet; there is {there}."
            " Correct configuration or split; for a data set in another form, download it and give"
            " the local file."
        )

    return [name for folder, part, name in shards if folder == wanted[0] and part == split]
