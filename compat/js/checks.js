// Runs the checks of one client and prints a line of JSON for each, as
// compat/python/checks.py does.
'use strict';

const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');

// The modules are installed outside of the checkout, in the folder that is the
// second argument; the first one is the address of the server.
const [, , address, folder] = process.argv;
const load = createRequire(join(folder, 'package.json'));

const versionOf = (name) => JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'))).version;

// texts returns n different values that compress well.
const texts = (label, n) => Array.from({ length: n }, (_, i) => `${label} record ${i} ${'log line '.repeat(i % 40)}`);

// run runs checks, functions of a topic name by the name of the check. What is in
// complaints after one of them fails it.
async function run(client, what, checks, complaints = []) {
  const version = versionOf(client);
  for (const [test, check] of Object.entries(checks)) {
    let failure = '';
    try {
      await check(`${client.replace(/\W+/g, '-')}-${test}-${Date.now()}`);
      if (complaints.length > 0) {
        failure = ['it has logged:', ...complaints].join('\n');
      }
    } catch (error) {
      failure = [error.stack, ...(error.errors || []), ...complaints].join('\n');
    }
    complaints.length = 0;
    process.exitCode = process.exitCode || (failure === '' ? 0 : 1);
    console.log(JSON.stringify({ client, version, what, test, failure }));
  }
}

module.exports = { address, load, run, texts, versionOf };
