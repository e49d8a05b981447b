'use strict';
// Runs the flow once and prints what happened: a miss, a hit, an update that takes the cached value away, a miss, a hit.

const { openApp } = require('./app');
const { readConfig } = require('./config');
const { migrate } = require('./migrate');

async function step(text, work) {
  const started = process.hrtime.bigint();
  const result = await work();
  const ms = Number(process.hrtime.bigint() - started) / 1e6;
  console.log(`${text.padEnd(34)} ${result.padEnd(40)} ${ms.toFixed(1).padStart(7)} ms`);
}

function show({ user, source }) {
  return `${user.name} <${user.email}>, from the ${source}`;
}

async function run(app) {
  const mark = `${process.pid}-${Date.now()}`;
  let id;
  await step('schema', async () => {
    await migrate(app.database);
    return 'there';
  });
  await step('create a user', async () => {
    const user = await app.users.create({ name: 'Ada', email: `ada-${mark}@example.com` });
    id = user.id;
    return `id ${id}`;
  });
  await step('first read', async () => show(await app.users.get(id)));
  await step('second read', async () => show(await app.users.get(id)));
  await step('update, invalidate', async () => {
    const user = await app.users.update(id, { name: 'Ada Lovelace', email: `lovelace-${mark}@example.com` });
    return `${user.name} <${user.email}>`;
  });
  await step('read after the update', async () => show(await app.users.get(id)));
  await step('and once more', async () => show(await app.users.get(id)));
}

async function main() {
  const app = await openApp(readConfig());
  try {
    await run(app);
  } finally {
    await app.close();
  }
}

main().catch((error) => {
  console.error(`demo: ${error.message}`);
  process.exitCode = 1;
});
