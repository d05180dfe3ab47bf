"""A member of a consumer group that uses confluent-kafka."""

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

from member import Member, say

m = Member("confluent-kafka", f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}")
config = {
    "bootstrap.servers": m.address,
    "group.id": m.group,
    "partition.assignment.strategy": m.assignor,
    "session.timeout.ms": m.session_ms,
    "heartbeat.interval.ms": m.heartbeat_ms,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
}
if m.instance:
    config["group.instance.id"] = m.instance
consumer = Consumer(config)


def commit(offsets):
    if offsets:
        for p in consumer.commit(offsets=[TopicPartition(m.topic, p, o) for p, o in offsets.items()], asynchronous=False):
            if p.error:
                raise RuntimeError(p)


def on_revoke(_, partitions):
    revoked = [p.partition for p in partitions]
    commit(m.uncommitted(revoked))
    m.revoked(revoked)


consumer.subscribe([m.topic], on_assign=lambda _, partitions: m.assigned([p.partition for p in partitions]), on_revoke=on_revoke)
command = ""
while command != "leave":
    for message in consumer.consume(100, timeout=0.1):
        if message.error():
            raise RuntimeError(message.error())
        m.read(message.partition(), message.offset(), message.value())
    command = m.command()
    if command == "commit":
        commit(m.uncommitted(m.has))
        say("committed")
consumer.close()
