"""confluent-kafka, which is librdkafka, against the server."""

import sys

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

import checks
from checks import CODECS, equal, texts

WHAT = "produce and consume with every codec, offsets, administer topics and groups"


def create(address, topic, partitions=1):
    admin = AdminClient({"bootstrap.servers": address})
    for f in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        f.result()
    return admin


def consumer_of(address):
    return Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})


def consume(address, topic, offset, n):
    c = consumer_of(address)
    c.assign([TopicPartition(topic, 0, offset)])
    got = []
    while len(got) < n:
        messages = c.consume(n - len(got), timeout=30)
        if not messages:
            raise AssertionError(f"nothing after {len(got)} records")
        for m in messages:
            if m.error():
                raise AssertionError(m.error())
            got.append((m.offset(), m.value()))
    c.close()
    return got


def check_produce_and_consume(address, topic):
    for codec in CODECS:
        for config in ({"acks": "all"}, {"acks": "0"}, {"enable.idempotence": True}):
            name = f"{topic}-{codec}-{len(str(config))}"
            create(address, name)
            failures = []
            p = Producer({"bootstrap.servers": address, "compression.type": codec, **config})
            values = texts(codec, 200)
            for v in values:
                p.produce(name, v, partition=0, on_delivery=lambda err, _: err and failures.append(err))
            equal(p.flush(30), 0)
            equal(failures, [])
            equal(consume(address, name, 0, 200), list(enumerate(values)))
            equal(consume(address, name, 150, 50), list(enumerate(values))[150:])


def check_offsets(address, topic):
    admin = create(address, topic)
    p = Producer({"bootstrap.servers": address})
    for i in range(20):
        p.produce(topic, b"x", partition=0, timestamp=1_700_000_000_000 + i * 1000)
    equal(p.flush(30), 0)
    c = consumer_of(address)
    equal(c.get_watermark_offsets(TopicPartition(topic, 0), timeout=30), (0, 20))
    found = c.offsets_for_times([TopicPartition(topic, 0, 1_700_000_004_500)], timeout=30)
    equal(found[0].offset, 5)
    c.close()
    for spec, want in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 20), (OffsetSpec.max_timestamp(), 19)):
        for f in admin.list_offsets({TopicPartition(topic, 0): spec}).values():
            equal(f.result().offset, want)


def check_topics(address, topic):
    admin = create(address, topic, 2)
    metadata = admin.list_topics(timeout=30)
    equal(len(metadata.topics[topic].partitions), 2)
    equal(len(metadata.brokers), 1)
    for f in admin.create_partitions([NewPartitions(topic, 3)]).values():
        f.result()
    equal(len(admin.list_topics(topic, timeout=30).topics[topic].partitions), 3)
    for f in admin.delete_topics([topic]).values():
        f.result()
    if topic in admin.list_topics(timeout=30).topics:
        raise AssertionError("the topic is still there")


def check_configs(address, topic):
    admin = create(address, topic)
    alter = ConfigResource("topic", topic)
    alter.add_incremental_config(ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET))
    for f in admin.incremental_alter_configs([alter]).values():
        f.result()
    for f in admin.describe_configs([ConfigResource("topic", topic)]).values():
        equal(f.result()["retention.ms"].value, "3600000")
    broker = str(next(iter(admin.list_topics(timeout=30).brokers)))
    for f in admin.describe_configs([ConfigResource("broker", broker)]).values():
        if "log.retention.ms" not in f.result():
            raise AssertionError("the broker's configs lack log.retention.ms")


def check_cluster_and_records(address, topic):
    admin = create(address, topic)
    cluster = admin.describe_cluster().result()
    equal(len(cluster.nodes), 1)
    p = Producer({"bootstrap.servers": address})
    for _ in range(5):
        p.produce(topic, b"x", partition=0)
    equal(p.flush(30), 0)
    for f in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        equal(f.result().low_watermark, 3)


def result(futures):
    """Returns what came of the only one of some futures, a KafkaError if it failed."""
    try:
        return next(iter(futures.values())).result()
    except KafkaException as e:
        return e.args[0]


def check_groups(address, topic):
    admin, group = create(address, topic, 2), topic + "-group"
    p = Producer({"bootstrap.servers": address})
    for i in range(20):
        p.produce(topic, b"x", partition=i % 2)
    equal(p.flush(30), 0)

    def offsets():
        listed = result(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
        return {p.partition: p.offset for p in listed.topic_partitions}

    def alter(partition, offset):
        p = TopicPartition(topic, partition, offset)
        return result(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [p])]))

    for partition, offset in ((0, 4), (1, 7)):
        equal(alter(partition, offset).topic_partitions[0].error, None)
    equal(offsets(), {0: 4, 1: 7})
    c = Consumer({"bootstrap.servers": address, "group.id": group, "client.id": "one", "enable.auto.commit": False})
    c.subscribe([topic])
    while not c.assignment():
        c.poll(0.1)
    described = result(admin.describe_consumer_groups([group]))
    equal((described.state, described.partition_assignor), (ConsumerGroupState.STABLE, "range"))
    equal([(m.client_id, [(p.topic, p.partition) for p in m.assignment.topic_partitions]) for m in described.members], [("one", [(topic, 0), (topic, 1)])])
    equal(alter(0, 1).topic_partitions[0].error.code(), KafkaError.UNKNOWN_MEMBER_ID)
    equal(result(admin.delete_consumer_groups([group])).code(), KafkaError.NON_EMPTY_GROUP)
    c.close()
    listed = admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result()
    equal(listed.errors, [])
    equal([g.state for g in listed.valid if g.group_id == group], [ConsumerGroupState.EMPTY])
    equal(alter(0, 1).topic_partitions[0].error, None)
    equal(offsets(), {0: 1, 1: 7})
    equal(result(admin.delete_consumer_groups([group])), None)
    equal(result(admin.delete_consumer_groups([group])).code(), KafkaError.GROUP_ID_NOT_FOUND)
    equal([g for g in admin.list_consumer_groups().result().valid if g.group_id == group], [])


checks.run("confluent-kafka", f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}", sys.modules[__name__])
