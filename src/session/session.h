/*
 * session: what happens to each message between a client and its server connection. Pure: pieces
 * of messages in, a step out; the shell (client/read.c, server/read.c) sends, borrows and closes.
 *
 * A Session is a client's and lives as long as it; an Exchange is a server connection's and is
 * begun anew each time a client gets it. In relay mode a client keeps one server connection, and
 * nothing is ever injected, dropped or pinned; the exchange is followed all the same.
 *
 * Named statements (statement_priv.h): what a message changes is taken as done when it is sent, for
 * those behind it in the pipeline count on it; a Record says how to take it back where the server
 * fails or skips the message. A Parse whose statement the server has already is replaced by a Close
 * of nothing, and CloseComplete by ParseComplete: so it has its place in the pipeline, and is
 * skipped behind an error, like any other.
 *
 * Settings (settings_priv.h): where the server connection has others than the client, SET and RESET
 * go in front of the first message of its transaction, without Sync, so that a setting that is
 * refused keeps that message from being run. They are in force with that transaction's commit, and
 * gone with its rollback; until then the client's pipeline waits behind each batch. A message that
 * must be alone in its transaction waits for a round trip of their own; so does any where what
 * differs counts when a transaction begins (default_transaction_read_only) or a text is read.
 *
 *   MISSING --- the first message of a transaction ----> REPLAYED --- commit ---> IN_FORCE
 *      |  ^---------------------- rollback ----------------'                          ^
 *      '--- it must be alone ---> SETTLING --- answered -------------------------------'
 *
 * What the client's texts set is asked for when the conversation comes to rest.
 *
 *            first message of a transaction
 *   UNLINKED ----- STEP_BORROW, session_link -----> LINKED --- at_rest, not pinned ---> UNLINKED
 *                                                      |
 *                                                      +------ pinned: to the client's end
 */
#ifndef WEIR_SESSION_H
#define WEIR_SESSION_H

#include "session/causal_priv.h"
#include "session/flight_priv.h"
#include "session/gate_priv.h"
#include "session/listen_priv.h"
#include "session/settings_priv.h"
#include "session/statement_priv.h"
#include "sql/sql.h"

/* Of a message that is looked into, at least this much is seen. */
#define SESSION_HEAD_MAX    STATEMENT_MESSAGE_MAX
#define SESSION_REWRITE_MAX 320 /* the head of a message with another name */
#define BOUND_MAX           64  /* of a portal's name; what runs by a longer one may be anything */

/* The name of clients' streams at PostgreSQL. No standby of ours has it: those are weir_ID. */
#define WALSENDER_NAME "weir-client"

/* What is still to be said of a transaction that was lost with its server connection (loss.c). */
typedef enum SessionAfter {
    AFTER_NOTHING,
    AFTER_TELL, /* the client, idle in it, does not know: its next message fails */
    AFTER_SKIP, /* it was told, and what it sends is dropped up to its Sync */
} SessionAfter;

typedef struct Session {
    bool relay;
    bool walsender;   /* replication=database: see walsender.c. It is in relay mode, too */
    bool mid_message; /* the client's current message is not complete */
    bool dropping;    /* and it is not forwarded */
    PinReason pin;
    bool pinned_for_good; /* for what cannot be seen to be gone */
    bool own_names; /* its server connection has names of its own: a Parse that is not shared */
    uint32_t pins;  /* how often it was pinned */
    StatementNames names; /* what it has prepared by name */
    Settings *settings;   /* and set */
    Listening *listening; /* NULL: it has never listened */
    uint32_t pid;         /* the one that the client was told */
    SessionAfter after;   /* what its next message means where a transaction was lost */
} Session;

typedef enum UnnamedState {
    UNNAMED_FOREIGN, /* if there is one on the server, it is somebody else's */
    UNNAMED_ABSENT,
    UNNAMED_PARSED, /* ours, and not bound since */
    UNNAMED_BOUND,
} UnnamedState;

/* What a message in flight changes, and how to take it back. */
typedef struct Record {
    /* bits; STRAY: a client's name was made on the server, CLOSED: and taken away again */
    enum {
        RECORD_PREPARED = 1,
        RECORD_NAMED = 2,
        RECORD_UNNAMED = 4,
        RECORD_STRAY = 8,
        RECORD_CLOSED = 16,
    } kind;
    Statement *statement; /* of PREPARED and NAMED */
    Statement *before;    /* what the name stands for where this is undone; NULL: nothing */
    uint64_t batch;
    char *name; /* the client's; NULL: none, or the client has left */
} Record;

