'use strict';
// Puts the parts together, and takes them apart again.

const { Cache } = require('./cache');
const { Database } = require('./database');
const { SecretCache } = require('./secret');
const { Users } = require('./users');

async function openApp(config) {
  const secret = new SecretCache(config.db.secretArn, config.secretTtlMs);
  const database = await Database.open(config.db, secret);
  const cache = Cache.open(config.redis, config.cacheTtlS);
  const close = async () => {
    await Promise.allSettled([database.close(), cache.close()]);
    secret.close();
  };
  return { secret, database, cache, users: new Users(database, cache), close };
}

module.exports = { openApp };
