/*
 * statement: prepared statements of the protocol where a client has another server connection in
 * each transaction. A client's names are its own. What a name stands for is one Statement that all
 * clients of a pool share, which has one name on all server connections of the pool, and is
 * prepared there when it is needed (RULES P4: text, parameter types and the settings that it is
 * parsed under are the key; user, database and start-up settings are the pool's).
 *
 *   StatementTable   a pool's: from settings, text and types to Statement, as long as somebody has
 *                    it
 *   StatementNames   a client's: from its names to Statements
 *   StatementSet     a server connection's: which are prepared there, the one used last first
 *
 * Containers only: no IO, no clock. Everything is of one thread.
 */
#ifndef WEIR_SESSION_STATEMENT_PRIV_H
#define WEIR_SESSION_STATEMENT_PRIV_H

#include "sql/sql.h"
#include "wire/wire.h"

#define STATEMENT_PREFIX      "weir:" /* of names on servers; clients may not use it */
#define STATEMENT_NAME_SIZE   24
#define STATEMENT_NAMES_MAX   10000 /* of one client; with more it is pinned */
#define STATEMENT_SET_MAX     200   /* on one server connection; the one unused longest goes */
#define STATEMENT_MESSAGE_MAX ((size_t)16 << 10) /* a longer Parse is not shared */

typedef struct StatementTable StatementTable;

typedef struct Statement {
    size_t refs;
    StatementTable *table;
    uint64_t context; /* what its text is parsed under */
    bool constant;    /* its parse froze a time: it is not parsed under anything else */
    bool learned;     /* `effects` are known, with these names of the database */
    uint64_t names_generation;
    TextEffects effects;            /* of running it */
    char *touched;                  /* theirs */
    char name[STATEMENT_NAME_SIZE]; /* on servers */
    Slice close;                    /* the message that takes it from a server */
    Slice parse;                    /* and the one that prepares it there; right behind the other */
    char messages[];
} Statement;

StatementTable *statement_table_new(void);
void statement_table_free(StatementTable *table); /* nobody has a Statement of it; NULL is fine */

/* `tail` is the body of a Parse behind the name: query, NUL, count and types. One more reference;
 * *ret_new says that it was not known: statement_learn it. */
Statement *statement_intern(StatementTable *table, uint64_t context, Slice tail, bool *ret_new);
void statement_learn(Statement *statement, const TextEffects *effects);
Slice statement_tail(const Statement *statement);
/* Whether the text may have a literal like 'now', whose value is that of the parse. */
bool statement_freezes_time(Slice text);
Statement *statement_ref(Statement *statement);
void statement_unref(Statement *statement); /* NULL is fine */
/* Close and Parse. A server takes the Close of what it does not have, too, so that this is right
 * whatever it has. */
Slice statement_anew(const Statement *statement);

/* Zeroed to start. */
typedef struct StatementNames {
    Map *map; /* NULL: none */
} StatementNames;

Statement *statement_names_get(const StatementNames *names, Slice name); /* NULL: unknown */
size_t statement_names_len(const StatementNames *names);
void statement_names_set(StatementNames *names, Slice name, Statement *statement); /* adds a ref */
void statement_names_remove(StatementNames *names, Slice name);
void statement_names_clear(StatementNames *names);

/* Zeroed to start. An entry counts in the batch (up to a Sync) in which its Parse was sent, for
 * whatever keeps the Parse from being run keeps the rest of the batch, too; and from then on, once
 * the server has said that it is prepared. */
typedef struct StatementSet {
    size_t max; /* 0: STATEMENT_SET_MAX */
    Map *map;   /* from the name on servers to an entry; NULL: none */
    List used;  /* the one used last first */
} StatementSet;

/* Whether it can be bound in this batch as it is; it then counts as just used. */
bool statement_set_has(StatementSet *set, const Statement *statement, uint64_t batch);
/* It is prepared in this batch. */
void statement_set_sent(StatementSet *set, Statement *statement, uint64_t batch);
/* What became of that. */
void statement_set_settle(StatementSet *set, const Statement *statement, uint64_t batch, bool done);
/* Takes out the one unused longest where there are too many. The reference is the caller's; NULL:
 * there is room. */
Statement *statement_set_evict(StatementSet *set);
/* None counts any more; where the server has them still, they are closed when they are evicted. */
void statement_set_doubt(StatementSet *set);
void statement_set_clear(StatementSet *set);

/* The name that "DEALLOCATE [PREPARE] name" means, in `out`; empty for another text and for ALL. */
Slice statement_deallocated(Slice text, char out[static SQL_WORD_MAX]);

#endif
