/* See catalog_priv.h. */
#include "proxy/server/catalog_priv.h"

#define DATABASES_MAX 10000 /* of further ones nothing is known */

/*
 * Rows of kind and name: 'h' reaches hidden state, 'w' may move a sequence, 'x' is hidden behind
 * something without a name (an operator, a cast, a domain, an event trigger).
 *
 * The seeds are functions in languages that keep state, and those whose text has a word that makes
 * some: dynamic SQL, too. What reaches one does so itself: functions that name it, tables with it
 * in a trigger, rule, policy, default or check, and what is routed or cascades to those tables. C
 * functions of extensions are judged by name (src/sql/words.c).
 */
const char catalog_query[] =
    "SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 5000;"
    "WITH RECURSIVE f AS ("
    "SELECT p.oid, p.proname::text AS name, l.lanname, p.provolatile, p.prokind,"
    " p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '') AS body,"
    " EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
    " AND d.deptype = 'e') AS extension"
    " FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384),"
    "reach AS ("
    "SELECT 'f' AS kind, oid, name FROM f WHERE prokind <> 'a' AND CASE"
    " WHEN lanname IN ('c', 'internal') THEN NOT extension"
    " WHEN lanname IN ('sql', 'plpgsql') THEN NOT extension AND body ~*"
    " '\\m(set_config|pg_temp\\w*|execute|setseed|currval|lastval|dblink\\w*|pg_settings"
    "|pg_(try_)?advisory_lock\\w*|pg_replication_origin_session\\w*)\\M"
    "|\\mwith\\s+hold\\M"
    "|\\m(create|into)\\s+(or\\s+replace\\s+)?((global|local)\\s+)?temp(orary)?\\M"
    "|(^|;|>>|\\m(begin|then|else|loop)\\M)(\\s|--[^\\n]*\\n|/\\*.*?\\*/)*"
    "(set|reset|load|prepare|deallocate|discard|listen|unlisten|do)\\M'"
    " ELSE true END"
    " UNION SELECT u.kind, u.oid, u.name FROM reach r, LATERAL ("
    "SELECT 'f' AS kind, f.oid, f.name FROM f WHERE lanname IN ('sql', 'plpgsql')"
    " AND f.body ~* ('\\m' || regexp_replace(r.name, '(\\W)', '\\\\\\1', 'g') || '\\M')"
    " UNION ALL SELECT 'f', f.oid, f.name FROM pg_aggregate a JOIN f ON f.oid = a.aggfnoid"
    " WHERE r.kind = 'f' AND r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,"
    " a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)"
    " UNION ALL SELECT 'r', c.oid, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE r.kind = 'f' AND t.tgfoid = r.oid AND NOT t.tgisinternal"
    " UNION ALL SELECT 'r', c.oid, c.relname FROM pg_constraint k"
    " JOIN pg_class c ON c.oid = k.confrelid"
    " WHERE r.kind = 'r' AND k.contype = 'f' AND k.conrelid = r.oid"
    " UNION ALL SELECT 'r', c.oid, c.relname FROM pg_inherits i"
    " JOIN pg_class c ON c.oid = i.inhparent WHERE r.kind = 'r' AND i.inhrelid = r.oid"
    " UNION ALL SELECT 'r', c.oid, c.relname FROM pg_depend d"
    " LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid"
    " LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid"
    " LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid"
    " LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid"
    " AND k.contype = 'c'"
    " JOIN pg_class c ON c.oid IN (w.ev_class, p.polrelid, a.adrelid, k.conrelid)"
    " WHERE d.refobjid = r.oid"
    " AND d.refclassid = CASE r.kind WHEN 'f' THEN 'pg_proc' ELSE 'pg_class' END::regclass"
    " UNION ALL SELECT 'x', 0, '' WHERE r.kind = 'f'"
    " AND (EXISTS (SELECT FROM pg_operator WHERE oprcode = r.oid)"
    " OR EXISTS (SELECT FROM pg_cast WHERE castfunc = r.oid)"
    " OR EXISTS (SELECT FROM pg_event_trigger WHERE evtfoid = r.oid)"
    " OR EXISTS (SELECT FROM pg_depend d JOIN pg_constraint k"
    " ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contypid <> 0"
    " WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = r.oid))"
    ") u WHERE r.kind <> 'x')"
    "SELECT CASE kind WHEN 'x' THEN 'x' ELSE 'h' END, name FROM reach"
    " UNION SELECT 'w', name FROM f WHERE provolatile = 'v' AND prokind <> 'a'";

