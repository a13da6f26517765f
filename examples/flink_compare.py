"""The windows of ``flink_emotions.py`` beside those of ``goemo stream``, on one topic of a broker
that is started here. By hand, from the repository:

    PYTHONPATH=. python examples/flink_compare.py --python FLINK/bin/python --jars 'jars/*.jar'

Keys user-0 to user-4 come in time; so do those of ``behind``, by their own time, which is a minute
behind that of the others.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from goemo_utils.training.sources import SAMPLE
from tests.stream import broker

BEGIN, STEP, LATE, SEED = 1_700_000_000_000, 20, 1500, 23
Windows = dict[tuple[str, int], dict[str, Any]]


def messages(count: int) -> list[tuple[str, bytes, int]]:
    """Comments one every 20 ms, each up to 1.5 s late, and what closes the windows of each key."""
    moments = random.Random(SEED)
    lines = (SAMPLE / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = []
    for number, line in enumerate(islice(cycle(lines), count)):
        key = f"user-{number % 5}" if number % 11 else "behind"
        behind = 60_000 * (key == "behind")
        at = BEGIN + STEP * number - moments.randrange(LATE) - behind
        rows.append((key, line.partition("\t")[0].encode(), at))
    end = BEGIN + STEP * count + 60_000
    keys = sorted({key for key, _, _ in rows})
    return rows + [(key, b"the last", end) for key in keys]


def windows(address: str, topic: str, partitions: int) -> Windows:
    """The last row of each window."""
    rows = [json.loads(one.value()) for one in broker.read(address, topic, partitions)]
    return {(row["key"], row["start"]): row for row in rows}


def compare(ours: Windows, theirs: Windows) -> None:
    """A line a key: windows that are equal, that differ, and that only one of both has."""
    print("| key | equal | other counts | only goemo stream | only Flink |")
    print("|---|---|---|---|---|")
    for key in sorted({key for key, _ in [*ours, *theirs]}):
        a, b = ({at: one for at, one in side.items() if at[0] == key} for side in (ours, theirs))
        equal = sum(a[at] == b[at] for at in a.keys() & b.keys())
        counts = (equal, len(a.keys() & b.keys()) - equal, len(a.keys() - b), len(b.keys() - a))
        print(f"| {key} | {' | '.join(map(str, counts))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="of the environment that has apache-flink")
    parser.add_argument("--jars", required=True, help="the Kafka connector of Flink's release")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=1)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with broker.running(folder / "broker.log") as address:
            for topic in ("comments", "flink"):
                broker.make_topic(address, topic, args.partitions)
            # One by one at the end: this broker's end of a topic is that of the first message of
            # the last batch (findings/tansu-high-watermark.sh), and the job ends there.
            sent = messages(args.count)
            broker.send(address, "comments", sent[: args.count], args.partitions)
            for closing in sent[args.count :]:
                broker.send(address, "comments", [closing], args.partitions)
            same = ["--brokers", address, "--input", "comments"]
            ours = ["--output", "goemo", "--window", "5s", "--idle", "20s"]
            more = ["--state", str(folder / "state"), "--kafka", "batch.num.messages=1"]
            goemo = [sys.executable, "-m", "goemo_utils.cli", "stream"]
            subprocess.run([*goemo, *same, *ours, *more], check=True)

            job = str(Path(__file__).with_name("flink_emotions.py"))
            theirs = ["--output", "flink", "--jars", args.jars]
            subprocess.run([args.python, job, *same, *theirs], check=True)
            compare(
                windows(address, "goemo-windows", args.partitions),
                windows(address, "flink", args.partitions),
            )


if __name__ == "__main__":
    main()
