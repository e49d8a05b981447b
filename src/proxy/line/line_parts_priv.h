/* What the files of lines have of each other: line.c, answer.c. */
#ifndef WEIR_PROXY_LINE_PARTS_PRIV_H
#define WEIR_PROXY_LINE_PARTS_PRIV_H

#include "proxy/line/line_priv.h"
#include "proxy/server/server_priv.h"

typedef struct LineEntry {
    PoolHandle client; /* 0: nobody waits for it any more */
    uint64_t digest;
    int64_t sent_us;
    bool again;  /* the answer is of no use here: it is asked for again */
    Buf request; /* to do so */
    Buf result;  /* what did not come in one read */
} LineEntry;

struct ProxyLine {
    ListNode node; /* in pool->lines */
    ProxyServer *server;
    Session session;
    Settings *settings; /* what its clients have; the line has some more */
    ParamList *params;  /* and what they were told */
    bool set;           /* the server has the line's own settings */
    bool stale;         /* and reports others since */
    size_t first, len;
    int64_t begun_ms;
    int64_t head_ms; /* since when the first has been at the head */
    int64_t head_us; /* the same moment */
    int64_t idle_ms; /* since when there is none */
    LineEntry entries[LINE_DEPTH];
};

static inline int64_t line_now_ms(const ProxyLine *line)
{
    return loop_now_ms(line->server->worker->loop);
}

static inline int64_t line_now_us(const ProxyLine *line)
{
    return loop_now_us(line->server->worker->loop);
}

static inline LineEntry *line_entry(ProxyLine *line, size_t index)
{
    return &line->entries[(line->first + index) % LINE_DEPTH];
}

static inline LineEntry *line_head(ProxyLine *line)
{
    return line->len > 0 ? line_entry(line, 0) : NULL;
}

static inline LineShy *line_shy(ProxyPool *pool, uint64_t digest)
{
    return &pool->shy[digest % LINE_SHY_MAX];
}

/* Now and then its connection is free for what others do with it: learning, and growing old. */
static inline bool line_should_end(const ProxyLine *line)
{
    const ProxyServer *server = line->server;
    return server->retired || server->worker->draining || line->stale ||
           line_now_ms(line) - line->begun_ms >= LINE_LIFE_MS;
}

/* Of the connections to its target: those that nobody can have alone. Only the primary's listen. */
static inline size_t line_kept_beside(const ProxyServer *server)
{
    bool primary = server->target == PROXY_TARGET_PRIMARY;
    return proxy_server_side(server)->lines + (primary ? server->worker->hubs.len : 0);
}

/* line.c: it has no requests. */
void proxy_line_free(ProxyLine *line);
/* And its connection is one of the pool's again. */
void proxy_line_dissolve(ProxyLine *line);

#endif