/* ---- names -------------------------------------------------------------------------------------
 */

CatalogNames *catalog_names_new(void)
{
    CatalogNames *names = mem_alloc(sizeof(CatalogNames));
    atomic_init(&names->refs, 1);
    names->names.map = map_new();
    return names;
}

CatalogNames *catalog_names_ref(CatalogNames *names)
{
    if (names != NULL) {
        atomic_fetch_add(&names->refs, 1);
    }
    return names;
}

void catalog_names_unref(CatalogNames *names)
{
    if (names != NULL && atomic_fetch_sub(&names->refs, 1) == 1) {
        map_free(names->names.map);
        mem_free(names);
    }
}

static Slice take_column(PgReader *reader)
{
    return pg_read_bytes(reader, pg_read_u32(reader));
}

/* Words are looked up in lower case, and cut as PostgreSQL cuts them. */
static void name_add(CatalogNames *names, Slice name, unsigned effect)
{
    char lower[SQL_WORD_MAX];
    size_t len = name.len < sizeof(lower) ? name.len : sizeof(lower);
    for (size_t i = 0; i < len; i++) {
        lower[i] = char_lower(name.data[i]);
    }
    Slice key = slice_from(lower, len);
    uintptr_t effects = (uintptr_t)map_get(names->names.map, key) | effect;
    map_set(names->names.map, key, (void *)effects);
}

bool catalog_names_take_row(CatalogNames *names, Slice row)
{
    PgReader reader = {.rest = row};
    if (pg_read_u16(&reader) != 2) {
        return false;
    }
    Slice kind = take_column(&reader);
    Slice name = take_column(&reader);
    if (!pg_reader_ended(&reader) || kind.len != 1 ||
        map_len(names->names.map) >= CATALOG_NAMES_MAX) {
        return false;
    }
    bool writes = kind.data[0] == 'w';
    names->hidden = names->hidden || !writes;
    if (kind.data[0] != 'x' && name.len > 0) {
        name_add(names, name, writes ? SQL_NAME_WRITES : SQL_NAME_HIDDEN);
    }
    return true;
}

static bool names_equal(const CatalogNames *a, const CatalogNames *b)
{
    if (a == NULL || a->hidden != b->hidden || map_len(a->names.map) != map_len(b->names.map)) {
        return false;
    }
    size_t cursor = 0;
    Slice name;
    void *effects;
    while (map_next(a->names.map, &cursor, &name, &effects)) {
        if (map_get(b->names.map, name) != effects) {
            return false;
        }
    }
    return true;
}

/* ---- the process's -----------------------------------------------------------------------------
 */

struct CatalogEntry {
    Catalogs *catalogs;
    CatalogNames *names;         /* under the lock; NULL: nothing was ever known */
    bool fresh;                  /* they are what the database says now; under the lock */
    atomic_uint_fast64_t number; /* grows with each change of these two */
    atomic_int_fast64_t due_ms;
    atomic_int_fast64_t stale_ms; /* when DDL was seen last; 0: never */
    atomic_bool learning;
    atomic_uint_fast64_t changes; /* of the database, as far as we know */
    atomic_int_fast64_t took_ms;  /* learning, of late */
};

void catalogs_init(Catalogs *catalogs)
{
    pthread_mutex_init(&catalogs->lock, NULL);
    catalogs->entries = map_new();
}

void catalogs_done(Catalogs *catalogs)
{
    size_t cursor = 0;
    Slice database;
    void *value;
    while (map_next(catalogs->entries, &cursor, &database, &value)) {
        CatalogEntry *entry = value;
        catalog_names_unref(entry->names);
        mem_free(entry);
    }
    map_free(catalogs->entries);
    pthread_mutex_destroy(&catalogs->lock);
}

