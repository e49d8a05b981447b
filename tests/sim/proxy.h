/* Proxies (proxy.c), their clients (client.c), and what is under way between them and an engine
 * (session.c). */
#ifndef WEIR_SIM_PROXY_H
#define WEIR_SIM_PROXY_H

#include "engine.h"
#include "store_model.h"

typedef enum RequestKind { REQUEST_READ, REQUEST_WRITE, REQUEST_PROBE, REQUEST_HELLO } RequestKind;

/* Something on its way between a proxy (or agent) and an engine. */
typedef struct Request {
    RequestKind kind;
    int proxy; /* -1: the agent's */
    uint64_t proxy_gen;
    int node;
    uint64_t run; /* of the connection; 0: a new one */
    uint32_t op;  /* the client's; of a probe behind a gate: the one that waits */
    uint32_t record;
    size_t lsn;
    int reg;
    int64_t begun;  /* of a probe */
    uint32_t value; /* read, or replaced */
    bool cancelled;
    bool notice;
    bool refused; /* it did not happen */
} Request;

typedef enum OpState { OP_HELD, OP_SENT, OP_GATED, OP_OVER } OpState;

typedef struct Op {
    int client;
    int proxy;
    RequestKind kind;
    int reg;
    OpState state;
    uint32_t request;
    int64_t begun;
    int64_t ended;   /* 0: never known */
    uint32_t record; /* written */
    uint32_t value;  /* read, or replaced */
    bool known;      /* answered with success */
    bool cancelled;  /* a cancel was forwarded */
} Op;

typedef struct Proxy {
    Proc proc;
    bool up;
    int host;
    int64_t revision;
    int64_t term;
    int leader;       /* a node; -1: none */
    uint64_t run;     /* of the connection; 0: none */
    int64_t hello_at; /* a connection is being made since then; 0: none */
    bool serves;
    int64_t right_until;
    uint32_t probe; /* under way */
    int64_t probe_at;
    uint32_t held[SIM_HELD];
    size_t held_len;
    uint32_t sent[SIM_HELD];
    size_t sent_len;
} Proxy;

typedef struct Client {
    int index;
    int64_t number; /* of the present operation; late answers of others do not count */
    uint32_t op;
} Client;

void proxy_start(World *w, int proxy);
void proxy_kill(World *w, int proxy);
void proxy_heard(World *w, int proxy, const Snapshot *snap);
void proxy_take(World *w, int proxy, uint32_t op);
void proxy_cancel(World *w, int proxy, uint32_t op);
void proxy_lost(World *w, Node *node); /* the engine's connections are closed */
void proxy_eof(World *w, const Event *event);
void proxy_answer(World *w, const Event *event);
void request_send(World *w, uint32_t request); /* to the engine */
void request_release(World *w, Node *node, uint32_t request, bool notice);
void request_done(World *w, Node *node, uint32_t request);
uint32_t request_new(World *w, const Request *request);
void client_begin(World *w);
/* known: success. Not known: nobody can tell. refused: it surely did not happen. */
void client_answer(World *w, uint32_t op, bool known, bool refused);

#endif
