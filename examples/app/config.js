'use strict';
// Everything that the application takes from its environment; `eval "$(weir env)"` sets what has no default here.
// TLS is verified with the system's authorities and those in NODE_EXTRA_CA_CERTS.

function required(env, name) {
  if (!env[name]) {
    throw new Error(`${name} is not set: run eval "$(weir env)" first`);
  }
  return env[name];
}

function number(env, name, fallback) {
  const text = env[name] ?? String(fallback);
  if (!/^\d{1,9}$/.test(text)) {
    throw new Error(`${name} must be a whole number, not "${text}"`);
  }
  return Number(text);
}

function readConfig(env = process.env) {
  return {
    port: number(env, 'PORT', 3000),
    cacheTtlS: number(env, 'CACHE_TTL_S', 600),
    secretTtlMs: number(env, 'SECRET_TTL_S', 300) * 1000,
    db: {
      host: required(env, 'DB_PROXY_ENDPOINT'),
      port: number(env, 'DB_PORT', 5432),
      database: env.DB_NAME ?? 'app_database',
      secretArn: required(env, 'DB_SECRET_ARN'),
      connectionsMax: number(env, 'DB_CONNECTIONS_MAX', 10),
    },
    redis: {
      host: required(env, 'REDIS_HOST'),
      port: number(env, 'REDIS_PORT', 6379),
      password: required(env, 'REDIS_AUTH_TOKEN'),
    },
  };
}

module.exports = { readConfig };
