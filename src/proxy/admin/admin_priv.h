/*
 * admin: the database that the proxy itself is. Clients that ask for it by name, and are listed,
 * are not given a server connection: their SHOW commands are answered here, in the shapes that
 * PgBouncer's console made known.
 *
 *   admin.c     sessions: who may, the stream, commands and their answers
 *   extended.c  the extended protocol
 *   command.c   texts to commands
 *   rows.c      values to rows
 *   show.c      tables that the meters and the configuration hold: any thread can read them
 *   stats.c     the same, of statistics
 *   gather.c    tables of what only a worker's own thread can see
 *   request.c   how they visit one worker after the other
 *
 * A request for the last kind visits one worker after the other by posts, and so has one owner at a
 * time; no worker waits. It comes back to the worker that the client is on, which keeps a list of
 * its requests; a client that has left meanwhile is not missed.
 */
#ifndef WEIR_PROXY_ADMIN_PRIV_H
#define WEIR_PROXY_ADMIN_PRIV_H

#include "proxy/client/client_priv.h"

#define ADMIN_MESSAGE_MAX    ((uint32_t)8 << 10)
#define ADMIN_STATEMENTS_MAX 100               /* of one client; one more is refused */
#define ADMIN_ANSWER_MAX     ((size_t)8 << 20) /* then rows are left out, and a notice says so */
#define ADMIN_GATHER_MAX     256               /* clients of a worker in one turn of its loop */

/* ---- rows --------------------------------------------------------------------------------------
 */

typedef enum AdminType { ADMIN_TEXT, ADMIN_INT4, ADMIN_INT8 } AdminType;

typedef struct AdminColumn {
    const char *name;
    AdminType type;
} AdminColumn;

typedef struct AdminTable AdminTable;

/* DataRow messages, one after the other. */
typedef struct AdminRows {
    const AdminTable *table;
    bool binary; /* as Bind asked for */
    Buf out;
    size_t count;
    bool cut; /* ADMIN_ANSWER_MAX was reached */
    /* of the row that is being written */
    size_t mark;
    size_t cell;
} AdminRows;

void admin_rows_init(AdminRows *rows, const AdminTable *table, bool binary);
void admin_rows_done(AdminRows *rows);
/* False: it would be too much; leave it out. */
NODISCARD bool admin_row_begin(AdminRows *rows);
void admin_row_end(AdminRows *rows);                    /* every column has got its value */
void admin_put_text(AdminRows *rows, const char *text); /* NULL: null */
void admin_put_slice(AdminRows *rows, Slice text);
void admin_put_int(AdminRows *rows, int64_t value);
void admin_put_null(AdminRows *rows);
PRINTF_LIKE(2, 3) void admin_put_format(AdminRows *rows, const char *format, ...);
void admin_put_time(AdminRows *rows, int64_t wall_ms);

void admin_put_description(const AdminTable *table, bool binary, Buf *out); /* RowDescription */

/* ---- commands ----------------------------------------------------------------------------------
 */

typedef struct AdminRequest AdminRequest;

/* `show` fills the rows at once. `gather` is called on each worker's thread, adds what it has, and
 * is called again in a later turn where it returns false; `finish` (may be NULL) at the end. */
struct AdminTable {
    const char *name; /* behind SHOW */
    const AdminColumn *columns;
    size_t column_count;
    void (*show)(const ProxyWorker *worker, AdminRows *rows);
    bool (*gather)(ProxyWorker *worker, AdminRequest *request);
    void (*finish)(AdminRequest *request);
};

typedef enum AdminKind {
    ADMIN_EMPTY,
    ADMIN_SHOW,
    ADMIN_HELP,
    ADMIN_RELOAD,
    ADMIN_REFUSED, /* sqlstate and message say why */
} AdminKind;

typedef struct AdminCommand {
    AdminKind kind;
    const AdminTable *table; /* of SHOW */
    const char *sqlstate;
    char message[160];
} AdminCommand;

AdminCommand admin_command_parse(Slice text);
/* The detail of the notice that SHOW HELP answers with. */
void admin_put_help(Buf *out);

extern const AdminTable admin_tables[]; /* of show.c, by name */
extern const size_t admin_table_count;
extern const AdminTable admin_stat_tables[];
extern const size_t admin_stat_table_count;
extern const AdminTable admin_gather_tables[];
extern const size_t admin_gather_table_count;

/* ---- sessions ----------------------------------------------------------------------------------
 */

struct AdminSession {
    char *user;
    bool may_change; /* in admin_users */
    bool waits;      /* for a request */
    bool simple;     /* what it waits for came as a Query */
    bool skipping;   /* after an error in an extended message, to the next Sync */
    bool has_portal; /* the unnamed one; there is no other */
    bool binary;     /* as its Bind asked for */
    AdminCommand portal;
    Map *statements; /* by name, to an AdminCommand of its own */
};

void admin_put_empty(Buf *out, char type); /* a message without a body */
/* The answer goes to `out`, or comes later: then the session waits. */
void admin_run(ProxyClient *client, const AdminCommand *command, bool binary, Buf *out);
void admin_fail(AdminSession *session, const char *sqlstate, const char *message, Buf *out);
void admin_take_extended(ProxyClient *client, const PgPiece *piece, Buf *out);

/* ---- requests that visit other threads ---------------------------------------------------------
 */

struct AdminRequest {
    ListNode node; /* in home->admin_requests */
    ProxyWorker *home;
    PoolHandle client; /* on home */
    AdminRows rows;    /* of a table */
    uint32_t visited;  /* workers that have been asked */
    size_t cursor;     /* where the one that is asked now goes on */
    Map *lines;        /* what a gather adds up; its finish frees what is in it */
    Err err;           /* of a reload; ERR_NONE: it is in force */
};

/* The client's stream is paused; admin_answered is called on home, unless the client has left. */
void admin_gather_start(ProxyClient *client, const AdminTable *table, bool binary);
void admin_reload_start(ProxyClient *client);
void admin_answered(ProxyClient *client, AdminRequest *request);

#endif
