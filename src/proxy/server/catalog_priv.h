/*
 * catalog: what a database's own functions, triggers, rules and policies may do to a session
 * without a word on the wire (RULES P2). PostgreSQL is asked for the names through which such state
 * is reached: a text with one of them pins, and while there are any, a server connection is cleaned
 * when it changes hands. What is not known counts as "there are".
 *
 *   CatalogNames   what is known of one database; immutable and counted, of all threads
 *   Catalogs       the process's: from database to what is known of it
 *
 * It is learnt on a server connection that has just come to rest (learn.c): when nothing is
 * known, each CATALOG_MS, and after DDL that may have changed it; then the client that made that
 * waits for it, unless it has taken longer than CATALOG_WAIT_MS of late.
 */
#ifndef WEIR_PROXY_CATALOG_PRIV_H
#define WEIR_PROXY_CATALOG_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "sql/sql.h"
#include "wire/wire.h"

#define CATALOG_MS        10000
#define CATALOG_WAIT_MS   250
#define CATALOG_NAMES_MAX 20000 /* with more, nothing is known */

typedef struct CatalogNames {
    atomic_size_t refs;
    bool hidden; /* something may change a session unseen */
    SqlNames names;
} CatalogNames;

/* One reference; nothing is in it. */
CatalogNames *catalog_names_new(void);
CatalogNames *catalog_names_ref(CatalogNames *names); /* NULL is fine */
void catalog_names_unref(CatalogNames *names);        /* NULL is fine */
/* A DataRow of the answer to catalog_query. False: it is none, or there are too many. */
NODISCARD bool catalog_names_take_row(CatalogNames *names, Slice row);
extern const char catalog_query[];

typedef struct CatalogEntry CatalogEntry; /* of one database; as long as the Catalogs */

typedef struct Catalogs {
    pthread_mutex_t lock; /* taken when something is new, never on the way of a query */
    Map *entries;
} Catalogs;

void catalogs_init(Catalogs *catalogs);
void catalogs_done(Catalogs *catalogs);
CatalogEntry *catalogs_entry(Catalogs *catalogs, Slice database);
void catalogs_forget(Catalogs *catalogs); /* nothing is known of any: it is another target */

/* What is being learnt. */
typedef struct CatalogLearning {
    CatalogNames *names; /* so far; NULL: it fails, or is over */
    uint64_t changes;    /* of the database, before it was asked */
    int64_t began_ms;
} CatalogLearning;

/* Whether it is time to learn, and nobody does, from a server that may be behind by so much: one
 * that may not have replayed the last DDL is of no use. */
bool catalog_entry_is_due(CatalogEntry *entry, int64_t now_ms, int64_t behind_ms);
/* Whether a client can wait for it. */
bool catalog_entry_is_quick(CatalogEntry *entry);
/* Then the caller must say what it learnt. */
CatalogLearning catalog_entry_begin(CatalogEntry *entry, int64_t now_ms);
/* Takes the names; NULL: it failed, and what was known stays. */
void catalog_entry_learnt(CatalogEntry *entry, CatalogLearning *learning, int64_t now_ms);
/* There may be more than is known. */
void catalog_entry_stale(CatalogEntry *entry, int64_t now_ms);
/* Brings *names, a reference or NULL for "not known", up to date; *fresh: there is nothing else.
 * Names that are not fresh still pin, but nothing follows from a name that is not among them. Cheap
 * where nothing is new. */
void catalog_entry_read(CatalogEntry *entry, CatalogNames **names, bool *fresh, uint64_t *seen);

#endif
