// What the programs that are one member of a consumer group have in common:
// compat/python/member.py says how they are told what to do, and what they say.
'use strict';

const { createInterface } = require('node:readline');
const { address, load, versionOf } = require('./checks');

const options = JSON.parse(process.argv[4]);

const say = (event, what) => process.stdout.write(`${JSON.stringify({ event, ...what })}\n`);

// Member keeps how far a member has read of the partitions that it has.
class Member {
  constructor(client) {
    Object.assign(this, options, { address, heartbeatMs: 200 });
    this.next = new Map(); // what to commit, by partition that was read since it was committed
    say('client', { client, version: versionOf(client) });
  }

  // assigned says which partitions the member has now.
  assigned(partitions) {
    for (const p of this.next.keys()) {
      if (!partitions.includes(p)) {
        this.next.delete(p);
      }
    }
    say('assigned', { partitions });
  }

  // read says what was read, and keeps what to commit for it.
  read(partition, offset, value, next) {
    this.next.set(partition, next);
    say('read', { partition, offset: Number(offset), value: value.toString() });
  }

  complain(text) {
    say('complaint', { text });
  }

  // obey commits by commit, a function of an array of partitions and what to commit
  // for them, when it is told to, until it is told to leave.
  async obey(commit) {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === 'commit') {
        const next = [...this.next];
        this.next.clear();
        await commit(next);
        say('committed');
      }
    }
  }
}

module.exports = { load, Member };
