'use strict';
// The cache: values as JSON, with a time to live. It is never needed to be right: when Redis does not answer, a read is a
// miss, and the database is asked.

const Redis = require('ioredis');

class Cache {
  constructor(redis, ttlS) {
    this.redis = redis;
    this.ttlS = ttlS;
  }

  static open(config, ttlS) {
    const redis = new Redis({
      host: config.host,
      port: config.port,
      password: config.password,
      tls: { rejectUnauthorized: true },
      maxRetriesPerRequest: 2,
      connectTimeout: 5_000,
      commandTimeout: 2_000,
    });
    redis.on('error', (error) => console.error(`cache: ${error.message}`));
    return new Cache(redis, ttlS);
  }

  async get(key) {
    try {
      const text = await this.redis.get(key);
      return text === null ? null : JSON.parse(text);
    } catch (error) {
      console.error(`cache: get ${key}: ${error.message}`);
      return null;
    }
  }

  async set(key, value) {
    try {
      await this.redis.set(key, JSON.stringify(value), 'EX', this.ttlS);
    } catch (error) {
      console.error(`cache: set ${key}: ${error.message}`);
    }
  }

  // True when the old value is gone.
  async remove(key) {
    try {
      await this.redis.del(key);
      return true;
    } catch (error) {
      console.error(`cache: del ${key}: ${error.message}`);
      return false;
    }
  }

  ping() {
    return this.redis.ping();
  }

  async close() {
    await this.redis.quit().catch(() => this.redis.disconnect());
  }
}

module.exports = { Cache };
