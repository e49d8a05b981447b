'use strict';
// The HTTP side:
//   GET  /users/ID   200 with the user, and where it came from in X-Source; 404
//   PUT  /users/ID   {"name": …, "email": …}; 200 with the user, 404
//   POST /users      the same; 201 with the user
//   GET  /health     200, or 503 with what is missing
// SIGTERM and SIGINT let the requests under way finish, then close every connection.

const http = require('node:http');

const { openApp } = require('./app');
const { readConfig } = require('./config');

const BODY_BYTES_MAX = 64 * 1024;
const SHUTDOWN_MS = 10_000;
const UNIQUE_VIOLATION = '23505';

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function readBody(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      throw new HttpError(413, `a body has at most ${BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'the body is not JSON');
  }
}

async function readUser(request) {
  const body = await readBody(request);
  for (const name of ['name', 'email']) {
    if (typeof body?.[name] !== 'string' || body[name] === '') {
      throw new HttpError(400, `"${name}" must be a text`);
    }
  }
  return body;
}

async function health(app) {
  const [database, cache] = await Promise.allSettled([app.database.query('SELECT 1'), app.cache.ping()]);
  const state = (result) => (result.status === 'fulfilled' ? 'ok' : result.reason.message);
  const ok = database.status === 'fulfilled' && cache.status === 'fulfilled';
  return { status: ok ? 200 : 503, body: { database: state(database), cache: state(cache) } };
}

function found(user, status = 200, headers = {}) {
  if (user === null) {
    throw new HttpError(404, 'there is no such user');
  }
  return { status, body: user, headers };
}

async function answer(app, request) {
  const path = request.url.split('?', 1)[0];
  const id = /^\/users\/([1-9]\d{0,17})$/.exec(path)?.[1];
  if (request.method === 'GET' && path === '/health') {
    return health(app);
  }
  if (request.method === 'POST' && path === '/users') {
    return found(await app.users.create(await readUser(request)), 201);
  }
  if (request.method === 'GET' && id) {
    const { user, source } = await app.users.get(id);
    return found(user, 200, { 'x-source': source });
  }
  if (request.method === 'PUT' && id) {
    return found(await app.users.update(id, await readUser(request)));
  }
  throw new HttpError(404, `there is no ${request.method} ${path}`);
}

function errorAnswer(error) {
  if (error instanceof HttpError) {
    return { status: error.status, body: { error: error.message } };
  }
  if (error.code === UNIQUE_VIOLATION) {
    return { status: 409, body: { error: 'this e-mail address is taken' } };
  }
  console.error(`request: ${error.stack}`);
  return { status: 503, body: { error: 'try again later' } };
}

async function handle(app, request, response) {
  const { status, body, headers } = await answer(app, request).catch(errorAnswer);
  if (!request.complete) {
    response.setHeader('connection', 'close'); // the rest of the body is not read
  }
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

function shutDown(server, app) {
  console.log('shutting down');
  setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
  server.close(() => app.close());
  server.closeIdleConnections();
}

async function main() {
  const config = readConfig();
  const app = await openApp(config);
  const server = http.createServer((request, response) => handle(app, request, response));
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => shutDown(server, app));
  }
  server.listen(config.port, () => console.log(`listening on ${server.address().port}`));
}

main().catch((error) => {
  console.error(`server: ${error.message}`);
  process.exitCode = 1;
});
