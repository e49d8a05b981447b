/*
 * The SQLite backend: one file in WAL mode with synchronous=FULL, opened exclusively through one
 * connection. A batch is one transaction.
 *
 * When COMMIT fails, SQLite cannot tell whether the commit record reached the log. So the
 * connection is closed and the file read again: without the record nothing has changed and cannot
 * change any more; with it, the log is copied into the database and synced (a failed fsync may have
 * dropped the log's pages without telling again), and the batch is committed. Only where this
 * fails, too, is the outcome unknown; sqlite_load then does the same until it succeeds.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

#define FORMAT_VERSION 1
#define APPLICATION_ID 0x57656972 /* "Weir" */
#define BUSY_WAIT_MS   1000       /* a predecessor that is just ending */

typedef enum Query {
    QUERY_BEGIN,
    QUERY_COMMIT,
    QUERY_PUT,
    QUERY_DELETE,
    QUERY_REVISION,
    QUERY_LEASE_ADD,
    QUERY_LEASE_REMOVE,
    QUERY_COUNT,
} Query;

static const char *const query_texts[QUERY_COUNT] = {
    [QUERY_BEGIN] = "BEGIN IMMEDIATE",
    [QUERY_COMMIT] = "COMMIT",
    [QUERY_PUT] = "INSERT INTO item (key, value, mod_revision, create_revision, lease) "
                  "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET "
                  "value = ?2, mod_revision = ?3, create_revision = ?4, lease = ?5",
    [QUERY_DELETE] = "DELETE FROM item WHERE key = ?1",
    [QUERY_REVISION] = "UPDATE state SET revision = ?1 WHERE revision = ?2",
    [QUERY_LEASE_ADD] = "INSERT INTO lease (id, ttl_ms) VALUES (?1, ?2)",
    [QUERY_LEASE_REMOVE] = "DELETE FROM lease WHERE id = ?1",
};

static const char schema_text[] =
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, 0);"
    "CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE item (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL,"
    " mod_revision INTEGER NOT NULL, create_revision INTEGER NOT NULL,"
    " lease INTEGER NOT NULL) STRICT;";

typedef struct Sqlite {
    char *path;
    sqlite3 *db; /* NULL: to be opened again */
    sqlite3_stmt *queries[QUERY_COUNT];
    bool suspect; /* the log may hold what never reached the disk: copy it before trusting it */
} Sqlite;

/* ---- errors -----------------------------------------------------------------------------------
 */

/* The caller has not yet touched the connection again. */
static bool sqlite_fail(const Sqlite *self, const char *doing, Err *err)
{
    int code = self->db != NULL ? sqlite3_extended_errcode(self->db) : SQLITE_NOMEM;
    int os_errno = self->db != NULL ? sqlite3_system_errno(self->db) : ENOMEM;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_CONFLICT, "%s is in use by another process", self->path);
    case SQLITE_FULL:
        err_set(err, ERR_IO, "cannot %s %s: the disk is full", doing, self->path);
        if (err != NULL) {
            err->os_errno = ENOSPC;
        }
        return false;
    case SQLITE_NOTADB:
        return err_set(err, ERR_INVALID, "%s is not a store of Weir's", self->path);
    case SQLITE_CORRUPT:
        return err_set(err, ERR_INVALID, "%s is damaged (%s): restore it from a copy", self->path,
                       sqlite3_errmsg(self->db));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return err_set_errno(err, os_errno != 0 ? os_errno : EACCES, "cannot %s %s", doing,
                             self->path);
    default:
        err_set_errno(err, os_errno != 0 ? os_errno : EIO, "cannot %s %s: %s", doing, self->path,
                      self->db != NULL ? sqlite3_errmsg(self->db) : "out of memory");
        if (err != NULL) {
            err->code = ERR_IO;
        }
        return false;
    }
}

/* ---- small SQL --------------------------------------------------------------------------------
 */

static bool sqlite_run(const Sqlite *self, const char *text, const char *doing, Err *err)
{
    return sqlite3_exec(self->db, text, NULL, NULL, NULL) == SQLITE_OK ||
           sqlite_fail(self, doing, err);
}

/* The first column of the first row as text; "" where there is none. */
static bool sqlite_text(const Sqlite *self, const char *text, char *ret, size_t size, Err *err)
{
    sqlite3_stmt *query;
    if (sqlite3_prepare_v2(self->db, text, -1, &query, NULL) != SQLITE_OK) {
        return sqlite_fail(self, "read", err);
    }
    int code = sqlite3_step(query);
    bool ok = code == SQLITE_ROW || code == SQLITE_DONE || sqlite_fail(self, "read", err);
    if (ok) {
        const unsigned char *value = code == SQLITE_ROW ? sqlite3_column_text(query, 0) : NULL;
        sqlite3_snprintf((int)size, ret, "%s", value != NULL ? (const char *)value : "");
    }
    sqlite3_finalize(query);
    return ok;
}

