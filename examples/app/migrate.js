'use strict';
// Makes the schema. May run as often as one likes, and in several places at once.

const { openApp } = require('./app');
const { readConfig } = require('./config');

const SCHEMA_LOCK = 7_140_001;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS users (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL UNIQUE,
    updated_at timestamptz NOT NULL DEFAULT now()
  )`;

async function migrate(database) {
  await database.transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
    await client.query(SCHEMA);
  });
}

async function main() {
  const app = await openApp(readConfig());
  try {
    await migrate(app.database);
    console.log('the schema is there');
  } finally {
    await app.close();
  }
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`migrate: ${error.message}`);
    process.exitCode = 1;
  });
}

module.exports = { migrate };
