/* See place_priv.h. */
#include "proxy/target/place_priv.h"
#include "proxy/worker_priv.h"

void proxy_place_init(ProxyPlace *place, const ProxyWorker *worker, size_t number)
{
    const ProxyTarget *target = proxy_config_target(worker->config, number);
    TlsContext *context = target->contexts[worker->index];
    *place = (ProxyPlace){
        .id = mem_strdup(target->id),
        .at = mem_strdup(target->at),
        .host = target->host != NULL ? mem_strdup(target->host) : NULL,
        .addr = target->addr,
        .tls = target->tls,
        .context = context != NULL ? tls_context_ref(context) : NULL,
    };
}

void proxy_place_done(ProxyPlace *place)
{
    mem_free(place->id);
    mem_free(place->at);
    mem_free(place->host);
    tls_context_free(place->context);
    *place = (ProxyPlace){0};
}

bool proxy_place_tls_ask(const ProxyPlace *place, Stream *stream)
{
    if (place->tls == TARGET_TLS_DISABLE || stream_tls(stream) != NULL) {
        return false;
    }
    if (place->tls == TARGET_TLS_LINK) {
        stream_start_tls(stream, place->context, place->host);
        return true;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_ssl_request(&out);
    stream_write(stream, buf_slice(&out));
    buf_done(&out);
    return true;
}

bool proxy_place_tls_begin(const ProxyPlace *place, Stream *stream, Slice answer, Err *err)
{
    if (!slice_starts(answer, "S")) {
        return err_set(err, ERR_UNSUPPORTED, "PostgreSQL does not offer TLS");
    }
    /* Bytes behind the answer go to the handshake, and fail it. */
    stream_start_tls(stream, place->context,
                     place->tls == TARGET_TLS_VERIFY_FULL ? place->host : NULL);
    return true;
}
