/*
 * TLS to the target, in front of anything that is said to it: a request, one byte of answer, the
 * handshake. Logins and cancel requests both begin here.
 */
#include "proxy/proxy_priv.h"

bool proxy_target_tls_ask(const ProxyWorker *worker, size_t target, Stream *stream)
{
    if (proxy_config_target(worker->config, target)->tls == TARGET_TLS_DISABLE ||
        stream_tls(stream) != NULL) {
        return false;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_ssl_request(&out);
    stream_write(stream, buf_slice(&out));
    buf_done(&out);
    return true;
}

bool proxy_target_tls_begin(const ProxyWorker *worker, size_t number, Stream *stream, Slice answer,
                            Err *err)
{
    const ProxyTarget *target = proxy_config_target(worker->config, number);
    TlsContext *context = target->contexts[worker->index];
    if (!slice_starts(answer, "S")) {
        return err_set(err, ERR_UNSUPPORTED, "PostgreSQL does not offer TLS");
    }
    if (context == NULL) {
        return err_set(err, ERR_CONFLICT, "the target's configuration has changed meanwhile");
    }
    /* Bytes behind the answer go to the handshake, and fail it. */
    stream_start_tls(stream, context, target->tls == TARGET_TLS_VERIFY_FULL ? target->host : NULL);
    return true;
}
