'use strict';
// The database credentials from Secrets Manager, fetched once and again when they are old or were refused. Callers that
// ask at the same time share one request.

const { SecretsManagerClient, GetSecretValueCommand } = require('@aws-sdk/client-secrets-manager');

class SecretCache {
  constructor(secretId, ttlMs, client = new SecretsManagerClient({})) {
    this.secretId = secretId;
    this.ttlMs = ttlMs;
    this.client = client;
    this.pending = null;
    this.fetchedAt = 0;
  }

  // { username, password }
  get() {
    if (this.pending === null || Date.now() - this.fetchedAt > this.ttlMs) {
      this.fetchedAt = Date.now();
      const mine = this.fetch();
      this.pending = mine;
      mine.catch(() => {
        if (this.pending === mine) {
          this.pending = null; // a failure is not kept
        }
      });
    }
    return this.pending;
  }

  forget() {
    this.pending = null;
  }

  async fetch() {
    const answer = await this.client.send(new GetSecretValueCommand({ SecretId: this.secretId }));
    const { username, password } = JSON.parse(answer.SecretString);
    if (!username || !password) {
      throw new Error(`the secret ${this.secretId} holds no username and password`);
    }
    return { username, password };
  }

  close() {
    this.client.destroy();
  }
}

module.exports = { SecretCache };
