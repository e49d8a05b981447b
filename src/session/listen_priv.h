/*
 * listen: the channels that a client listens to, and which connection does it for them. They are in
 * one place at any time: on the client's own server connection, where PostgreSQL itself makes of
 * LISTEN, UNLISTEN, rollbacks and errors what they are, and which they pin; or on the worker's
 * shared connection, where nothing can change them.
 *
 *            LISTEN                     at rest, and nothing else pins: ASKING_PINS tells which
 *   (none) ----------> LISTENING_OWN ---------------------------------------> found
 *                        ^   ^                                                  |
 *    the shared one has  |   | mark failed    the shared one listens to them:   |
 *    passed the mark     |   '----------------- ASKING_SHARE <------------------'
 *                        |                           | mark, ASKING_UNLISTEN
 *     LISTENING_RETURNED <---- ASKING_RETURN ---- LISTENING_SHARED
 *                      mark,     a text that listens, notifies, pins, or begins a transaction
 *               ASKING_UNMARK
 *
 * The mark is a notification to both, sent by the server connection in a transaction of its own
 * that begins when both listen to it. PostgreSQL has one queue for all notifications, in order of
 * commits, and each connection reads it in that order. So what the one connection has told before
 * the mark and what the other tells behind it are, together, everything, once, and in order.
 *
 * In between, a text that may take channels away from an extended batch or a transaction that began
 * without them (SELECT, UNLISTEN, Sync) cannot be followed: it is refused. One that adds channels
 * there has them on the server connection, beside those of the shared one.
 */
#ifndef WEIR_SESSION_LISTEN_PRIV_H
#define WEIR_SESSION_LISTEN_PRIV_H

#include "base/base.h"

/* Of a client on the shared connection; with more, its own stays pinned. */
#define LISTEN_CHANNELS_MAX      200
#define LISTEN_CHANNEL_BYTES_MAX ((size_t)16 << 10)

typedef enum ListeningState {
    LISTENING_OWN,
    LISTENING_SHARED,
    LISTENING_RETURNED, /* the client waits until the shared connection has passed the mark */
} ListeningState;

typedef struct Listening {
    ListeningState state;
    bool found;    /* `channels` are those of the server connection, when it was asked */
    bool too_many; /* to be found */
    bool passed;   /* the shared connection has passed the last mark, and would hear the next one */
    Buf channels;  /* each ends with a NUL */
    size_t count;  /* of them */
    char *mark;    /* the channel of marks; NULL: never shared yet */
    char *tag;     /* what marks of this session begin with */
    uint64_t marks; /* so far; the number of the last one ends it */
} Listening;

void listening_free(Listening *listening); /* NULL is fine */
/* Whether a notification on the channel of marks is the last mark. */
bool listening_is_mark(const Listening *listening, Slice payload);

#endif