static bool sqlite_number(const Sqlite *self, const char *text, int64_t *ret, Err *err)
{
    char number[32];
    TRY(sqlite_text(self, text, number, sizeof(number), err));
    return str_to_i64(slice_of(number), ret) ||
           err_set(err, ERR_INVALID, "%s is damaged: %s gives no number", self->path, text);
}

/* A setting counts only when it reads back. */
static bool sqlite_setting(const Sqlite *self, const char *set, const char *get, const char *want,
                           Err *err)
{
    char value[32];
    TRY(sqlite_text(self, set, value, sizeof(value), err));
    TRY(sqlite_text(self, get, value, sizeof(value), err));
    return strcmp(value, want) == 0 ||
           err_set(err, ERR_IO, "cannot open %s safely: %s is '%s' instead of '%s'", self->path,
                   get, value, want);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void sqlite_shut(Sqlite *self)
{
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        sqlite3_finalize(self->queries[i]);
        self->queries[i] = NULL;
    }
    if (self->db != NULL) {
        ASSERT(sqlite3_close(self->db) == SQLITE_OK);
        self->db = NULL;
    }
}

/* A new file gets its mode here. An existing one is only looked at: to open and close it would take
 * the locks of a connection of this process away (POSIX locks belong to the process). */
static bool sqlite_file_ready(const Sqlite *self, Err *err)
{
    struct stat info;
    if (lstat(self->path, &info) == 0) {
        return S_ISREG(info.st_mode) ||
               err_set(err, ERR_INVALID, "%s is not a plain file", self->path);
    }
    CLEANUP(fd_close)
    int fd = errno == ENOENT ? open(self->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    return fd >= 0 || err_set_errno(err, errno, "cannot make %s", self->path);
}

/* Whose file it is, before anything writes to it. */
static bool sqlite_check_owner(const Sqlite *self, bool *ret_empty, Err *err)
{
    int64_t application, format, tables;
    TRY(sqlite_number(self, "PRAGMA application_id", &application, err));
    TRY(sqlite_number(self, "PRAGMA user_version", &format, err));
    TRY(sqlite_number(self, "SELECT count(*) FROM sqlite_schema", &tables, err));
    *ret_empty = application == 0 && format == 0 && tables == 0;
    if (!*ret_empty && (application != APPLICATION_ID || format < 1)) {
        return err_set(err, ERR_INVALID, "%s is not a store of Weir's", self->path);
    }
    if (format > FORMAT_VERSION) {
        return err_set(err, ERR_CONFLICT,
                       "%s was made by a newer Weir (its format is %lld, this Weir knows %d): run "
                       "that version",
                       self->path, (long long)format, FORMAT_VERSION);
    }
    return true;
}

/* One transaction: after a crash there is the whole schema or an empty file. */
static bool sqlite_make_schema(const Sqlite *self, Err *err)
{
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d;"
                            "%s COMMIT;",
                            APPLICATION_ID, FORMAT_VERSION, schema_text);
    return sqlite_run(self, text, "set up", err);
}

static bool sqlite_prepare(Sqlite *self, Err *err)
{
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        if (sqlite3_prepare_v3(self->db, query_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &self->queries[i], NULL) != SQLITE_OK) {
            return sqlite_fail(self, "use", err);
        }
    }
    return true;
}

static bool sqlite_check_whole(const Sqlite *self, Err *err)
{
    char verdict[256];
    TRY(sqlite_text(self, "PRAGMA quick_check(1)", verdict, sizeof(verdict), err));
    return strcmp(verdict, "ok") == 0 ||
           err_set(err, ERR_INVALID, "%s is damaged (%s): restore it from a copy", self->path,
                   verdict);
}

static bool sqlite_open_steps(Sqlite *self, Err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    TRY(sqlite_file_ready(self, err));
    if (sqlite3_open_v2(self->path, &self->db, flags, NULL) != SQLITE_OK) {
        return sqlite_fail(self, "open", err);
    }
    sqlite3_busy_timeout(self->db, BUSY_WAIT_MS);
    bool empty;
    TRY(sqlite_setting(self, "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA locking_mode", "exclusive",
                       err));
    TRY(sqlite_check_owner(self, &empty, err));
    TRY(sqlite_setting(self, "PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal", err));
    TRY(sqlite_setting(self, "PRAGMA synchronous = FULL", "PRAGMA synchronous", "2", err));
    TRY(sqlite_setting(self, "PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", "0", err));
    TRY(sqlite_setting(self, "PRAGMA cell_size_check = ON", "PRAGMA cell_size_check", "1", err));
    TRY(sqlite_run(self, "PRAGMA journal_size_limit = 8388608", "open", err));
    TRY(empty ? sqlite_make_schema(self, err) : sqlite_check_whole(self, err));
    return sqlite_prepare(self, err);
}

