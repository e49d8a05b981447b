/* Inside of TLS: contexts (tls_context.c) and sessions (tls_session.c). */
#ifndef WEIR_TLS_PRIV_H
#define WEIR_TLS_PRIV_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "crypto/crypto_priv.h"

#define TLS_ALPN_MAX 1024

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
