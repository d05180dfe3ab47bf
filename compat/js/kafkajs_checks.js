// kafkajs against the server.
'use strict';

const assert = require('node:assert/strict');
const { address, load, run, texts } = require('./checks');

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = load('kafkajs');

const what = 'produce with none and gzip, offsets, administer';
const complaints = []; // what kafkajs logs as a warning or worse
const kafka = new Kafka({
  brokers: [address],
  logLevel: logLevel.WARN,
  logCreator: () => ({ namespace, log }) => complaints.push(`${namespace}: ${log.message} ${log.error || ''}`),
});

async function withAdmin(f) {
  const admin = kafka.admin();
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

// kafkajs consumes by groups only, which are not there yet: what it has
// produced is counted by its offsets.
const latest = (topic) => withAdmin((admin) => admin.fetchTopicOffsets(topic));

const checks = {
  async produce(topic) {
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
};

run('kafkajs', what, checks, complaints);
