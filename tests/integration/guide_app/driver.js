'use strict';
// Calls the functions of the guide's program one after the other and prints a line of JSON for each: what it returned or threw, and
// what is then in the cache. DRIVER_ID is the user whose row the test has made.

const id = process.env.DRIVER_ID;

async function step(redis, name, call) {
  const line = { step: name };
  try {
    line.value = (await call()) ?? null;
  } catch (error) {
    line.error = `${error.name}: ${error.message}`;
  }
  line.cached = JSON.parse(await redis.get(`user:${id}`));
  line.ttl = await redis.ttl(`user:${id}`);
  console.log(JSON.stringify(line));
}

async function drive({ redis, getUserData, updateUserData }) {
  const changed = { name: 'Ada Lovelace', email: process.env.DRIVER_EMAIL };
  await step(redis, 'miss', () => getUserData(id));
  await step(redis, 'hit', () => getUserData(id));
  await step(redis, 'update', () => updateUserData(id, changed));
  await step(redis, 'miss', () => getUserData(id));
  await step(redis, 'hit', () => getUserData(id));
  await step(redis, 'nobody', () => getUserData(-1));
  await step(redis, 'bad id', () => getUserData('x'));
  redis.disconnect();
}

module.exports = (functions) => drive(functions).then(
  () => process.exit(0), // the program leaves its database connections open
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
