"""A member of a consumer group that uses kafka-python."""

import kafka
from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata

from member import Member, say

ASSIGNORS = {a.name: a for a in (CooperativeStickyAssignor, RangePartitionAssignor)}

m = Member("kafka-python", kafka.__version__)
consumer = KafkaConsumer(
    bootstrap_servers=m.address,
    group_id=m.group,
    group_instance_id=m.instance or None,
    partition_assignment_strategy=[ASSIGNORS[m.assignor]],
    session_timeout_ms=m.session_ms,
    heartbeat_interval_ms=m.heartbeat_ms,
    auto_offset_reset="earliest",
    enable_auto_commit=False,
)


def of_topic(offsets):
    return {TopicPartition(m.topic, p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}


class Listener(AsyncConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        m.assigned([p.partition for p in assigned])

    async def on_partitions_revoked(self, revoked):
        revoked = [p.partition for p in revoked]
        offsets = m.uncommitted(revoked)
        if offsets:
            await consumer.commit_async(of_topic(offsets))
        m.revoked(revoked)


consumer.subscribe([m.topic], listener=Listener())
command = ""
while command != "leave":
    # Where the time is over while it joins, it may forget that it has joined and join
    # once more (join_group_async in kafka/coordinator/base.py).
    for partition, messages in consumer.poll(timeout_ms=100 if m.has else 2000).items():
        for message in messages:
            m.read(partition.partition, message.offset, message.value)
    command = m.command()
    if command == "commit":
        consumer.commit(of_topic(m.uncommitted(m.has)))
        say("committed")
consumer.close()
