/*
 * place: where a connection leads. It is kept from when that was opened: by now the target may have
 * left the configuration, and another one have its number; cancel requests go to the same.
 */
#ifndef WEIR_PROXY_PLACE_PRIV_H
#define WEIR_PROXY_PLACE_PRIV_H

#include "proxy/config/config_priv.h"

typedef struct ProxyWorker ProxyWorker;

typedef struct ProxyPlace {
    char *id;
    char *at;   /* the address, which names its place in the budget elsewhere */
    char *host; /* NULL: a Unix socket */
    NetAddr addr;
    TargetTls tls;
    TlsContext *context; /* NULL: no TLS */
} ProxyPlace;

void proxy_place_init(ProxyPlace *place, const ProxyWorker *worker, size_t target);
void proxy_place_done(ProxyPlace *place);
/* TLS, in front of anything that is said there: a request, one byte of answer, the handshake; to a
 * link the handshake alone. At on_open. True: wait, for TLS comes first, and on_open again when it
 * is there. */
bool proxy_place_tls_ask(const ProxyPlace *place, Stream *stream);
/* At the on_read after that: of the answer the first byte is done with. ERR_UNSUPPORTED: it is no.
 */
NODISCARD bool proxy_place_tls_begin(const ProxyPlace *place, Stream *stream, Slice answer,
                                     Err *err);

#endif
