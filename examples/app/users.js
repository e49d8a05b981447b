'use strict';
// Users, cache-aside: reads come from the cache and fill it on a miss, writes go to the database in a transaction and take
// the cached value away once they are committed.

const COLUMNS = 'id, name, email, updated_at';

class Users {
  constructor(database, cache) {
    this.database = database;
    this.cache = cache;
  }

  static key(id) {
    return `user:${id}`;
  }

  // { user, source: 'cache' | 'database' }; user is null where there is none.
  async get(id) {
    const cached = await this.cache.get(Users.key(id));
    if (cached !== null) {
      return { user: cached, source: 'cache' };
    }
    const found = await this.database.query(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]);
    const user = found.rows[0] ?? null;
    if (user !== null) {
      await this.cache.set(Users.key(id), user);
    }
    return { user, source: 'database' };
  }

  async create({ name, email }) {
    return this.database.transaction(async (client) => {
      const made = await client.query(
        `INSERT INTO users (name, email) VALUES ($1, $2) RETURNING ${COLUMNS}`, [name, email]);
      return made.rows[0];
    });
  }

  // The user as it is now, or null where there is none.
  async update(id, { name, email }) {
    const user = await this.database.transaction(async (client) => {
      const changed = await client.query(
        `UPDATE users SET name = $1, email = $2, updated_at = now() WHERE id = $3 RETURNING ${COLUMNS}`,
        [name, email, id]);
      return changed.rows[0] ?? null;
    });
    if (user !== null) {
      await this.cache.remove(Users.key(id));
    }
    return user;
  }
}

module.exports = { Users };
