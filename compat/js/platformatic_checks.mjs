// @platformatic/kafka, which asks for the newest versions of all clients, against
// the server.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import checks from './checks.js';

const { address, load, run, texts } = checks;
const { Admin, Consumer, ListOffsetTimestamps, Producer, stringSerializers } = await import(
  pathToFileURL(load.resolve('@platformatic/kafka'))
);
const bootstrapBrokers = [address];

async function using(client, f) {
  try {
    return await f(client);
  } finally {
    await client.close();
  }
}

const withAdmin = (f) => using(new Admin({ clientId: 'admin', bootstrapBrokers }), f);
const withConsumer = (f) => using(new Consumer({ groupId: 'unused', clientId: 'consumer', bootstrapBrokers }), f);

const create = (topic, partitions = 1) => withAdmin((admin) => admin.createTopics({ topics: [topic], partitions, replicas: 1 }));

// fetch returns what one Fetch, by the topic's id, finds from an offset on.
async function fetch(topic, offset) {
  return withConsumer(async (consumer) => {
    const metadata = await consumer.metadata({ topics: [topic] });
    const { id, partitions } = metadata.topics.get(topic);
    const partition = {
      partition: 0,
      fetchOffset: BigInt(offset),
      partitionMaxBytes: 1 << 20,
      currentLeaderEpoch: partitions[0].leaderEpoch,
      lastFetchedEpoch: -1,
    };
    const answer = await consumer.fetch({
      node: partitions[0].leader,
      maxWaitTime: 1000,
      minBytes: 1,
      maxBytes: 1 << 20,
      topics: [{ topicId: id, partitions: [partition] }],
    });
    return answer.responses[0].partitions[0].records.flatMap((batch) =>
      batch.records.map((r) => [Number(batch.firstOffset) + r.offsetDelta, r.value.toString()])
    );
  });
}

const all = {
  async produceAndFetch(topic) {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4']) {
      for (const idempotent of [true, false]) {
        const name = `${topic}-${compression}-${idempotent}`;
        await create(name);
        const values = texts(name, 200);
        const producer = new Producer({ clientId: 'producer', bootstrapBrokers, serializers: stringSerializers, compression, idempotent });
        const { offsets } = await using(producer, (p) =>
          p.send({ acks: -1, messages: values.map((value) => ({ topic: name, partition: 0, value })) })
        );
        assert.deepEqual(offsets, [{ topic: name, partition: 0, offset: 0n }]);
        assert.deepEqual(await fetch(name, 0), [...values.entries()]);
      }
    }
  },

  async offsets(topic) {
    await create(topic);
    const begin = 1700000000000;
    const messages = Array.from({ length: 20 }, (_, i) => ({ topic, partition: 0, value: 'x', timestamp: BigInt(begin + i * 1000) }));
    await using(new Producer({ clientId: 'producer', bootstrapBrokers, serializers: stringSerializers }), (p) => p.send({ messages }));
    await withConsumer(async (consumer) => {
      const at = async (timestamp) => (await consumer.listOffsets({ topics: [topic], timestamp })).get(topic);
      assert.deepEqual(await at(ListOffsetTimestamps.EARLIEST), [0n]);
      assert.deepEqual(await at(ListOffsetTimestamps.LATEST), [20n]);
      assert.deepEqual(await at(BigInt(begin + 4500)), [5n]);
    });
  },

  async admin(topic) {
    await create(topic, 2);
    await withAdmin(async (admin) => {
      assert.ok((await admin.listTopics()).includes(topic));
      const metadata = await admin.metadata({ topics: [topic] });
      assert.equal(metadata.topics.get(topic).partitionsCount, 2);
      await admin.deleteTopics({ topics: [topic] });
      assert.ok(!(await admin.listTopics()).includes(topic));
    });
  },

  async groups(topic) {
    const groupId = `${topic}-group`;
    await create(topic, 2);
    await withAdmin(async (admin) => {
      const offsets = async () => {
        const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [groupId] });
        return topics.flatMap((t) => t.partitions.map((p) => [p.partitionIndex, p.committedOffset]));
      };
      const alter = (partition, offset) =>
        admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets: [{ partition, offset }] }] });
      await alter(0, 4n);
      await alter(1, 7n);
      assert.deepEqual(await offsets(), [[0, 4n], [1, 7n]]);
      await using(new Consumer({ groupId, clientId: 'one', bootstrapBrokers }), async (consumer) => {
        consumer.topics.track(topic);
        await consumer.joinGroup({});
        const group = (await admin.describeGroups({ groups: [groupId] })).get(groupId);
        assert.equal(group.state, 'STABLE');
        assert.deepEqual([...group.members.keys()], [consumer.memberId]);
        assert.deepEqual(group.members.get(consumer.memberId).assignments.get(topic).partitions, [0, 1]);
        await assert.rejects(alter(0, 1n), (error) => error.findBy('apiId', 'UNKNOWN_MEMBER_ID') !== null);
        await assert.rejects(admin.deleteGroups({ groups: [groupId] }), (error) => error.findBy('apiId', 'NON_EMPTY_GROUP') !== null);
        await consumer.leaveGroup();
      });
      assert.equal((await admin.listGroups()).get(groupId).state, 'EMPTY');
      await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [1] }] });
      assert.deepEqual(await offsets(), [[0, 4n]]);
      await admin.deleteGroups({ groups: [groupId] });
      assert.ok(!(await admin.listGroups()).has(groupId));
    });
  },
};

await run('@platformatic/kafka', 'produce and fetch with none, gzip, snappy, lz4, offsets, administer topics and groups', all);