/* Of a walsender: whose application_name it has. */
typedef enum WalsenderName {
    NAME_OPEN,  /* whichever the client has set */
    NAME_ASKED, /* ours is being set */
    NAME_SET,   /* ours */
} WalsenderName;

typedef enum SettingsState {
    SETTINGS_IN_FORCE, /* the server connection has the client's */
    SETTINGS_MISSING,
    SETTINGS_SETTLING, /* a replay with a Sync of its own is under way */
    SETTINGS_REPLAYED, /* a replay is in the transaction that is under way */
} SettingsState;

/* What the proxy asks the server for itself, with a Query when all else is answered. */
typedef enum Asking {
    ASKING_NOTHING,
    ASKING_SETTINGS, /* which values they have */
    ASKING_PINS,     /* whether anything is left that pins */
    ASKING_CATALOG,  /* what the database hides: the text and the rows are the shell's */
    ASKING_SHARE,    /* to hear the mark, by which the channels change hands */
    ASKING_UNLISTEN, /* to listen to nothing any more */
    ASKING_RETURN,   /* to listen to the channels again, and hear the mark */
    ASKING_UNMARK,   /* to hear marks no more */
} Asking;

/* Zeroed to start, but for what is the server connection's and stays from client to client. */
typedef struct Exchange {
    Flight flight;
    SqlScan scan;
    bool scanning;   /* the client's current message is a text */
    bool swallowing; /* the server's current message is not for the client */
    bool wrote;      /* may have moved a sequence */
    bool changed;    /* may have written to the database: not all was TextEffects.harmless */
    bool replica;    /* the shell's: only this transaction may run here (pool.reads split) */
    bool guard;      /* the client's next batch is to be run read only */
    bool guarded;    /* and is under way so */
    bool open;       /* the client has sent something since its last Sync */
    bool forgets;    /* the batch may take prepared statements away */
    bool releases;   /* what pins may have been taken away */
    bool ddl;        /* the catalog may be another when this is committed */
    bool learns;     /* it may be: it is asked for before its client says more */
    bool barrier;    /* it is under way: what comes next waits until it is known what is left */
    bool fronted;    /* what may fail was put in front of a message of the batch, without a Sync */
    UnnamedState unnamed;
    char status;         /* of the last ReadyForQuery */
    uint64_t batch;      /* counts the ends of batches */
    VEC(Record) records; /* of messages in flight, in order */
    size_t records_first;
    char *deallocating; /* the client's name in a DEALLOCATE that is under way */
    VEC(char *) strays; /* clients' names that the server has, and shall not */
    char head[SESSION_REWRITE_MAX];
    Buf closing; /* the messages that take strays away */
    char evicted[48];
    SettingsState settings_state;
    bool unsettled;   /* SETTLING has failed: then in front, and the client hears it */
    bool failed;      /* an error since the last ReadyForQuery */
    bool rolled_back; /* a ROLLBACK, maybe one to a savepoint, since then */
    bool chained;     /* the transaction may have ended in another one */
    bool undoes;      /* a ROLLBACK, or what may be one, may be run by what comes */
    bool undone;      /* it is sent: what comes in its batch needs the replay again */
    Asking asking;    /* a question is under way; about settings: about `asked` */
    bool answered;
    uint16_t ahead;       /* Queries of ours that are answered before it */
    bool sync_owed;       /* behind a Query that the server skips: nothing else would end that */
    bool others;          /* something else than channels is left that pins */
    bool marked;          /* the mark of ASKING_SHARE or ASKING_RETURN has come by */
    uint32_t pins_before; /* of the session, when they were asked for */
    uint64_t batch_before;
    uint64_t ended;      /* counts the client's batches that are answered */
    uint64_t guess;      /* 1 + the batch with the unknown statement that pinned; 0: none */
    uint32_t guess_pins; /* how often the session was pinned by then */
    bool completed;      /* something in the batch that is being answered has succeeded */
    Buf touched;         /* by what ran since the last question: for touched_next */
    Buf asked;
    Buf own; /* messages of ours */
    WalsenderName name;
    bool streaming;   /* CopyBoth: the client is in a replication stream */
    bool stream_done; /* and has said its last in it */
    /* Bits of what a loss of the connection leaves open (loss.c): of what was sent and is not
     * answered, and of the unnamed statement. */
    uint8_t may, unnamed_may;
    bool told;         /* of what the client's Query runs, `may` says it */
    int16_t bound_len; /* and of this portal, which was bound last in the batch; -1: of none */
    char bound[BOUND_MAX];
    Gate gate;
    Causal causal;
    /* What a text is parsed under (RULES P4): a list of settings, or something of its own. */
    uint64_t context;
    /* the server connection's */
    bool asks_catalog; /* the shell can, and it does not take long */
    uint32_t pid;
    SqlDialect dialect;    /* as of what it has reported */
    SqlMemo *memo;         /* of texts that came lately; NULL: none */
    StatementTable *table; /* of its pool; NULL in relay mode */
    StatementSet prepared;
    SettingTable *setting_table; /* of its pool */
    Settings *applied;           /* what is set on it */
    bool soiled;                 /* and something that cannot be taken back: nobody else gets it */
} Exchange;

