"""kafka-python against the server."""

import sys

import kafka
import kafka.errors
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove, NewPartitions, NewTopic, OffsetSpec
from kafka.structs import OffsetAndMetadata

import checks
from checks import CODECS, equal, texts

WHAT = "produce and consume with every codec, offsets, administer topics and groups"


def create(address, topic, partitions=1):
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    admin.close()


def consume(address, topic, offset, n):
    c = KafkaConsumer(bootstrap_servers=address, consumer_timeout_ms=30000, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    c.assign([partition])
    c.seek(partition, offset)
    got = []
    for m in c:
        got.append((m.offset, m.value))
        if len(got) == n:
            break
    c.close()
    return got


def check_produce_and_consume(address, topic):
    for codec in CODECS:
        for i, config in enumerate(({"acks": "all", "enable_idempotence": False}, {"acks": 0, "enable_idempotence": False}, {"enable_idempotence": True})):
            name = f"{topic}-{codec}-{i}"
            create(address, name)
            p = KafkaProducer(bootstrap_servers=address, compression_type=None if codec == "none" else codec, **config)
            values = texts(codec, 200)
            sent = [p.send(name, v, partition=0) for v in values]
            p.flush(30)
            offsets = [f.get(30).offset for f in sent]
            if config.get("acks") != 0:
                equal(offsets, list(range(200)))
            p.close()
            equal(consume(address, name, 0, 200), list(enumerate(values)))
            equal(consume(address, name, 150, 50), list(enumerate(values))[150:])


def check_offsets(address, topic):
    create(address, topic)
    p = KafkaProducer(bootstrap_servers=address)
    for i in range(20):
        p.send(topic, b"x", partition=0, timestamp_ms=1_700_000_000_000 + i * 1000)
    p.flush(30)
    p.close()
    partition = TopicPartition(topic, 0)
    c = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    equal(c.beginning_offsets([partition]), {partition: 0})
    equal(c.end_offsets([partition]), {partition: 20})
    found = c.offsets_for_times({partition: 1_700_000_004_500})
    equal((found[partition].offset, found[partition].timestamp), (5, 1_700_000_005_000))
    c.close()


def check_admin(address, topic):
    create(address, topic, 2)
    admin = KafkaAdminClient(bootstrap_servers=address)
    if topic not in admin.list_topics():
        raise AssertionError("the topic is not listed")
    equal(len(admin.describe_topics([topic])[0]["partitions"]), 2)
    admin.create_partitions({topic: NewPartitions(3)})
    equal(len(admin.describe_topics([topic])[0]["partitions"]), 3)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "3600000"})])
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    if "3600000" not in str(described):
        raise AssertionError(f"no retention.ms of 3600000 in {str(described)[:2000]}")
    if not admin.describe_cluster()["cluster_id"]:
        raise AssertionError("the cluster has no id")
    admin.delete_topics([topic])
    if topic in admin.list_topics():
        raise AssertionError("the topic is still there")
    admin.close()


def check_groups(address, topic):
    create(address, topic, 2)
    group, first, second = topic + "-group", TopicPartition(topic, 0), TopicPartition(topic, 1)
    p = KafkaProducer(bootstrap_servers=address)
    for i in range(20):
        p.send(topic, b"x", partition=i % 2)
    p.flush(30)
    p.close()
    admin = KafkaAdminClient(bootstrap_servers=address)

    def offsets():
        return {p: (o.offset, o.metadata) for p, o in admin.list_group_offsets(group)[group].items()}

    def listed():
        return [g["group_state"] for g in admin.list_groups() if g["group_id"] == group]

    ok = kafka.errors.NoError
    equal(admin.alter_group_offsets(group, {first: OffsetAndMetadata(4, "why", -1), second: OffsetAndMetadata(7, "", -1)}), {first: ok, second: ok})
    equal(offsets(), {first: (4, "why"), second: (7, "")})
    equal(listed(), ["Empty"])
    c = KafkaConsumer(topic, bootstrap_servers=address, group_id=group, group_instance_id="one", enable_auto_commit=False)
    while not c.assignment():
        c.poll(timeout_ms=5000)
    described = admin.describe_groups([group])[group]
    equal((described["group_state"], described["protocol_type"]), ("Stable", "consumer"))
    equal([m["group_instance_id"] for m in described["members"]], ["one"])
    equal(admin.alter_group_offsets(group, {first: OffsetAndMetadata(1, "", -1)}), {first: kafka.errors.UnknownMemberIdError})
    equal(admin.delete_groups([group]), {group: "NonEmptyGroupError"})
    c.close()  # a static member stays
    equal(listed(), ["Stable"])
    equal(admin.remove_group_members(group, [MemberToRemove(group_instance_id="one")]), {"one": ok})
    equal(listed(), ["Empty"])
    equal(admin.reset_group_offsets(group, {first: OffsetSpec.EARLIEST})[first]["offset"], 0)
    equal(admin.delete_group_offsets(group, [second]), {second: ok})
    equal(offsets(), {first: (0, "why")})
    equal(admin.delete_groups([group]), {group: "OK"})
    equal(listed(), [])
    admin.close()


checks.run("kafka-python", kafka.__version__, sys.modules[__name__])
