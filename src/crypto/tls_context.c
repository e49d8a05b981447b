/* What the TLS sessions of one side share: an SSL_CTX with its certificates, and how its sessions
 * reach memory. Counted, for sessions need it to their end. */
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "crypto/tls_priv.h"

bool openssl_err(Err *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    err_set(err, ERR_INTERNAL, "%s: %s", what, reason != NULL ? reason : "no reason given");
    ERR_clear_error();
    return false;
}

/* ---- making ---------------------------------------------------------------------------------- */

TlsContext *tls_context_ref(TlsContext *context)
{
    atomic_fetch_add(&context->refs, 1);
    return context;
}

void tls_context_free(TlsContext *context)
{
    if (context != NULL && atomic_fetch_sub(&context->refs, 1) == 1) {
        SSL_CTX_free(context->ctx);
        BIO_meth_free(context->bio_method);
        buf_done(&context->alpn);
        mem_free(context);
    }
}

static void context_free_ptr(TlsContext **context)
{
    tls_context_free(*context);
}

bool tls_context_is_server(const TlsContext *context)
{
    return context->server;
}

static TlsContext *context_make(bool server)
{
    TlsContext *context = mem_alloc(sizeof(TlsContext));
    atomic_init(&context->refs, 1);
    context->server = server;
    buf_init(&context->alpn, TLS_ALPN_MAX);
    context->bio_method = tls_bio_method_new();
    context->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    ASSERT(context->ctx != NULL);
    SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(context->ctx, 0);
    SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context->ctx, 1);
    if (server) {
        SSL_CTX_set_max_send_fragment(context->ctx, TLS_RECORD_MAX);
    }
    return context;
}

static bool own_cert_set(TlsContext *context, Slice cert_pem, Slice key_pem, Err *err)
{
    STACK_OF(X509) * certs;
    EVP_PKEY *key;
    TRY(cert_chain_parse(cert_pem, &certs, err));
    X509 *own = sk_X509_shift(certs);
    bool ok = SSL_CTX_use_certificate(context->ctx, own) == 1 &&
              SSL_CTX_set1_chain(context->ctx, certs) == 1;
    X509_free(own);
    sk_X509_pop_free(certs, X509_free);
    if (!ok) {
        return openssl_err(err, "using the certificate");
    }
    TRY(cert_key_parse(key_pem, &key, err));
    ok = SSL_CTX_use_PrivateKey(context->ctx, key) == 1 &&
         SSL_CTX_check_private_key(context->ctx) == 1;
    EVP_PKEY_free(key);
    if (!ok) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "the key does not belong to the certificate");
    }
    return true;
}

static bool authority_set(TlsContext *context, Slice ca_pem, Err *err)
{
    STACK_OF(X509) * certs;
    TRY(cert_chain_parse(ca_pem, &certs, err));
    X509_STORE *store = SSL_CTX_get_cert_store(context->ctx);
    bool ok = true;
    for (int i = 0; i < sk_X509_num(certs) && ok; i++) {
        X509 *cert = sk_X509_value(certs, i);
        ok = X509_STORE_add_cert(store, cert) == 1 &&
             (!context->server || SSL_CTX_add_client_CA(context->ctx, cert) == 1);
    }
    sk_X509_pop_free(certs, X509_free);
    return ok || openssl_err(err, "using the certificate authority");
}

/* ---- ALPN (RFC 7301): each name behind its length -------------------------------------------- */

static bool alpn_encode(TlsContext *context, const char *const *names, Err *err)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        size_t len = strlen(names[i]);
        if (len == 0 || len > UINT8_MAX) {
            return err_set(err, ERR_INVALID, "a protocol's name has 1 to 255 bytes");
        }
        buf_append_char(&context->alpn, (char)len);
        buf_append(&context->alpn, names[i], len);
    }
    if (context->alpn.overflowed) {
        return err_set(err, ERR_LIMIT, "the protocols' names exceed %d bytes", TLS_ALPN_MAX);
    }
    return true;
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *user)
{
    (void)ssl;
    const TlsContext *context = user;
    unsigned char *chosen;
    int found = SSL_select_next_proto(&chosen, out_len, (const unsigned char *)context->alpn.data,
                                      (unsigned int)context->alpn.len, in, in_len);
    if (found != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool alpn_set(TlsContext *context, const char *const *names, Err *err)
{
    TRY(alpn_encode(context, names, err));
    if (context->alpn.len == 0) {
        return true;
    }
    if (context->server) {
        SSL_CTX_set_alpn_select_cb(context->ctx, alpn_select, context);
        return true;
    }
    int failed = SSL_CTX_set_alpn_protos(context->ctx, (const unsigned char *)context->alpn.data,
                                         (unsigned int)context->alpn.len);
    return failed == 0 || openssl_err(err, "offering protocols");
}

/* ---- the two sides --------------------------------------------------------------------------- */

bool tls_server_context_new(const TlsServerOptions *options, TlsContext **ret_context, Err *err)
{
    CLEANUP(context_free_ptr) TlsContext *context = context_make(true);
    TRY(own_cert_set(context, options->cert_pem, options->key_pem, err) ||
        err_wrap(err, "the server's certificate"));
    if (options->client_ca_pem.len > 0) {
        TRY(authority_set(context, options->client_ca_pem, err) ||
            err_wrap(err, "the clients' authority"));
        SSL_CTX_set_verify(
            context->ctx,
            SSL_VERIFY_PEER | (options->client_cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
            NULL);
    }
    TRY(alpn_set(context, options->alpn, err));
    *ret_context = context;
    context = NULL;
    return true;
}

bool tls_client_context_new(const TlsClientOptions *options, TlsContext **ret_context, Err *err)
{
    CLEANUP(context_free_ptr) TlsContext *context = context_make(false);
    if (!options->unverified) {
        TRY(authority_set(context, options->ca_pem, err) ||
            err_wrap(err, "the servers' authority"));
        SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, NULL);
    }
    if (options->cert_pem.len > 0) {
        TRY(own_cert_set(context, options->cert_pem, options->key_pem, err) ||
            err_wrap(err, "the client's certificate"));
    }
    TRY(alpn_set(context, options->alpn, err));
    *ret_context = context;
    context = NULL;
    return true;
}