CatalogEntry *catalogs_entry(Catalogs *catalogs, Slice database)
{
    pthread_mutex_lock(&catalogs->lock);
    CatalogEntry *entry = map_get(catalogs->entries, database);
    if (entry == NULL && map_len(catalogs->entries) < DATABASES_MAX) {
        entry = mem_alloc(sizeof(CatalogEntry));
        entry->catalogs = catalogs;
        map_set(catalogs->entries, database, entry);
    }
    pthread_mutex_unlock(&catalogs->lock);
    return entry;
}

/* Under the lock. */
static void entry_set(CatalogEntry *entry, CatalogNames *names, bool fresh)
{
    uint64_t number = atomic_load(&entry->number) + 1;
    if (names != entry->names) {
        catalog_names_unref(entry->names);
        entry->names = names;
        if (names != NULL) {
            names->names.generation = number;
        }
    }
    entry->fresh = fresh;
    atomic_store(&entry->number, number);
}

static void entry_stale(CatalogEntry *entry)
{
    atomic_fetch_add(&entry->changes, 1);
    atomic_store(&entry->due_ms, 0);
    if (entry->fresh) {
        entry_set(entry, entry->names, false);
    }
}

void catalogs_forget(Catalogs *catalogs)
{
    size_t cursor = 0;
    Slice database;
    void *value;
    pthread_mutex_lock(&catalogs->lock);
    while (map_next(catalogs->entries, &cursor, &database, &value)) {
        entry_stale(value);
        entry_set(value, NULL, false);
    }
    pthread_mutex_unlock(&catalogs->lock);
}

void catalog_entry_stale(CatalogEntry *entry, int64_t now_ms)
{
    pthread_mutex_lock(&entry->catalogs->lock);
    atomic_store(&entry->stale_ms, now_ms);
    entry_stale(entry);
    pthread_mutex_unlock(&entry->catalogs->lock);
}

bool catalog_entry_is_due(CatalogEntry *entry, int64_t now_ms, int64_t behind_ms)
{
    int64_t stale_ms = atomic_load_explicit(&entry->stale_ms, memory_order_relaxed);
    bool knows_less = behind_ms > 0 && stale_ms > 0 && now_ms - stale_ms <= behind_ms;
    return !knows_less && now_ms >= atomic_load_explicit(&entry->due_ms, memory_order_relaxed) &&
           !atomic_load(&entry->learning);
}

bool catalog_entry_is_quick(CatalogEntry *entry)
{
    return atomic_load_explicit(&entry->took_ms, memory_order_relaxed) <= CATALOG_WAIT_MS;
}

CatalogLearning catalog_entry_begin(CatalogEntry *entry, int64_t now_ms)
{
    atomic_store(&entry->learning, true);
    return (CatalogLearning){
        .names = catalog_names_new(), .changes = atomic_load(&entry->changes), .began_ms = now_ms};
}

void catalog_entry_learnt(CatalogEntry *entry, CatalogLearning *learning, int64_t now_ms)
{
    CatalogNames *names = learning->names;
    learning->names = NULL;
    pthread_mutex_lock(&entry->catalogs->lock);
    bool changed = atomic_load(&entry->changes) != learning->changes; /* there may be more */
    bool same = names == NULL || names_equal(entry->names, names);
    if (!same) {
        entry_set(entry, names, !changed);
    } else if (names != NULL && !changed && !entry->fresh) {
        entry_set(entry, entry->names, true);
    }
    catalog_names_unref(same ? names : NULL);
    atomic_store(&entry->due_ms, changed ? 0 : now_ms + CATALOG_MS);
    int64_t took_ms = atomic_load(&entry->took_ms);
    atomic_store(&entry->took_ms, (3 * took_ms + now_ms - learning->began_ms) / 4);
    atomic_store(&entry->learning, false);
    pthread_mutex_unlock(&entry->catalogs->lock);
}

void catalog_entry_read(CatalogEntry *entry, CatalogNames **names, bool *fresh, uint64_t *seen)
{
    if (*seen == atomic_load_explicit(&entry->number, memory_order_acquire)) {
        return;
    }
    pthread_mutex_lock(&entry->catalogs->lock);
    catalog_names_unref(*names);
    *names = catalog_names_ref(entry->names);
    *fresh = entry->fresh;
    *seen = atomic_load(&entry->number);
    pthread_mutex_unlock(&entry->catalogs->lock);
}
