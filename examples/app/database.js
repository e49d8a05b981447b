'use strict';
// A pool of connections to the proxy. The password is asked for at each new connection, so that a rotated secret is picked
// up; a transaction that the database asks to repeat is repeated.

const { Pool } = require('pg');

const TRIES_MAX = 3;
const REFUSED_PASSWORD = '28P01';
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
    return this.again((error) => error.code === REFUSED_PASSWORD, () => this.pool.query(text, values));
  }

  // Runs work(client) between BEGIN and COMMIT.
  transaction(work) {
    const repeatable = (error) => REPEATABLE.has(error.code) || error.code === REFUSED_PASSWORD;
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
      }
    }
  }

  close() {
    return this.pool.end();
  }
}

module.exports = { Database };
