"""A member of a consumer group that uses aiokafka."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from member import Member, say

ASSIGNORS = {a.name: a for a in (RangePartitionAssignor, RoundRobinPartitionAssignor)}


async def run(m):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=m.address,
        group_id=m.group,
        group_instance_id=m.instance or None,
        partition_assignment_strategy=[ASSIGNORS[m.assignor]],
        session_timeout_ms=m.session_ms,
        heartbeat_interval_ms=m.heartbeat_ms,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )

    async def commit(offsets):
        if offsets:
            await consumer.commit({TopicPartition(m.topic, p): o for p, o in offsets.items()})

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_assigned(self, assigned):
            m.assigned([p.partition for p in assigned])

        async def on_partitions_revoked(self, revoked):
            # getmany returns nothing until there is a new assignment.
            revoked = [p.partition for p in revoked]
            await commit(m.uncommitted(revoked))
            m.revoked(revoked)

    consumer.subscribe([m.topic], listener=Listener())
    await consumer.start()
    command = ""
    while command != "leave":
        for partition, messages in (await consumer.getmany(timeout_ms=100)).items():
            for message in messages:
                m.read(partition.partition, message.offset, message.value)
        command = m.command()
        if command == "commit":
            await commit(m.uncommitted(m.has))
            say("committed")
    await consumer.stop()


asyncio.run(run(Member("aiokafka", aiokafka.__version__)))
