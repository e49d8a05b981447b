/*
 * catalog: what a database's own functions, triggers, rules and policies may do to a session
 * without a word on the wire (RULES P2). PostgreSQL is asked for the names through which such state
 * is reached: a text with one of them pins, and while there are any, a server connection is cleaned
 * when it changes hands. What is not known counts as "there are".
 *
 *   CatalogNames   what is known of one database; immutable and counted, of all threads
 *   Catalogs       the process's: from database to what is known of it
 *
 * One worker learns at a time, on a server connection that has just come to rest (server_learn.c):
 * when nothing is known, each CATALOG_MS, and after DDL that may have changed it.
 */
#ifndef WEIR_PROXY_CATALOG_PRIV_H
#define WEIR_PROXY_CATALOG_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "sql/sql.h"
#include "wire/wire.h"

#define CATALOG_MS        10000
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

/* Whether it is time to learn, from a server that may be behind by so much: one that may not have
 * replayed the last DDL is of no use. Then the caller must, and say what it learnt. */
NODISCARD bool catalog_entry_begin(CatalogEntry *entry, int64_t now_ms, int64_t behind_ms);
/* Takes the reference; NULL: it failed, and what was known stays. */
void catalog_entry_learnt(CatalogEntry *entry, CatalogNames *names, int64_t now_ms);
/* Nothing is known of it any more. */
void catalog_entry_stale(CatalogEntry *entry, int64_t now_ms);
/* Brings *names, a reference or NULL for "not known", up to date. Cheap where nothing is new. */
void catalog_entry_read(CatalogEntry *entry, CatalogNames **names, uint64_t *seen);

#endif