typedef enum SessionStep {
    STEP_FORWARD, /* to the other side */
    STEP_DROP,    /* to nobody */
    STEP_BORROW,  /* get a server connection, session_link, and give the piece again */
    STEP_WAIT,    /* give the piece again once the server has answered something */
    STEP_READY,   /* drop it; the client gets a ReadyForQuery, idle */
    STEP_FAILED,  /* drop it; the client gets session_loss_error(LOSS_UNDONE), then a STEP_READY's
                     answer where `ready` says so */
    STEP_GATE,    /* of the server: give the piece again after session_gate_open */
    STEP_END,     /* Terminate */
    STEP_REFUSE,  /* a protocol violation: tell `problem`, and close */
} SessionStep;

#define SESSION_BEFORE_MAX 6

/* What became of the channels that the client listens to. */
typedef enum ListenNews {
    LISTEN_NO_NEWS,
    LISTEN_FOUND,  /* they alone pin the session: session_listen_share may take them over */
    LISTEN_FAILED, /* they were not taken over, and are the server connection's as before */
    LISTEN_HANDED, /* they are the shared connection's now, behind the mark */
    LISTEN_GONE,   /* there are none */
    LISTEN_BACK,   /* they are the server connection's again, behind the mark */
    LISTEN_KEEP,   /* the piece, dropped or not, is for the client behind what the shared connection
                      has for it in front of the mark */
} ListenNews;

typedef struct SessionOut {
    size_t before_len; /* of `before`, at the end */
    Slice behind;      /* to the server, behind the piece; of a server's piece, at once */
    Slice head;        /* goes in the place of the piece's first `replaced` bytes. Copy it, too */
    size_t replaced;   /* 0: the piece goes as it is */
    PinReason pinned;  /* the session was pinned by this piece */
    uint32_t pinned_also; /* and for these reasons, as PIN_BIT */
    bool unpinned;        /* it is no more */
    bool ddl;             /* what the catalog says may be another from here on */
    bool learn;           /* send a Query that asks for it, at once; the exchange counts it */
    bool at_rest;         /* the server connection can serve somebody else */
    bool ready;           /* of STEP_FAILED */
    ListenNews news;
    CausalNews causal; /* SET: to exchange->causal.set */
    const char *problem;
    const char *sqlstate;             /* of `problem`; NULL: 08P01 */
    Slice before[SESSION_BEFORE_MAX]; /* to the server, in front of the piece. Copy it at once */
} SessionOut;

/* Empties it, but for what `before_len` says is not there. */
static inline void session_out_clear(SessionOut *out)
{
    memset(out, 0, offsetof(SessionOut, before));
}

/* The types that must be looked into, per direction. */
void session_client_policy(PgPolicy *policy);
void session_server_policy(PgPolicy *policy, bool asking);

/* Whether PostgreSQL can be asked whether it is gone, so that the session may be shared again. */
bool pin_can_end(PinReason reason);

void session_init(Session *session, bool relay);
void session_init_walsender(Session *session);
/* Whether the client is in a replication stream, which has no end of its own. */
bool session_streams(const Session *session, const Exchange *exchange);
/* What the start packet asked for may pin, too. `params` is a list for pg_params_next. */
PinReason session_check_start(Session *session, Slice params);
void session_done(Session *session);
typedef enum Handover {
    HANDOVER_PLAIN,
    HANDOVER_SEQUENCES, /* another client may have moved a sequence */
    HANDOVER_ALL,       /* or have left what nobody sees */
} Handover;

/* The exchange begins. What `out` says goes to the server. */
void session_link(Session *session, Exchange *exchange, Handover handover, SessionOut *out);
/* What is prepared on the server connection is parsed again before it is used. */
void session_parse_anew(Exchange *exchange);
/* Whether the server connection has the client's settings, so that what it reports is the client's
 * to know. */
