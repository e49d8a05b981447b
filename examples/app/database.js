'use strict';
// A pool of connections to the proxy. The password is asked for at each new connection, so that a rotated secret is picked
// up; what the database asks to repeat, or has not begun, is repeated, later each time and at a random moment: so a crowd of
// clients does not come back all at once.

const { Pool } = require('pg');

const TRIES_MAX = 6;
const WAIT_FIRST_MS = 50;
const WAIT_MAX_MS = 2000;
const REFUSED_PASSWORD = '28P01';
// No connection was to be had: a refused password, the proxy's queue, a server that starts, nobody at the port.
const NOT_BEGUN = new Set([REFUSED_PASSWORD, '53300', '08001', '57P03', 'ECONNREFUSED']);
// Serialization failure and deadlock: PostgreSQL's own words for "nothing happened, do it again".
const REPEATABLE = new Set(['40001', '40P01']);

class Database {
  constructor(pool, secret) {
    this.pool = pool;
    this.secret = secret;
  }

  static async open(config, secret) {
    const { username } = await secret.get();
    const pool = new Pool({
      host: config.host,
      port: config.port,
      database: config.database,
      user: username,
      password: async () => (await secret.get()).password,
      max: config.connectionsMax,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      application_name: 'example-app',
      // `host` for endpoints that are addresses: the certificate is checked against it.
      ssl: { rejectUnauthorized: true, host: config.host },
    });
    // A connection that breaks while nobody waits for it is the pool's to replace.
    pool.on('error', (error) => console.error(`database: ${error.message}`));
    pool.on('connect', (client) => client.on('error', () => {}));
    return new Database(pool, secret);
  }

  query(text, values) {
    return this.again((error) => NOT_BEGUN.has(error.code), () => this.pool.query(text, values));
  }

  // Runs work(client) between BEGIN and COMMIT.
  transaction(work) {
    const repeatable = (error) => REPEATABLE.has(error.code) || NOT_BEGUN.has(error.code);
    return this.again(repeatable, () => this.transactionOnce(work));
  }

  async transactionOnce(work) {
    const client = await this.pool.connect();
    let broken;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure) => {
        broken = failure; // not to be used again
      });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async again(repeatable, attempt) {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (tries === TRIES_MAX || !repeatable(error)) {
          throw error;
        }
        if (error.code === REFUSED_PASSWORD) {
          this.secret.forget();
        }
        const atMost = Math.min(WAIT_MAX_MS, WAIT_FIRST_MS * 2 ** (tries - 1));
        await new Promise((resolve) => setTimeout(resolve, Math.random() * atMost));
      }
    }
  }

  close() {
    return this.pool.end();
  }
}

module.exports = { Database };
