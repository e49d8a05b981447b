/*
 * sql_scan: does a text of SQL change state that outlives its transaction? Read in pieces, so that
 * no statement is too long for it, without understanding more of the language than it must. It
 * errs to one side only: whatever it does not know for sure to leave nothing behind, pins.
 *
 * What it cannot see is state that a function changes inside the server: docs/pool.md, "What
 * pins".
 */
#ifndef WEIR_SQL_H
#define WEIR_SQL_H

#include "base/base.h"

/* Why a session keeps its server connection. The names are in pin_reason_name(). */
typedef enum PinReason {
    PIN_NONE = 0,
    PIN_SETTING,           /* a setting that cannot follow the client */
    PIN_SQL_PREPARE,       /* PREPARE, EXECUTE */
    PIN_PROTOCOL_PREPARE,  /* a named Parse that cannot be shared */
    PIN_UNNAMED_STATEMENT, /* an unnamed Parse that was to be bound later */
    PIN_LISTEN,
    PIN_TEMPORARY, /* temporary tables, views, sequences */
    PIN_ADVISORY_LOCK,
    PIN_HOLD_CURSOR,
    PIN_LOAD,
    PIN_SEQUENCE_VALUE, /* currval, lastval */
    PIN_ANONYMOUS_CODE, /* DO */
    PIN_STATE_FUNCTION, /* other functions that are known to keep state */
    PIN_HIDDEN_STATE,   /* what the database's own functions may keep */
    PIN_FUNCTION_CALL,  /* the protocol's fast path */
    PIN_ENCODING,       /* a text whose tokens cannot be told apart */
    PIN_UNKNOWN_STATEMENT,
    PIN_CONVERSATION, /* the flow of messages is not certain any more */
    PIN_REPLICATION,  /* a replication connection */
    PIN_REASON_COUNT,
} PinReason;

#define PIN_BIT(reason) (1U << (reason))

const char *pin_reason_name(PinReason reason);     /* "setting": in metrics */
const char *pin_reason_sentence(PinReason reason); /* for the log, as RDS Proxy words it */

/* Names of a database that mean more than they show, in lower case: to the effects below. */
typedef struct SqlNames {
    Map *map;            /* to bits of SQL_NAME_, as a pointer */
    uint64_t generation; /* another set has another; 0: none */
} SqlNames;

enum { SQL_NAME_WRITES = 1, SQL_NAME_HIDDEN = 2 };

/* How the server will read the text. Zeroed: conforming strings, an encoding that keeps ASCII
 * apart, nothing set by an init_query. */
typedef struct SqlDialect {
    bool backslash_strings; /* standard_conforming_strings is off */
    bool unsafe_encoding;   /* a byte of a character may look like ASCII (SJIS, BIG5, GBK, …) */
    bool baseline_set;      /* an init_query made settings that RESET would undo */
    const SqlNames *names;  /* NULL: none */
    bool wants_reads;       /* `reads` and what follows it are to be found out */
} SqlDialect;

/* Of its names; 0: there are none. */
static inline uint64_t sql_names_generation(const SqlDialect *dialect)
{
    return dialect->names != NULL ? dialect->names->generation : 0;
}

/* What running a text may do. */
typedef struct TextEffects {
    PinReason pin; /* the first reason found */
    uint32_t pins; /* all of them, as PIN_BIT */
    bool writes;   /* may have moved a sequence */
    bool forgets;  /* may take prepared statements away: DISCARD, DEALLOCATE */
    bool
        alone; /* nothing else may be in its transaction (VACUUM), or its end comes unseen (CALL) */
    bool chains;    /* may begin the next transaction with the end of one: ROLLBACK AND CHAIN */
    bool undoes;    /* ROLLBACK: takes back what was set in the transaction */
    bool ends;      /* may commit a transaction that is open: COMMIT, PREPARE TRANSACTION */
    bool bare;      /* nothing but the begin of one, or its ROLLBACK */
    bool releases;  /* may take away what has pinned */
    bool ddl;       /* may change what the database's own functions do, and where */
    bool listens;   /* may change or show which channels the session listens to, notify it, or begin
                       a transaction in which that may happen */
    bool unlistens; /* names what takes channels away: UNLISTEN, DISCARD */
    bool reads;     /* one statement that reads, and may be run beside others (reads.c) */
    uint64_t digest; /* the same for texts that differ in numbers and strings only */
    bool harmless;   /* reads, or only controls the session: writes nothing to the database */
    bool locks;      /* takes advisory locks */
    bool quiets;     /* the client may not hear warnings any more: client_min_messages is set above
                        them, or what is run may do so unseen */
    bool several;    /* statements */
    uint8_t token;   /* bits of SQL_TOKEN_ */
    uint8_t begins;  /* one statement that begins a transaction: of which modes */
    Slice touched;   /* settings: for touched_next */
} TextEffects;

/* BEGIN and START TRANSACTION. */
enum {
    SQL_BEGINS = 1,
    SQL_BEGINS_READ_ONLY = 2,
    SQL_BEGINS_READ_WRITE = 4,
    SQL_BEGINS_SERIALIZABLE = 8,
};

/* The setting that is the proxy's own: what replicas must have (session/causal_priv.h). LOCAL: it
 * is set to the end of the transaction only. */
#define SQL_TOKEN_NAME "weir.causal_token"
enum { SQL_TOKEN_SET = 1, SQL_TOKEN_SHOWN = 2, SQL_TOKEN_LOCAL = 4 };

