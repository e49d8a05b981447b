/* One TLS connection over memory. OpenSSL reads from and writes to a BIO of our own, which looks at
 * the caller's slice and buffer for the length of one call: nothing is stored between calls but
 * what OpenSSL itself must keep (the part of a record that has come). */
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "crypto/tls_priv.h"

struct TlsSession {
    TlsContext *context; /* a reference */
    SSL *ssl;
    Slice *in; /* NULL outside of a call, like `out` */
    Buf *out;
    char *host; /* for messages */
};

/* ---- the BIO --------------------------------------------------------------------------------- */

static int wire_read(BIO *bio, char *data, int size)
{
    TlsSession *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in == NULL || session->in->len == 0 || size <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = session->in->len < (size_t)size ? session->in->len : (size_t)size;
    memcpy(data, session->in->data, len);
    *session->in = slice_skip(*session->in, len);
    return (int)len;
}

static int wire_write(BIO *bio, const char *data, int size)
{
    TlsSession *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ASSERT(session->out != NULL && size >= 0);
    buf_append(session->out, data, (size_t)size);
    return session->out->overflowed ? -1 : size;
}

static long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir");
    ASSERT(method != NULL);
    BIO_meth_set_read(method, wire_read);
    BIO_meth_set_write(method, wire_write);
    BIO_meth_set_ctrl(method, wire_ctrl);
    return method;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* What the peer's certificate must hold. */
static bool host_expect(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
    if (address != NULL) {
        ASN1_OCTET_STRING_free(address);
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    }
    ERR_clear_error();
    /* What SSL_set_tlsext_host_name does, whose cast a compiler refuses. */
    void *name = (void *)(uintptr_t)host;
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1;
}

bool tls_session_new(TlsContext *context, const char *host, TlsSession **ret_session, Err *err)
{
    ASSERT(!context->server || host == NULL);
    SSL *ssl = SSL_new(context->ctx);
    BIO *bio = BIO_new(context->bio_method);
    ASSERT(ssl != NULL && bio != NULL);
    if (host != NULL && !host_expect(ssl, host)) {
        SSL_free(ssl);
        BIO_free(bio);
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "\"%s\" is not a host's name or address", host);
    }
    TlsSession *session = mem_alloc(sizeof(TlsSession));
    session->context = tls_context_ref(context);
    session->ssl = ssl;
    session->host = mem_strdup(host);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (context->server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    *ret_session = session;
    return true;
}

void tls_session_free(TlsSession *session)
{
    if (session != NULL) {
        SSL_free(session->ssl);
        tls_context_free(session->context);
        mem_free(session->host);
        mem_free(session);
    }
}

/* ---- driving --------------------------------------------------------------------------------- */

static void session_enter(TlsSession *session, Slice *in, Buf *out)
{
    session->in = in;
    session->out = out;
    ERR_clear_error();
}

static void session_leave(TlsSession *session)
{
    session->in = NULL;
    session->out = NULL;
}

static void session_explain(TlsSession *session, Err *err)
{
    long verified = SSL_get_verify_result(session->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (session->out->overflowed) {
        err_set(err, ERR_LIMIT, "the output exceeds %zu bytes", session->out->max);
    } else if (verified != X509_V_OK) {
        err_set(err, ERR_DENIED, "the peer's certificate was refused: %s%s%s",
                X509_verify_cert_error_string(verified), session->host != NULL ? ", expected " : "",
                session->host != NULL ? session->host : "");
    } else {
        err_set(err, ERR_INVALID, "%s", reason != NULL ? reason : "the peer broke the protocol");
    }
    ERR_clear_error();
}

static TlsStatus session_status(TlsSession *session, int result, Err *err)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_EOF;
    default:
        session_explain(session, err);
        return TLS_FAILED;
    }
}

TlsStatus tls_session_handshake(TlsSession *session, Slice *in, Buf *out, Err *err)
{
    session_enter(session, in, out);
    TlsStatus status = session_status(session, SSL_do_handshake(session->ssl), err);
    session_leave(session);
    return status;
}

TlsStatus tls_session_read(TlsSession *session, Slice *in, char *plain, size_t size,
                           size_t *ret_len, Buf *out, Err *err)
{
    size_t len = 0;
    session_enter(session, in, out);
    int result = SSL_read_ex(session->ssl, plain, size, &len);
    TlsStatus status = session_status(session, result, err);
    session_leave(session);
    if (status == TLS_DONE) {
        *ret_len = len;
    }
    return status;
}

bool tls_session_write(TlsSession *session, Slice plain, Buf *out, Err *err)
{
    if (plain.len == 0) {
        return true;
    }
    size_t len = 0;
    session_enter(session, NULL, out);
    int result = SSL_write_ex(session->ssl, plain.data, plain.len, &len);
    if (result != 1) {
        session_explain(session, err);
    }
    session_leave(session);
    ASSERT(result != 1 || len == plain.len);
    return result == 1;
}

void tls_session_shutdown(TlsSession *session, Buf *out)
{
    if (tls_session_is_open(session)) {
        session_enter(session, NULL, out);
        int ignored = SSL_shutdown(session->ssl); /* 0: ours is sent; theirs may come */
        (void)ignored;
        ERR_clear_error();
        session_leave(session);
    }
}

/* ---- questions ------------------------------------------------------------------------------- */

bool tls_session_is_open(const TlsSession *session)
{
    return SSL_is_init_finished(session->ssl) == 1;
}

const char *tls_session_version(const TlsSession *session)
{
    return SSL_get_version(session->ssl);
}

Slice tls_session_alpn(const TlsSession *session)
{
    const unsigned char *name;
    unsigned int len;
    SSL_get0_alpn_selected(session->ssl, &name, &len);
    return slice_from(name, len);
}

bool tls_session_peer_cn(const TlsSession *session, Buf *out)
{
    X509 *cert = SSL_get0_peer_certificate(session->ssl);
    if (cert == NULL || SSL_get_verify_result(session->ssl) != X509_V_OK) {
        return false;
    }
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return false;
    }
    unsigned char *text = NULL;
    int len =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    bool ok = len > 0 && memchr(text, '\0', (size_t)len) == NULL;
    if (ok) {
        buf_append(out, text, (size_t)len);
    }
    OPENSSL_free(text);
    ERR_clear_error();
    return ok;
}

bool tls_session_end_point(const TlsSession *session, uint8_t out[static TLS_END_POINT_MAX],
                           size_t *ret_len, Err *err)
{
    X509 *cert = session->context->server ? SSL_get_certificate(session->ssl)
                                          : SSL_get0_peer_certificate(session->ssl);
    int digest_nid = NID_undef;
    if (cert == NULL || X509_get_signature_info(cert, &digest_nid, NULL, NULL, NULL) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_UNSUPPORTED, "there is no certificate to bind the channel to");
    }
    if (digest_nid == NID_md5 || digest_nid == NID_sha1) {
        digest_nid = NID_sha256; /* RFC 5929, 4.1 */
    }
    const EVP_MD *digest = EVP_get_digestbynid(digest_nid);
    unsigned int len = 0;
    if (digest == NULL || EVP_MD_get_size(digest) > TLS_END_POINT_MAX ||
        X509_digest(cert, digest, out, &len) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_UNSUPPORTED,
                       "the certificate's signature has no hash to bind the channel with");
    }
    *ret_len = len;
    return true;
}