static bool sqlite_open(Sqlite *self, Err *err)
{
    if (self->db != NULL) {
        return true;
    }
    if (!sqlite_open_steps(self, err)) {
        sqlite_shut(self);
        return false;
    }
    return true;
}

/* ---- loading ----------------------------------------------------------------------------------
 */

static Slice column_bytes(sqlite3_stmt *query, int column)
{
    const void *data = sqlite3_column_blob(query, column);
    return slice_from(data, (size_t)sqlite3_column_bytes(query, column));
}

static bool load_item(sqlite3_stmt *query, Image *image)
{
    Slice key = column_bytes(query, 0);
    Slice value = column_bytes(query, 1);
    if (key.len == 0 || key.len > STORE_KEY_MAX || value.len > STORE_VALUE_MAX) {
        return false;
    }
    image_put(image, record_new(key, value, sqlite3_column_int64(query, 2),
                                sqlite3_column_int64(query, 3), sqlite3_column_int64(query, 4)));
    return true;
}

static bool load_lease(sqlite3_stmt *query, Image *image)
{
    Lease lease = {.id = sqlite3_column_int64(query, 0), .ttl_ms = sqlite3_column_int64(query, 1)};
    vec_push(&image->leases, lease);
    return lease.ttl_ms > 0;
}

static bool sqlite_load_rows(const Sqlite *self, const char *text,
                             bool (*load)(sqlite3_stmt *query, Image *image), Image *image,
                             Err *err)
{
    sqlite3_stmt *query;
    if (sqlite3_prepare_v2(self->db, text, -1, &query, NULL) != SQLITE_OK) {
        return sqlite_fail(self, "read", err);
    }
    int code;
    bool sane = true;
    while (sane && (code = sqlite3_step(query)) == SQLITE_ROW) {
        sane = load(query, image);
    }
    bool ok =
        !sane ? err_set(err, ERR_INVALID, "%s is damaged: a record is out of bounds", self->path)
              : code == SQLITE_DONE || sqlite_fail(self, "read", err);
    sqlite3_finalize(query);
    return ok;
}

/* Copies the whole log into the database, synced. */
static bool sqlite_settle_log(Sqlite *self, Err *err)
{
    int64_t busy;
    TRY(sqlite_number(self, "PRAGMA wal_checkpoint(TRUNCATE)", &busy, err));
    if (busy != 0) {
        return err_set(err, ERR_CONFLICT, "%s is in use by another process", self->path);
    }
    self->suspect = false;
    return true;
}

static bool sqlite_load(void *state, Image *image, Err *err)
{
    Sqlite *self = state;
    TRY(sqlite_open(self, err));
    if (self->suspect) {
        TRY(sqlite_settle_log(self, err));
    }
    TRY(sqlite_number(self, "SELECT revision FROM state", &image->revision, err));
    TRY(sqlite_load_rows(self, "SELECT id, ttl_ms FROM lease", load_lease, image, err));
    return sqlite_load_rows(
        self, "SELECT key, value, mod_revision, create_revision, lease FROM item ORDER BY key",
        load_item, image, err);
}

/* ---- committing -------------------------------------------------------------------------------
 */

/* Runs a prepared query to its end. */
static bool query_run(Sqlite *self, Query query, Err *err)
{
    int code = sqlite3_step(self->queries[query]);
    bool ok = code == SQLITE_DONE || sqlite_fail(self, "write", err);
    sqlite3_reset(self->queries[query]);
    return ok;
}

static bool query_put(Sqlite *self, const Record *record, Err *err)
{
    sqlite3_stmt *put = self->queries[QUERY_PUT];
    sqlite3_bind_text(put, 1, record->bytes, (int)record->key_len, SQLITE_STATIC);
    sqlite3_bind_blob(put, 2, record->bytes + record->key_len + 1, (int)record->value_len,
                      SQLITE_STATIC);
    sqlite3_bind_int64(put, 3, record->mod_revision);
    sqlite3_bind_int64(put, 4, record->create_revision);
    sqlite3_bind_int64(put, 5, record->lease);
    return query_run(self, QUERY_PUT, err);
}

