/*
 * crypto: digests, HMAC, key derivation, AEAD, the secret type, certificates, and TLS without
 * sockets. OpenSSL stands behind this door; nobody above includes its headers. Everything is
 * thread-safe: no shared mutable state. A TlsSession belongs to one thread at a time.
 */
#ifndef WEIR_CRYPTO_H
#define WEIR_CRYPTO_H

#include "base/base.h"

#define SHA256_SIZE     32

#define SHA256_HEX_SIZE (2 * SHA256_SIZE + 1)

void sha256(Slice in, uint8_t out[static SHA256_SIZE]);
void sha256_hex(Slice in, char out[static SHA256_HEX_SIZE]); /* lower case */
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

/* ---- certificates (X.509 v3, RFC 5280; keys on P-256, signatures with SHA-256) -----------------
 */

#define CERT_CA_DAYS 3650
/* How long the tier's end certificates are valid, and after how long another one takes their place.
 */
#define CERT_END_DAYS   397
#define CERT_RENEW_DAYS 300
#define CERT_RENEW_MS   ((int64_t)CERT_RENEW_DAYS * 86400 * MS_PER_S)

/* Names are NULL-terminated lists; NULL is the empty one. */
typedef struct CertSpec {
    const char *common_name;  /* 1 to 64 bytes */
    const char *const *names; /* subject alternative names: an address in text form becomes an IP
                                 name, anything else a DNS name */
    bool server, client;      /* what it may be used as; at least one */
    int valid_days;
} CertSpec;

/* A self-signed authority, valid for CERT_CA_DAYS, that may sign end certificates only. Appends the
 * certificate to `cert_pem`; the key is PKCS #8 in PEM. All certificates count from an hour ago,
 * for hosts whose clocks differ. */
NODISCARD bool cert_ca_make(const char *common_name, Buf *cert_pem, Secret *ret_key_pem, Err *err);
NODISCARD bool cert_issue(Slice ca_cert_pem, Slice ca_key_pem, const CertSpec *spec, Buf *cert_pem,
                          Secret *ret_key_pem, Err *err);
/* When the first certificate of the text ends. */
NODISCARD bool cert_expiry(Slice cert_pem, int64_t *ret_wall_ms, Err *err);
/* Whether an end certificate of the tier is to be renewed by now; also what cannot be read is. */
bool cert_is_due(Slice cert_pem, int64_t now_ms);

/* ---- TLS 1.2 and 1.3 over memory ---------------------------------------------------------------
 */

/* What the sessions of one side have in common. Immutable; a session keeps what it needs of it
 * alive. Threads may share one, but one per worker avoids OpenSSL's locks. */
typedef struct TlsContext TlsContext;

typedef struct TlsServerOptions {
    Slice cert_pem; /* the server's own first, then intermediates */
    Slice key_pem;
    Slice client_ca_pem;       /* empty: no client certificate is asked for */
    bool client_cert_required; /* else one that is presented must still verify */
    const char *const *alpn; /* what we speak, best first, NULL-terminated; NULL: no ALPN. A client
                                that offers protocols, but none of these, is refused. */
} TlsServerOptions;

typedef struct TlsClientOptions {
    Slice ca_pem;            /* whom we trust; required, unless */
    bool unverified;         /* any certificate will do: against listeners, not against impostors */
    Slice cert_pem, key_pem; /* our own; both empty: none */
    const char *const *alpn;
} TlsClientOptions;

NODISCARD bool tls_server_context_new(const TlsServerOptions *options, TlsContext **ret_context,
                                      Err *err);
NODISCARD bool tls_client_context_new(const TlsClientOptions *options, TlsContext **ret_context,
                                      Err *err);
TlsContext *tls_context_ref(TlsContext *context); /* one more owner, who frees it too */
void tls_context_free(TlsContext *context);       /* NULL is fine */
bool tls_context_is_server(const TlsContext *context);

/* One connection's state, about 14 kB while idle; it owns no input or output. Bytes from the peer
 * come in as `*in`, which is moved on past what was taken; bytes for the peer are appended to
 * `out`, and must be sent even after a failure (they hold the alert). */
typedef struct TlsSession TlsSession;

typedef enum TlsStatus {
    TLS_DONE,
    TLS_WANT_MORE, /* all of *in was taken, and more must come */
    TLS_EOF,       /* the peer has ended its side in good order */
    TLS_FAILED,    /* err says why; only _free may follow */
} TlsStatus;

/* For a client, `host` is the name or address that the peer's certificate must hold (a name is also
 * sent as SNI); NULL accepts any certificate of the authority. For a server it is NULL. */
NODISCARD bool tls_session_new(TlsContext *context, const char *host, TlsSession **ret_session,
                               Err *err);
void tls_session_free(TlsSession *session); /* NULL is fine */
/* Call until it says TLS_DONE; a client starts with an empty *in. ERR_DENIED: the certificate does
 * not verify. */
NODISCARD TlsStatus tls_session_handshake(TlsSession *session, Slice *in, Buf *out, Err *err);
/* Decrypts up to `size` bytes. TLS_DONE: *ret_len > 0 bytes, and there may be more: call again
 * until it says TLS_WANT_MORE. */
NODISCARD TlsStatus tls_session_read(TlsSession *session, Slice *in, char *plain, size_t size,
                                     size_t *ret_len, Buf *out, Err *err);
/* Encrypts all of it, after the handshake. Fails with ERR_LIMIT when `out` overflows. */
NODISCARD bool tls_session_write(TlsSession *session, Slice plain, Buf *out, Err *err);
/* Appends our close_notify: nothing may be written after it. */
void tls_session_shutdown(TlsSession *session, Buf *out);

bool tls_session_is_open(const TlsSession *session);        /* the handshake is done */
const char *tls_session_version(const TlsSession *session); /* "TLSv1.3" */
Slice tls_session_alpn(const TlsSession *session);          /* empty: none was agreed */
/* Appends the common name of the peer's verified certificate; false when it showed none. */
bool tls_session_peer_cn(const TlsSession *session, Buf *out);
/* The channel binding "tls-server-end-point" (RFC 5929, section 4.1) of this connection: the hash
 * of the server's certificate, whichever side we are. */
#define TLS_END_POINT_MAX 64
NODISCARD bool tls_session_end_point(const TlsSession *session,
                                     uint8_t out[static TLS_END_POINT_MAX], size_t *ret_len,
                                     Err *err);

#endif
