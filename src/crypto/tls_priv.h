/* Inside of TLS: contexts (tls_context.c) and sessions (tls_session.c). */
#ifndef WEIR_TLS_PRIV_H
#define WEIR_TLS_PRIV_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "crypto/crypto_priv.h"

#define TLS_ALPN_MAX 1024
/* Of what a server sends, as PostgreSQL's own records. libpq's PQconsumeInput reads once, with room
 * for 8 KiB at least: what is left of a longer record lies in OpenSSL, where no select() sees it,
 * and whoever drives libpq by that (psycopg, ruby-pg) waits for ever. */
#define TLS_RECORD_MAX 8192

struct TlsContext {
    atomic_int refs; /* its maker and each session */
    SSL_CTX *ctx;
    BIO_METHOD *bio_method;
    bool server;
    Buf alpn; /* wire form */
};

/* Reads from the session's input, appends to its output. */
BIO_METHOD *tls_bio_method_new(void);

#endif
