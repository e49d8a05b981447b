/*
 * crypto: digests, HMAC, key derivation, AEAD and the secret type. OpenSSL stands behind this
 * door; nobody above includes its headers. Everything is thread-safe: no shared mutable state.
 */
#ifndef WEIR_CRYPTO_H
#define WEIR_CRYPTO_H

#include "base/base.h"

#define SHA256_SIZE 32

void sha256(Slice in, uint8_t out[static SHA256_SIZE]);
/* FIPS 198-1. */
void hmac_sha256(Slice key, Slice in, uint8_t out[static SHA256_SIZE]);
/* PBKDF2-HMAC-SHA-256, one block (RFC 8018; the Hi() of RFC 5802). iterations >= 1. */
void pbkdf2_sha256(Slice password, Slice salt, uint32_t iterations,
                   uint8_t out[static SHA256_SIZE]);
void md5_hex(Slice in, char out[static 33]); /* for PostgreSQL's md5 passwords only */
/* Takes as long whatever the contents are. */
bool crypto_equal(const void *a, const void *b, size_t len);
/* Not optimised away. */
void crypto_wipe(void *data, size_t len);

/* ---- AES-256-GCM (NIST SP 800-38D) ------------------------------------------------------------
 */

#define AEAD_KEY_SIZE   32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE   16
#define AEAD_OVERHEAD   (AEAD_NONCE_SIZE + AEAD_TAG_SIZE)

/* Appends nonce || ciphertext || tag to `out`; the nonce is random. `context` is authenticated with
 * it and must be given again to open: name there what the secret is for. */
void aead_seal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice plain, Buf *out);
/* Appends the plain text. ERR_DENIED where key, context or bytes are not the ones sealed. */
NODISCARD bool aead_open(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice sealed,
                         Buf *out, Err *err);

/* ---- secrets -------------------------------------------------------------------------------- */

/* A text that no formatter and no log takes: the only way in is secret_set, the only way out is
 * secret_reveal, and both are easy to search for. Wiped when done. */
typedef struct Secret {
    char *hidden_;
    size_t len_;
} Secret;

void secret_set(Secret *secret, Slice text); /* replaces */
Slice secret_reveal(const Secret *secret);   /* NUL-terminated; valid until set or done */
bool secret_is_set(const Secret *secret);
bool secret_eq(const Secret *secret, Slice text); /* constant time for equal lengths */
void secret_done(Secret *secret);

/* ---- secrets at rest: sealed, as text ---------------------------------------------------------
 */

#define SEALED_PLAIN_MAX ((size_t)1 << 20)

/* Appends base64 of the sealed bytes. `context` is the key of the record that will hold it. */
void secret_seal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice plain, Buf *out);
/* ERR_DENIED as aead_open; ERR_LIMIT past SEALED_PLAIN_MAX. Replaces *ret_secret. */
NODISCARD bool secret_unseal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice text,
                             Secret *ret_secret, Err *err);

#endif
