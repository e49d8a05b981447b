/*
 * session: what happens to each message between a client and its server connection. Pure: pieces
 * of messages in, a step out; the shell (client.c, server.c) sends, borrows and closes.
 *
 * A Session is a client's and lives as long as it; an Exchange is a server connection's and is
 * begun anew each time a client gets it. In relay mode a client keeps one server connection, and
 * nothing is ever injected, dropped or pinned; the exchange is followed all the same.
 *
 *            first message of a transaction
 *   UNLINKED ----- STEP_BORROW, session_link -----> LINKED --- at_rest, not pinned ---> UNLINKED
 *                                                      |
 *                                                      +------ pinned: to the client's end
 */
#ifndef WEIR_PROXY_SESSION_PRIV_H
#define WEIR_PROXY_SESSION_PRIV_H

#include "proxy/flight_priv.h"
#include "proxy/sql_scan_priv.h"

#define SESSION_HEAD_MAX 4096 /* of a message that is looked into, at least this much is seen */

typedef struct Session {
    bool relay;
    bool mid_message; /* the client's current message is not complete */
    bool dropping;    /* and it is not forwarded */
    PinReason pin;
} Session;

typedef enum UnnamedState {
    UNNAMED_FOREIGN, /* if there is one on the server, it is somebody else's */
    UNNAMED_ABSENT,
    UNNAMED_PARSED, /* ours, and not bound since */
    UNNAMED_BOUND,
} UnnamedState;

typedef struct Exchange {
    Flight flight;
    SqlScan scan;
    bool scanning;   /* the client's current message is a text */
    bool swallowing; /* the server's current message is not for the client */
    bool wrote;      /* may have moved a sequence */
    UnnamedState unnamed;
    char status; /* of the last ReadyForQuery */
} Exchange;

typedef enum SessionStep {
    STEP_FORWARD, /* to the other side */
    STEP_DROP,    /* to nobody */
    STEP_BORROW,  /* get a server connection, session_link, and give the piece again */
    STEP_WAIT,    /* give the piece again once the server has answered something */
    STEP_READY,   /* drop it; the client gets a ReadyForQuery, idle */
    STEP_END,     /* Terminate */
    STEP_REFUSE,  /* a protocol violation: tell `problem`, and close */
} SessionStep;

/* What is to be sent to the server in front of the piece. */
enum {
    INJECT_CLOSE_UNNAMED = 1,
    INJECT_FLUSH = 2,
    INJECT_DISCARD_SEQUENCES = 4,
};

typedef struct SessionOut {
    unsigned inject;
    PinReason pinned; /* the session was pinned by this piece */
    bool at_rest;     /* the server connection can serve somebody else */
    const char *problem;
} SessionOut;

/* The types that must be looked into, per direction. */
void session_client_policy(PgPolicy *policy);
void session_server_policy(PgPolicy *policy);

void session_init(Session *session, bool relay);
/* What the start packet asked for may pin, too. `params` is a list for pg_params_next. */
PinReason session_check_start(Session *session, Slice params);
/* The exchange begins. `sequences_moved`: by another client, and not discarded since. Returns what
 * to inject. */
unsigned session_link(Session *session, Exchange *exchange, SqlDialect dialect,
                      bool sequences_moved);

/* A piece from the client; exchange is NULL while it has no server connection. */
SessionStep session_client_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out);
/* A piece from the server, after its login. */
SessionStep session_server_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out);
/* The bytes of one INJECT_ bit. */
Slice session_inject_bytes(unsigned inject);

#endif
