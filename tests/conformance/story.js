// What node-postgres does, one line of JSON per step. A line "?" asks whoever started this to let a stranger in, and
// goes on when a line comes back. Where to connect to is in the environment.
'use strict';
const fs = require('fs');
const { Client, Pool } = require('pg');

const tls = process.env.STORY_CA ? { ca: fs.readFileSync(process.env.STORY_CA, 'utf8') } : false;
const settings = { ssl: tls };

function tell(...what) {
  fs.writeSync(1, `${JSON.stringify(what)}\n`);
}

function meanwhile() {
  fs.writeSync(1, '?\n');
  fs.readSync(0, Buffer.alloc(16));
}

async function wrong(promise) {
  try {
    tell('went well', (await promise).rows);
  } catch (error) {
    tell(error.code, error.message, error.severity, error.column);
  }
}

async function withClient() {
  const client = new Client(settings);
  client.on('notice', (notice) => tell('notice', notice.message));
  await client.connect();
  for (let turn = 0; turn < 4; turn++) {
    const result = await client.query('SELECT $1::int AS n, $2::text AS t, now() > $3 AS later', [turn, 'ü', new Date(0)]);
    tell(result.command, result.rowCount, result.rows, result.fields.map((f) => [f.name, f.dataTypeID]));
    tell((await client.query({ name: 'node', text: 'SELECT $1::int + 1 AS n', values: [turn] })).rows);
    meanwhile();
  }
  await wrong(client.query('SELECT 1/0'));
  await wrong(client.query('SELECT FROM FROM'));
  await wrong(client.query('INSERT INTO notes (v) VALUES ($1)', [null]));
  await wrong(client.query({ name: 'node', text: 'SELECT 2' }));
  meanwhile();
  tell((await client.query('SELECT 1 AS a; SELECT 2 AS b')).map((r) => r.rows));
  await client.query('BEGIN');
  tell((await client.query('INSERT INTO notes (v) VALUES ($1) RETURNING id', ['a'])).rows);
  await client.query('SAVEPOINT s');
  await wrong(client.query('SELECT 1/0'));
  await client.query('ROLLBACK TO s');
  await client.query('COMMIT');
  await client.query('DROP TABLE IF EXISTS not_there');
  meanwhile();
  await client.query("SET TimeZone = 'Asia/Tokyo'");
  await client.query("SET DateStyle = 'ISO, DMY'");
  meanwhile();
  tell((await client.query("SELECT '2026-01-02 00:00Z'::timestamptz AS t, current_setting('TimeZone') AS z")).rows);
  const many = [];
  for (let n = 0; n < 50; n++) {
    many.push(client.query('SELECT $1::int AS n', [n]));
  }
  tell((await Promise.all(many)).map((r) => r.rows[0].n));
  tell((await client.query({ text: 'SELECT id, v FROM items ORDER BY id', rowMode: 'array' })).rows.length);
  await client.end();
}

async function withPool() {
  const pool = new Pool({ ...settings, max: 4 });
  const work = async (number) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL work_mem = '${5 + number}MB'`);
      const { rows } = await client.query({ name: 'node', text: "SELECT current_setting('work_mem') AS m, $1::int AS n",
        values: [number] });
      if (number % 3 === 0) {
        await client.query('SELECT 1/0').catch((error) => error);
      }
      await client.query('COMMIT');
      return rows[0];
    } finally {
      client.release();
    }
  };
  tell(await Promise.all([...Array(12).keys()].map(work)));
  meanwhile();
  tell((await pool.query('SHOW work_mem')).rows);
  await pool.end();
}

withClient().then(withPool);
