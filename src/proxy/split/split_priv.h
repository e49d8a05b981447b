/*
 * split: one endpoint for reads and writes (pool.reads `split`; RULES P5). What only reads goes to
 * a replica, and everything else to the primary:
 *
 *   SPLIT_READ          a complete request of one statement that reads (src/sql/reads.c)
 *   SPLIT_TRANSACTION   BEGIN READ ONLY, and whatever a session begins whose transactions are read
 *                       only by default: as a whole
 *   SPLIT_PRIMARY       the rest; SERIALIZABLE, advisory locks and pinned sessions always, and
 *                       transactions of clients that listen
 *
 * A READ is kept, and its answer held back (SPLIT_HOLD_MAX) until it is complete: where the replica
 * refuses it (it writes after all, or is in the way of what is replayed) or is lost, it is asked
 * again at the primary, once, and the client notices nothing. What turned out to write stays there,
 * by its digest. In a TRANSACTION errors pass.
 *
 * Read your own writes: after a transaction at the primary that may have written, a session's reads
 * go to replicas that have replayed all that the primary had inserted by then. That position is
 * asked for lazily, when a read wants it, by one question for everybody who waits (watch_priv.h).
 * A wait for it, or for a replica that has it, ends after SPLIT_WAIT_US: then the primary answers.
 *
 *   nothing written --> (a write at the primary) --> wrote_us --> (a later answer) --> position
 *                              ^------------------------------------------------------'
 *
 * Tokens that bring what other sessions have written are causal_priv.h's.
 */
#ifndef WEIR_PROXY_SPLIT_PRIV_H
#define WEIR_PROXY_SPLIT_PRIV_H

#include "proxy/line/line_priv.h"

#define SPLIT_HOLD_MAX     ((size_t)16 << 10) /* of an answer; more is passed on as it comes */
#define SPLIT_WAIT_US      20000
#define SPLIT_TICK_MS      2  /* how often replicas are asked meanwhile */
#define SPLIT_LONG_TICK_MS 20 /* and of who has waited longer than that */
#define SPLIT_LEARNT_MAX   256
#define SPLIT_LEARNT_MS    600000

typedef enum SplitKind { SPLIT_PRIMARY, SPLIT_READ, SPLIT_TRANSACTION } SplitKind;

/* What the session's transactions are where they do not say otherwise. */
typedef struct SplitDefaults {
    bool read_only, serializable;
} SplitDefaults;

/* request.c: pure. *ret_request is set with READ. */
SplitKind split_kind(const LineReader *reader, SplitDefaults defaults, Slice data,
                     LineRequest *ret_request);

/* Of a client, from when its pool splits, or it has a token. */
typedef struct ClientSplit {
    ProxyClient *client;
    uint64_t position;  /* what a replica must have replayed; 0: whatever it has */
    uint32_t timeline;  /* of `position` */
    uint64_t system;    /* and the cluster that it is a position in; 0: not known, or of none */
    bool told;          /* by a token: of `replicas` nothing else is asked for */
    int64_t wrote_us;   /* may have written until then, at a position not known yet; 0: it is */
    int64_t claimed_us; /* since then `position` is a token's, and may not be there; 0: it is */
    int64_t since_us, until_us; /* waits no longer than that for a position; 0: does not wait */
    ListNode node;              /* in worker->parked */
    bool fails;                 /* when that is over */
    bool reading;               /* a READ is under way, and nothing of its answer was passed on */
    bool again;                 /* it will be asked again: what comes is dropped */
    bool cancelled;             /* since it was begun */
    bool suspect;               /* what is under way looks like a read, and may write */
    uint64_t digest;
    size_t left; /* of the request, still in the client's stream; goes on with it */
    size_t skip; /* the same, but was sent already */
    Buf request, held;
} ClientSplit;

void proxy_split_start(ProxyClient *client);
void proxy_split_done(ProxyClient *client); /* none is fine */
/* Where its next transaction, which begins with `data`, goes. NULL: it waits for a position,
 * paused. *ret_len: of a READ, how long it is; 0: it is none. */
ProxyPool *proxy_split_route(ProxyClient *client, Slice data, size_t *ret_len);
/* It waits for a replica that has what it must see, paused. False: it has, for long enough; where
 * that `fails` it goes on waiting, and proxy_causal_expired comes. */
bool proxy_split_wait(ProxyClient *client, int64_t wait_us, bool fails);
/* `request` is a READ that goes to a replica. */
void proxy_split_begin(ProxyClient *client, Slice request);
/* So much was sent. True: the READ is complete, and what comes behind it must wait. */
bool proxy_split_sent(ProxyClient *client, size_t len);
/* The server's bytes for the client. True: they are taken care of. */
bool proxy_split_hold(ProxyClient *client, Slice bytes);
void proxy_split_error(ProxyServer *server, const PgPiece *piece);
/* It turned out to write: it goes to the primary at once, for SPLIT_LEARNT_MS. */
void proxy_split_learn(ProxyPool *home, uint64_t digest);
/* A ReadyForQuery comes. True: it is not for the client, which is asked again after
 * proxy_split_again. */
bool proxy_split_ready(ProxyClient *client);
void proxy_split_again(ProxyClient *client);
/* A READ is under way of whose answer nothing was passed on: where its server is lost, it is asked
 * again. */
bool proxy_split_reads(const ProxyClient *client);
/* It is about to be unlinked. */
void proxy_split_unlink(const ProxyServer *server);
/* Any thread: a position is known anew. */
void proxy_split_positions_known(Proxy *proxy);

#endif