#define SQL_WORD_MAX    64 /* PostgreSQL keeps 63 bytes of a name */
#define SQL_TAG_MAX     64 /* of a dollar quote; a longer one pins */
#define SQL_TOUCHED_MAX 256

/* Zeroed to start, with `dialect` filled in; sql_scan_begin does the same for less. */
typedef struct SqlScan {
    SqlDialect dialect;
    TextEffects effects; /* without `touched`: ask sql_scan_effects */
    bool ended;          /* a NUL was read: what follows is not text */
    /* private: the lexer */
    uint8_t state_;
    bool escapes_;      /* the string has backslash escapes */
    bool after_escape_; /* nothing but space since a string with escapes */
    bool after_u_;      /* the word before was U, which may begin U&'' */
    uint8_t word_len_;
    uint8_t tag_len_;
    uint8_t tag_at_;
    uint32_t depth_; /* of comments */
    /* private: the statement */
    uint16_t touched_len_;
    uint8_t kind_;
    uint8_t words_;      /* so far, counted to 2 */
    uint8_t before_;     /* the word just before, where it matters */
    uint8_t statements_; /* so far, counted to 2 */
    uint8_t config_;     /* in a call of set_config or current_setting */
    bool local_;         /* SET LOCAL */
    bool quiets_;        /* client_min_messages is set, and not to what lets warnings pass */
    bool routine_;       /* CREATE FUNCTION or PROCEDURE, whose body may be BEGIN ATOMIC … END */
    uint8_t name_len_;
    /* private: whether it reads */
    uint8_t read_;
    uint8_t control_; /* whether it is one statement that controls transactions or settings */
    uint8_t begin_;
    bool read_word_;  /* just read: READ, of a transaction's mode */
    bool named_;      /* a name was just read */
    bool dot_;        /* and a dot behind it */
    bool catalog_;    /* and it was pg_catalog */
    bool qualified_;  /* the name just read is in another schema */
    uint32_t parens_; /* that are open */
    uint32_t blocks_; /* of such a body */
    /* private: as much as the lengths say */
    char word_[SQL_WORD_MAX];
    char tag_[SQL_TAG_MAX];
    char name_[SQL_WORD_MAX]; /* of a setting, so far */
    char touched_[SQL_TOUCHED_MAX];
} SqlScan;

void sql_scan_begin(SqlScan *scan, SqlDialect dialect);
void sql_scan_feed(SqlScan *scan, Slice text);
void sql_scan_end(SqlScan *scan); /* the text is complete */

/* Feeds the text up to the first ';' behind which another statement may begin, as psql cuts them:
 * not one in parentheses, or in the body of a routine. Returns how many bytes; *ret_ended: the last
 * one was such a ';'. The same as to feed those bytes. */
size_t sql_scan_feed_statement(SqlScan *scan, Slice text, bool *ret_ended);
/* Nothing was read yet but space, comments and ends of statements. */
bool sql_scan_is_blank(const SqlScan *scan);
/* Before the end: a string, a quoted name, a comment, a parenthesis or a body has begun and goes
 * on. */
bool sql_scan_is_open(const SqlScan *scan);

TextEffects sql_scan_effects(const SqlScan *scan); /* `touched` points into the scan */

/* ---- texts that come again ---------------------------------------------------------------------
 */

#define SQL_MEMO_TEXTS    256            /* that one memo knows */
#define SQL_MEMO_TEXT_MAX ((size_t)2048) /* bytes of one; a longer one is read each time */

typedef struct SqlMemo SqlMemo;

SqlMemo *sql_memo_new(void);
void sql_memo_free(SqlMemo *memo); /* NULL is fine */
/* What a whole text does, up to a NUL in it: the same as to feed it to `scan`, which is used for
 * that unless the memo knows the text. memo NULL: nothing is known. `touched` points into the scan.
 */
TextEffects sql_memo_effects(SqlMemo *memo, SqlDialect dialect, Slice text, SqlScan *scan);

/* Whether a client hears warnings at this client_min_messages. */
bool sql_level_warns(Slice level);

/* Whether the characters of a client_encoding never contain bytes that look like ASCII. */
bool sql_encoding_is_safe(Slice name);

/* ---- what texts touch --------------------------------------------------------------------------
 */

#define TOUCHED_BYTES_MAX ((size_t)2 << 10) /* of one list */

bool setting_is_custom(Slice name); /* x.y */

typedef enum Touch {
    TOUCH_SET = 's',   /* given a value */
    TOUCH_RESET = 'r', /* led back to what it was after the login */
    TOUCH_ALL = 'a',   /* all of them, led back; without a name */
    TOUCH_LOCAL = 'l', /* something, to the end of the transaction; without a name */
} Touch;

/* `touched`: a byte of Touch, the name, NUL, …. Takes the first off; false at the end. */
bool touched_next(Slice *touched, Touch *ret_touch, Slice *ret_name);
/* Adds what is not there yet. False: there are too many. */
NODISCARD bool touched_add(Buf *touched, Slice more);
/* Whether values may have changed that outlive the transaction. */
bool touched_lasts(Slice touched);
bool touched_custom(Slice touched); /* but SQL_TOKEN_NAME, which is taken off the server */
/* Whether the next text may be read otherwise. */
bool touched_reading(Slice touched);

#endif
