"""Emotions in windows by Apache Flink, on the topic that ``goemo stream --window 5s`` reads.

    python examples/flink_emotions.py --brokers HOST:9092 --input comments --output flink \\
        --jars 'jars/*.jar'

It needs ``pip install apache-flink goemo``, a Java from 11 on, and the Kafka connector of Flink's
release (flink-sql-connector-kafka from Maven). The rows are those of ``goemo stream``: per key and
window how many texts had which label, and their share. The classifier is the function of a window:
all texts of a key within it are one batch.

Flink has one time for all keys, the smallest of its partitions, and ``goemo stream`` has one for
each key; docs/scale.md says what follows. Without --forever the job ends with the messages that are
there when it begins, and closes all windows then.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, SimpleStringSchema, Time, Types
from pyflink.datastream import (
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from pyflink.datastream.window import TumblingEventTimeWindows
from pyflink.table import StreamTableEnvironment

SOURCE = """
CREATE TABLE comments (
  `key` STRING,
  `text` BYTES,
  `at` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  WATERMARK FOR `at` AS `at` - INTERVAL '{late}' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{brokers}',
  'properties.group.id' = 'flink-emotions',
  'scan.startup.mode' = 'earliest-offset',
  'scan.watermark.emit.strategy' = 'on-event',
  {end}
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
)"""
BOUNDED = "'scan.bounded.mode' = 'latest-offset',"


class Emotions(ProcessWindowFunction):
    """The texts of one key in one window as one row of counts and shares."""

    def __init__(self, model: str, field: str) -> None:
        self.model, self.field = model, field

    def open(self, runtime_context: RuntimeContext) -> None:
        """One classifier a worker of Flink."""
        from goemo_utils.classifier.classifier import GoEmotionsClassifier

        self.classifier = GoEmotionsClassifier(self.model)

    def process(
        self, key: str, context: ProcessWindowFunction.Context, elements: Iterable[Any]
    ) -> Iterator[str]:
        from goemo_utils.stream import windows
        from goemo_utils.stream.message import BadMessage, parse

        texts = []
        for _, value, _ in elements:
            try:
                texts.append(parse(bytes(value), self.field))
            except BadMessage as error:
                print(f"left out, key {key}: {error}", file=sys.stderr)
        held: dict[str, Any] = {"texts": 0, "labels": {}}
        for prediction in self.classifier.predict_stream(texts, skip_empty=True):
            held = windows.add(held, {"labels": [{"label": name} for name, _ in prediction.labels]})

        window = context.window()
        if held["texts"]:
            yield json.dumps(windows.row(key, window.start, window.end, held), ensure_ascii=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True, metavar="HOST:PORT")
    parser.add_argument("--input", required=True, metavar="TOPIC")
    parser.add_argument("--output", required=True, metavar="TOPIC")
    parser.add_argument("--window", type=int, default=5, metavar="SECONDS")
    parser.add_argument("--late", type=int, default=2, metavar="SECONDS")
    parser.add_argument("--model_path", default="embedded")
    parser.add_argument("--field", default="text", help="of a JSON object that is the text")
    parser.add_argument("--jars", required=True, help="the Kafka connector of Flink's release")
    parser.add_argument("--forever", action="store_true", help="wait for more messages")
    args = parser.parse_args()

    settings = Configuration()
    settings.set_string("python.executable", sys.executable)
    # The watermark is that of all partitions, so one that has no message holds it back.
    settings.set_string("table.exec.source.idle-timeout", "10 s")
    env = StreamExecutionEnvironment.get_execution_environment(settings)
    env.add_jars(*(Path(jar).resolve().as_uri() for jar in glob(args.jars)))
    env.set_parallelism(1)
    env.enable_checkpointing(10_000)
    tables = StreamTableEnvironment.create(env)

    end = "" if args.forever else BOUNDED
    tables.execute_sql(
        SOURCE.format(late=args.late, topic=args.input, brokers=args.brokers, end=end)
    )
    rows = tables.to_data_stream(
        tables.sql_query("SELECT COALESCE(`key`, ''), `text`, `at` FROM comments")
    )
    closed = (
        rows.key_by(lambda row: row[0], key_type=Types.STRING())
        .window(TumblingEventTimeWindows.of(Time.seconds(args.window)))
        .process(Emotions(args.model_path, args.field), Types.STRING())
    )
    closed.sink_to(outlet(args.brokers, args.output))
    env.execute("emotions")


def outlet(brokers: str, topic: str) -> KafkaSink:
    """The topic of closed windows, each at least once."""
    record = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(topic)
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(brokers)
        .set_record_serializer(record)
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build()
    )


if __name__ == "__main__":
    main()
