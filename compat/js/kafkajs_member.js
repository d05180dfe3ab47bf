// A member of a consumer group that uses kafkajs.
'use strict';

const { load, Member } = require('./member');

const { Kafka, logLevel } = load('kafkajs');

async function main() {
  const m = new Member('kafkajs');
  const kafka = new Kafka({
    brokers: [m.address],
    logLevel: logLevel.WARN,
    logCreator: () => ({ namespace, log }) => m.complain(`${namespace}: ${log.message} ${log.error || ''}`),
  });
  const consumer = kafka.consumer({
    groupId: m.group,
    sessionTimeout: m.sessionMs,
    heartbeatInterval: m.heartbeatMs,
    maxWaitTimeInMs: 100,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => m.assigned(payload.memberAssignment[m.topic] || []));
  consumer.on(consumer.events.CRASH, ({ payload }) => m.complain(`it crashed: ${payload.error.stack}`));
  await consumer.connect();
  await consumer.subscribe({ topics: [m.topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => m.read(partition, message.offset, message.value, `${BigInt(message.offset) + 1n}`),
  });
  await m.obey((next) => consumer.commitOffsets(next.map(([partition, offset]) => ({ topic: m.topic, partition, offset }))));
  await consumer.disconnect();
}

main();
