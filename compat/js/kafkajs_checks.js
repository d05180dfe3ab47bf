// kafkajs against the server.
'use strict';

const assert = require('node:assert/strict');
const { address, load, run, texts } = require('./checks');

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = load('kafkajs');

const what = 'produce and consume with none and gzip, offsets, administer topics and groups';
const complaints = []; // what kafkajs logs as a warning or worse
const kafka = new Kafka({
  brokers: [address],
  logLevel: logLevel.WARN,
  logCreator: () => ({ namespace, log }) => complaints.push(`${namespace}: ${log.message} ${log.error || ''}`),
});

async function withAdmin(f, options = {}) {
  const admin = kafka.admin(options);
  await admin.connect();
  try {
    return await f(admin);
  } finally {
    await admin.disconnect();
  }
}

const create = (topic, numPartitions = 1) =>
  withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true }));

async function produce(topic, messages, options = {}, producerOptions = {}) {
  const producer = kafka.producer(producerOptions);
  await producer.connect();
  try {
    return await producer.send({ topic, messages, ...options });
  } finally {
    await producer.disconnect();
  }
}

// withMember calls f with a consumer, which reads the topic from its begin as the
// only member of a group, what GROUP_JOIN says of it and an array that gets the
// values that it reads of partition 0.
async function withMember(topic, groupId, f) {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  const read = [];
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => resolve(payload)));
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => read.push(message.value.toString()) });
    return await f(consumer, await joined, read);
  } finally {
    await consumer.disconnect();
  }
}

// consume returns the first values of partition 0, of which there are as many.
const consume = (topic, count) =>
  withMember(topic, `${topic}-group`, async (_, __, read) => {
    for (const end = Date.now() + 30000; read.length < count; ) {
      assert.ok(Date.now() < end, `${read.length} records were read, want ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return read;
  });

const latest = (topic) => withAdmin((admin) => admin.fetchTopicOffsets(topic));

const checks = {
  async produceAndConsume(topic) {
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      for (const acks of [-1, 1, 0]) {
        const name = `${topic}-${compression}-${acks}`;
        await create(name);
        const messages = texts(name, 200).map((value) => ({ value, partition: 0 }));
        const answers = await produce(name, messages, { acks, compression });
        if (acks !== 0) {
          assert.equal(answers[0].baseOffset, '0');
        }
        const idempotent = await produce(name, messages, { compression }, { idempotent: true, maxInFlightRequests: 1 });
        if (acks !== 0) {
          assert.equal(idempotent[0].baseOffset, '200');
        }
        assert.deepEqual(await latest(name), [{ partition: 0, offset: '400', high: '400', low: '0' }]);
        if (acks === -1) {
          const values = messages.map((m) => m.value);
          assert.deepEqual(await consume(name, 400), [...values, ...values]);
        }
      }
    }
  },

  async offsets(topic) {
    await create(topic);
    const begin = 1700000000000;
    const messages = Array.from({ length: 20 }, (_, i) => ({ value: 'x', timestamp: `${begin + i * 1000}` }));
    await produce(topic, messages);
    await withAdmin(async (admin) => {
      const at = await admin.fetchTopicOffsetsByTimestamp(topic, begin + 4500);
      assert.deepEqual(at, [{ partition: 0, offset: '5' }]);
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] });
    });
    assert.deepEqual(await latest(topic), [{ partition: 0, offset: '20', high: '20', low: '3' }]);
  },

  async admin(topic) {
    await create(topic, 2);
    await withAdmin(async (admin) => {
      assert.ok((await admin.listTopics()).includes(topic));
      await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      assert.equal(topics[0].partitions.length, 3);
      const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
      await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] });
      const described = await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }], includeSynonyms: false });
      assert.equal(described.resources[0].configEntries[0].configValue, '3600000');
      const cluster = await admin.describeCluster();
      assert.equal(cluster.brokers.length, 1);
      assert.equal(cluster.controller, cluster.brokers[0].nodeId);
      await admin.deleteTopics({ topics: [topic] });
      assert.ok(!(await admin.listTopics()).includes(topic));
    });
  },

  async groups(topic) {
    const groupId = `${topic}-group`;
    await create(topic, 2);
    await produce(topic, Array.from({ length: 9 }, () => ({ value: 'x', partition: 0 })));
    await withAdmin(async (admin) => {
      const offsets = async () => {
        const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] });
        return partitions.map((p) => p.offset);
      };
      const listed = async () => (await admin.listGroups()).groups.filter((g) => g.groupId === groupId);
      await withMember(topic, groupId, async (consumer, { memberId }) => {
        await consumer.commitOffsets([{ topic, partition: 0, offset: '4' }]);
        assert.deepEqual(await offsets(), ['4', '-1']);
        const { groups } = await admin.describeGroups([groupId]);
        assert.deepEqual([groups[0].state, groups[0].protocol], ['Stable', 'RoundRobinAssigner']);
        assert.deepEqual(groups[0].members.map((m) => m.memberId), [memberId]);
        await assert.rejects(admin.deleteGroups([groupId]), (error) => error.groups[0].error.type === 'NON_EMPTY_GROUP');
        complaints.length = 0; // what was refused
      });
      assert.deepEqual(await listed(), [{ groupId, protocolType: 'consumer' }]);
      await admin.resetOffsets({ groupId, topic, earliest: true });
      assert.deepEqual(await offsets(), ['-2', '-2']); // what kafkajs commits for it
      await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '7' }] });
      assert.equal((await offsets())[0], '7');
      await admin.deleteGroups([groupId]);
      assert.deepEqual(await listed(), []);
    }, { retry: { retries: 0 } }); // else it tries again for long what is refused
  },
};

run('kafkajs', what, checks, complaints);