static bool query_delete(Sqlite *self, const Record *record, Err *err)
{
    sqlite3_bind_text(self->queries[QUERY_DELETE], 1, record->bytes, (int)record->key_len,
                      SQLITE_STATIC);
    return query_run(self, QUERY_DELETE, err);
}

static bool query_revision(Sqlite *self, const Batch *batch, Err *err)
{
    sqlite3_bind_int64(self->queries[QUERY_REVISION], 1, batch->revision);
    sqlite3_bind_int64(self->queries[QUERY_REVISION], 2, batch->revision_before);
    TRY(query_run(self, QUERY_REVISION, err));
    return sqlite3_changes(self->db) == 1 ||
           err_set(err, ERR_CONFLICT, "%s was altered by another process", self->path);
}

static bool sqlite_write(Sqlite *self, const Batch *batch, Err *err)
{
    TRY(query_run(self, QUERY_BEGIN, err));
    TRY(query_revision(self, batch, err));
    for (size_t i = 0; i < batch->ops.len; i++) {
        const BatchOp *op = &batch->ops.items[i];
        TRY(op->kind == STORE_PUT ? query_put(self, op->record, err)
                                  : query_delete(self, op->record, err));
    }
    if (batch->lease_new.id != 0) {
        sqlite3_bind_int64(self->queries[QUERY_LEASE_ADD], 1, batch->lease_new.id);
        sqlite3_bind_int64(self->queries[QUERY_LEASE_ADD], 2, batch->lease_new.ttl_ms);
        TRY(query_run(self, QUERY_LEASE_ADD, err));
    }
    if (batch->lease_gone != 0) {
        sqlite3_bind_int64(self->queries[QUERY_LEASE_REMOVE], 1, batch->lease_gone);
        TRY(query_run(self, QUERY_LEASE_REMOVE, err));
    }
    return true;
}

/* Was the batch committed? The lease tells where the revision does not. */
static bool sqlite_has_batch(Sqlite *self, const Batch *batch, bool *ret_has, Err *err)
{
    if (batch->ops.len > 0) {
        int64_t revision;
        TRY(sqlite_number(self, "SELECT revision FROM state", &revision, err));
        *ret_has = revision == batch->revision;
        return true;
    }
    int64_t id = batch->lease_new.id != 0 ? batch->lease_new.id : batch->lease_gone;
    int64_t count;
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("SELECT count(*) FROM lease WHERE id = %lld", (long long)id);
    TRY(sqlite_number(self, text, &count, err));
    *ret_has = (count == 1) == (batch->lease_new.id != 0);
    return true;
}

/* After a COMMIT that failed; `err` says how. */
static bool sqlite_settle(Sqlite *self, const Batch *batch, Err *err)
{
    Err again;
    bool has;
    sqlite_shut(self);
    self->suspect = true;
    if (sqlite_open(self, &again) && sqlite_has_batch(self, batch, &has, &again)) {
        if (!has) {
            self->suspect = false;
            return false;
        }
        if (sqlite_settle_log(self, &again)) {
            return true;
        }
    }
    sqlite_shut(self);
    int os_errno = err->os_errno;
    err_set(err, ERR_UNSETTLED, "%s; whether the change took place is unknown (%s)", err->message,
            again.message);
    err->os_errno = os_errno;
    return false;
}

static bool sqlite_commit(void *state, const Batch *batch, Err *err)
{
    Sqlite *self = state;
    TRY(sqlite_open(self, err));
    if (!sqlite_write(self, batch, err)) {
        /* Nothing was committed. A connection that cannot roll back is given up. */
        if (!sqlite3_get_autocommit(self->db) &&
            sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
            sqlite_shut(self);
        }
        return false;
    }
    return query_run(self, QUERY_COMMIT, err) || sqlite_settle(self, batch, err);
}

/* ---- life -------------------------------------------------------------------------------------
 */

bool sqlite_backend_new(const char *path, void **ret_self, Err *err)
{
    Sqlite *self = mem_alloc(sizeof(Sqlite));
    self->path = mem_strdup(path);
    self->suspect = true; /* a predecessor may have died with a failing disk */
    if (!sqlite_open(self, err)) {
        mem_free(self->path);
        mem_free(self);
        return false;
    }
    *ret_self = self;
    return true;
}

static void sqlite_close(void *state)
{
    Sqlite *self = state;
    sqlite_shut(self);
    mem_free(self->path);
    mem_free(self);
}

const Backend sqlite_backend = {sqlite_load, sqlite_commit, sqlite_close};
