// A member of a consumer group that uses @platformatic/kafka.
import { pathToFileURL } from 'node:url';
import member from './member.js';

const { load, Member } = member;
const { Consumer } = await import(pathToFileURL(load.resolve('@platformatic/kafka')));

const m = new Member('@platformatic/kafka');
const consumer = new Consumer({
  clientId: 'member',
  bootstrapBrokers: [m.address],
  groupId: m.group,
  ...(m.instance && { groupInstanceId: m.instance }),
  sessionTimeout: m.sessionMs,
  heartbeatInterval: m.heartbeatMs,
  maxWaitTime: 100,
  autocommit: false,
});
consumer.on('consumer:heartbeat:error', ({ error }) => m.complain(`heartbeat: ${error.stack}`));

// After a rebalance, a fetch that was under way still brings records of what the
// member had before; the client hands them on. So the second fetch to end after it
// is the first one of what it has now, and what it is said to have is said then.
let assigned; // said when two fetches have ended
let fetches = 0;
let held = []; // what was read before
consumer.on('consumer:group:join', ({ assignments }) => {
  assigned = assignments.flatMap((a) => a.partitions);
  fetches = 0;
});

const stream = await consumer.consume({ topics: [m.topic], mode: 'committed', fallbackMode: 'earliest' });
const read = (message) => m.read(message.partition, message.offset, message.value, message);
stream.on('error', (error) => m.complain(`stream: ${error.stack}`));
stream.on('data', (message) => (assigned ? held.push(message) : read(message)));
stream.on('fetch', () => {
  if (assigned && ++fetches === 2) {
    m.assigned(assigned);
    assigned = undefined;
    held.forEach(read);
    held = [];
  }
});
await m.obey((next) => Promise.all(next.map(([, message]) => message.commit())));
await consumer.close(true);
