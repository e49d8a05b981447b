// Counts through a Sentinel with ioredis, until its input ends: a line per acknowledged number, and per error.
// HOST, NAME, TOKEN and CA say where.
const fs = require('fs');
const Redis = require('ioredis');

const { HOST, NAME, TOKEN, CA } = process.env;
const tls = { ca: fs.readFileSync(CA) };
const options = {
  sentinels: [{ host: HOST, port: 26379 }],
  name: NAME,
  password: TOKEN,
  sentinelPassword: TOKEN,
  enableTLSForSentinelMode: true,
  sentinelTLS: tls,
  tls,
  sentinelRetryStrategy: () => 50,
  retryStrategy: () => 50,
};

async function main() {
  const primary = new Redis(options);
  const reader = new Redis({ ...options, role: 'slave' });
  let ended = false;
  process.stdin.on('end', () => { ended = true; }).resume();
  primary.on('error', (error) => console.log(`error ${error.message}`));
  reader.on('error', (error) => console.log(`error ${error.message}`));
  console.log(`roles ${(await primary.role())[0]} ${(await reader.role())[0]}`);
  while (!ended) {
    try {
      console.log(`count ${await primary.incr('counter')}`);
    } catch (error) {
      console.log(`error ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  console.log(`last ${await primary.get('counter')}`);
  primary.disconnect();
  reader.disconnect();
}

main();
