"""aiokafka against the server."""

import asyncio
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import checks
from checks import CODECS, equal, texts

WHAT = "produce and consume with every codec, offsets, administer topics and groups"


async def create(address, topic, partitions=1):
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    return admin


async def consume(address, topic, offset, n):
    c = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await c.start()
    partition = TopicPartition(topic, 0)
    c.assign([partition])
    c.seek(partition, offset)
    got = []
    while len(got) < n:
        m = await asyncio.wait_for(c.getone(), 30)
        got.append((m.offset, m.value))
    await c.stop()
    return got


async def produce_and_consume(address, topic):
    for codec in CODECS:
        for i, config in enumerate(({"acks": "all"}, {"acks": 0}, {"enable_idempotence": True})):
            name = f"{topic}-{codec}-{i}"
            await (await create(address, name)).close()
            p = AIOKafkaProducer(bootstrap_servers=address, compression_type=None if codec == "none" else codec, **config)
            await p.start()
            values = texts(codec, 200)
            sent = [await p.send(name, v, partition=0) for v in values]
            await p.flush()
            offsets = [m and m.offset for m in await asyncio.gather(*sent)]
            await p.stop()
            if config.get("acks") != 0:
                equal(offsets, list(range(200)))
            equal(await consume(address, name, 0, 200), list(enumerate(values)))
            equal(await consume(address, name, 150, 50), list(enumerate(values))[150:])


def check_produce_and_consume(address, topic):
    asyncio.run(produce_and_consume(address, topic))


async def offsets(address, topic):
    await (await create(address, topic)).close()
    p = AIOKafkaProducer(bootstrap_servers=address)
    await p.start()
    for i in range(20):
        await p.send(topic, b"x", partition=0, timestamp_ms=1_700_000_000_000 + i * 1000)
    await p.stop()
    partition = TopicPartition(topic, 0)
    c = AIOKafkaConsumer(bootstrap_servers=address)
    await c.start()
    equal(await c.beginning_offsets([partition]), {partition: 0})
    equal(await c.end_offsets([partition]), {partition: 20})
    found = await c.offsets_for_times({partition: 1_700_000_004_500})
    equal((found[partition].offset, found[partition].timestamp), (5, 1_700_000_005_000))
    await c.stop()


def check_offsets(address, topic):
    asyncio.run(offsets(address, topic))


async def administer(address, topic):
    admin = await create(address, topic, 2)
    if topic not in await admin.list_topics():
        raise AssertionError("the topic is not listed")
    await admin.create_partitions({topic: NewPartitions(3)})
    equal(len((await admin.describe_topics([topic]))[0]["partitions"]), 3)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "3600000"})])
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    if "3600000" not in str(described):
        raise AssertionError(f"no retention.ms of 3600000 in {str(described)[:2000]}")
    await admin.delete_topics([topic])
    if topic in await admin.list_topics():
        raise AssertionError("the topic is still there")
    await admin.close()


def check_admin(address, topic):
    asyncio.run(administer(address, topic))


async def groups(address, topic):
    admin, group = await create(address, topic, 2), topic + "-group"
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    c = AIOKafkaConsumer(topic, bootstrap_servers=address, group_id=group, group_instance_id="one", enable_auto_commit=False)
    await c.start()
    await c.commit({first: (4, "why")})
    offsets = await admin.list_consumer_group_offsets(group, partitions=[first, second])
    equal({p: (o.offset, o.metadata) for p, o in offsets.items()}, {first: (4, "why"), second: (-1, "")})
    equal(list(await admin.list_consumer_group_offsets(group)), [first])
    described = (await admin.describe_consumer_groups([group]))[0].groups[0]
    equal(described[:4], (0, group, "Stable", "consumer"))
    equal(len(described[5]), 1)
    equal([g for g in await admin.list_consumer_groups() if g[0] == group], [(group, "consumer")])
    await c.stop()
    await admin.close()


def check_groups(address, topic):
    asyncio.run(groups(address, topic))


checks.run("aiokafka", aiokafka.__version__, sys.modules[__name__])