bool session_settings_hold(const Session *session, const Exchange *exchange);
/* Whether the client waits for an answer: not only we do. */
bool session_waits(const Exchange *exchange);
/* Whether what the client has begun can be brought to an end without it, and leave nothing. */
bool session_can_be_orphaned(const Session *session, const Exchange *exchange);
/* The client has left, and the exchange goes on by itself: session_orphan_piece. */
void session_unlink(Exchange *exchange);
/* A server connection with an empty exchange begins, and ends. `memo` may be set in between. */
void exchange_init(Exchange *exchange, StatementTable *table, SettingTable *setting_table);
void exchange_done(Exchange *exchange);
/* At rest: another client may get it. */
bool exchange_is_clean(const Exchange *exchange);

/* ---- what the client listens to (listen_priv.h) ------------------------------------------------
 */

/* A command with a channel's name behind it: LISTEN "a". */
void session_put_channel(Buf *out, const char *command, Slice channel);
/* Whether the channels that were found are still those that the server connection listens to. */
bool session_listen_is_found(const Session *session, const Exchange *exchange);
/* The shared connection listens to the channels that were found, and to `mark`: what `out` says
 * goes to the server connection. `tag` is a text of this session's own. False: not now; they will
 * be found again. */
NODISCARD bool session_listen_share(Session *session, Exchange *exchange, Slice mark, Slice tag,
                                    SessionOut *out);
/* The server connection itself is to be the shared one: it is no more the client's. When it listens
 * to marks, that is session_listen_passed. */
void session_listen_give(Session *session, Slice mark, Slice tag);
/* The shared connection is lost: the client's server connection, which it has just got, listens to
 * the channels again. */
void session_listen_anew(Session *session, Exchange *exchange, SessionOut *out);
/* The shared connection has passed the last mark, or it is lost. */
void session_listen_passed(Session *session);

/* So many statements of a replay (settings_put_replay) are sent now. */
void exchange_push_replay(Exchange *exchange, size_t statements, unsigned marks);

/* ---- when the server connection is lost (loss.c) -----------------------------------------------
 */

typedef enum SessionLoss {
    LOSS_AT_REST, /* nothing was asked for; what state the session had is gone */
    LOSS_UNDONE,  /* what was open has not happened: it may be repeated */
    LOSS_UNKNOWN, /* it may have happened */
} SessionLoss;

SessionLoss session_lost(const Session *session, const Exchange *exchange);
/* FATAL where the client's connection ends with it; `detail` NULL: none. */
PgError session_loss_error(SessionLoss loss, bool fatal, const char *detail);
/* Whether the client can go on without what is lost: then session_outlive says what it gets now,
 * and the session is as good as one that begins. */
bool session_can_outlive(const Session *session, const Exchange *exchange);
void session_outlive(Session *session, Exchange *exchange, const char *detail, Buf *out);
/* Whether what is under way only reads, or only begins a transaction, as far as it was sent. */
bool session_only_reads(const Exchange *exchange);
/* Whether all that is lost is one such request, and has no transaction around it: it may be sent
 * again behind session_undo, which takes back what it has changed here; and behind session_guard,
 * unless it begins one, which is not to be read only. */
bool session_resend_begins(const Exchange *exchange);
bool session_can_resend(const Session *session, const Exchange *exchange);
void session_undo(Session *session, Exchange *exchange);
/* Behind session_link: what is sent again is next. It is run read only, for what is behind a view's
 * or an operator's name no text says: where it writes after all (25006), it may have done so the
 * first time, and the connection cannot go on (LOSS_UNKNOWN). */
void session_guard(Exchange *exchange);

/* ---- what keeps a success from its client (gate.c) ----------------------------------------------
 */

/* A commit that was begun behind what STEP_GATE holds has its standbys' acknowledgement. */
void session_gate_open(Exchange *exchange);
/* A statement_timeout as PostgreSQL shows it: "0", "250ms", "5s", "1min". -1: something else. */
int64_t session_timeout_us(Slice shown);
/* A cancel request of the client's goes to the server; `done`: it has arrived. */
void session_gate_cancel(Exchange *exchange, bool done);

/* A piece from the client; exchange is NULL while it has no server connection. */
SessionStep session_client_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out);
/* Of whole messages from the server at the front of `data`, those that are the client's as they
 * are, and of which nobody has to know more: how many bytes. What comes behind them is for
 * session_server_piece; and so could they be, for the same. */
size_t session_server_pass(const Session *session, Exchange *exchange, Slice data);
/* A piece from the server, after its login. */
SessionStep session_server_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out);
/* A piece from the server when its client has left: only the exchange follows it. */
FlightAnswer session_orphan_piece(Exchange *exchange, const PgPiece *piece);

#endif
