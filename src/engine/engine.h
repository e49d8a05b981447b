/*
 * engine: how to run PostgreSQL and Redis on this host. Configure, make or clone a data directory,
 * know when it serves, set up roles, observe. Everything here is straight-line blocking code with
 * deadlines, made for jobs; nothing here decides what should run, and nothing starts an engine:
 * engine_*_argv give the command that a guard runs.
 *
 * Sources: PostgreSQL 15 documentation (server configuration, pg_hba.conf, high availability),
 * redis.conf of Redis 7.0, RULES F4, F7, F13.
 */
#ifndef WEIR_ENGINE_H
#define WEIR_ENGINE_H

#include "base/base.h"
#include "loop/loop.h"
#include "model/model.h"

/* ---- accounts and files ---------------------------------------------------------------------- */

/* The account `name` when we are root, else ourselves. ERR_NOT_FOUND names the missing account. */
NODISCARD bool engine_account(const char *name, ProcessAccount *ret_account, Err *err);

/* One node's places. All absolute. */
typedef struct EnginePaths {
    const char *root;       /* DATA/zone-Z/NODE, 0700, the engine's account */
    const char *data;       /* root/data */
    const char *conf;       /* root/conf */
    const char *tls;        /* root/tls */
    const char *log;        /* root/log/engine.log */
    const char *socket_dir; /* RUN/node/NODE: the engine's own, and root's */
    const char *client_dir; /* RUN/clients/NODE: the data plane's way in, see pg_gate_open */
} EnginePaths;

/* The places of `node` in the folder of its zone and in the runtime folder. */
EnginePaths engine_paths(Arena *arena, const char *zone_dir, const char *run_dir, const char *node);
/* Makes root, conf, tls, log (not data) and the socket folder with their owners. */
NODISCARD bool engine_dirs_make(const EnginePaths *paths, const ProcessAccount *account, Err *err);

typedef struct EngineTls {
    Slice cert_pem; /* server certificate of this node */
    Slice key_pem;
    Slice client_cert_pem; /* how this node logs in to the one it follows */
    Slice client_key_pem;
    Slice ca_pem;
} EngineTls;

/* Writes the files under paths->tls, 0600, where they differ. */
NODISCARD bool engine_tls_write(const EnginePaths *paths, const ProcessAccount *account,
                                const EngineTls *tls, bool *ret_changed, Err *err);

typedef struct EngineSetting {
    const char *name;
    const char *value;
} EngineSetting;

/* Why an engine ended soon after its start, as far as the end of its log tells: one line, the
 * caller's; "its log does not say why" where it does not. */
char *engine_last_words(const char *log_path);

/* PostgreSQL and Redis as far as they are installed, newest first; `map` stays NULL. In the arena.
 * on_missing, which may be NULL, is called for an engine that is not there. Runs programs: blocks.
 */
EngineVersions engine_versions_find(Arena *arena, void (*on_missing)(const Err *err));
/* Whether there is one of each. ERR_NOT_FOUND says which is missing. Runs programs: blocks. */
NODISCARD bool engine_all_installed(Err *err);

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

#define PG_SUPERUSER        "rdsadmin"     /* ours; peer authentication only */
#define PG_REPLICATION_USER "rdsrepladmin" /* physical replication only, by client certificate */
#define PG_PULSE_USER                                                                              \
    "rdsproxyadmin" /* of the data plane; peer authentication only, and no rights */
#define PG_PORT 5432

/* One of these: PostgreSQL lets Weir's processes in by it without a password. */
bool pg_is_own_role(const char *name);

typedef struct PgInstall {
    int major;
    const char *version; /* "15.18" */
    const char *bin_dir;
} PgInstall;

typedef struct PgInstalls {
    const PgInstall *items; /* highest major first */
    size_t len;
} PgInstalls;

/* What is installed, by asking each `postgres --version` under /usr/lib/postgresql. */
NODISCARD bool pg_installs_find(Arena *arena, PgInstalls *ret_installs, Err *err);

/* How a node shall run. Strings are borrowed. */
typedef struct PgSpec {
    EnginePaths paths;
    ProcessAccount account;
    PgInstall install;
    const char *cluster_name;      /* shown in ps and logs */
    const char *listen_address;    /* for replication only */
    const char *incarnation;       /* "" before there is a data directory */
    const char *admin_account;     /* the operating system's name of the account we run as */
    const char *plane_account;     /* and of the one that the data plane runs as */
    const EngineSetting *settings; /* of the parameter group; ours come after them and win */
    size_t settings_len;
    const char *synchronous_standby_names; /* a primary's; "" for none */
    bool follows;                          /* in recovery; false: a primary */
    const char *source_address;            /* of one that follows; NULL: nobody at present */
    const Job *job;                        /* the programs end when it is cancelled; NULL: none */
} PgSpec;

/* The walsender name and the slot of an incarnation: "weir_ID" (RULES F4). */
#define PG_STANDBY_NAME_SIZE 64
void pg_standby_name(const char *incarnation, char out[static PG_STANDBY_NAME_SIZE]);

/* Writes postgresql.conf, pg_hba.conf and pg_ident.conf into paths.conf where they differ, durable
 * before it returns. Also sets standby.signal for a node that follows, and empties
 * postgresql.auto.conf when the data directory is there (F13: a clone brings its source's). */
NODISCARD bool pg_configure(const PgSpec *spec, bool *ret_changed, Err *err);
/* The text of postgresql.conf; pure. */
void pg_conf_render(const PgSpec *spec, Buf *out);

/* A follower must not run with less of max_connections and its like than its primary had when it
 * wrote the WAL that is replayed next. pg_floor_keep, called before each start, notes what the
 * control file says in paths.conf; pg_floor_apply raises the settings of a spec to what was noted.
 * Both do nothing for a primary. */
NODISCARD bool pg_floor_keep(const PgSpec *spec, Err *err);
void pg_floor_apply(Arena *arena, PgSpec *spec);
/* Their pure parts: pg_controldata's output to the note, and the note to settings. */
void pg_floor_render(Slice control_data, Buf *out);
void pg_floor_raise(Arena *arena, Slice floor, PgSpec *spec);

/* An empty cluster with checksums and C.UTF-8/en_US.UTF-8, as RDS makes them. Wipes what is there.
 */
NODISCARD bool pg_initdb(const PgSpec *spec, int64_t timeout_ms, Err *err);
/* A copy of the source by pg_basebackup, with the slot of spec->incarnation made at the source.
 * Wipes what is there. */
NODISCARD bool pg_clone(const PgSpec *spec, int64_t timeout_ms, Err *err);
/* Makes the data directory of a stopped engine that has led follow its source again: what the
 * source has not is kept beside it as root/diverged-TIME (the newest PG_DIVERGED_MAX of them), and
 * taken back by pg_rewind. The source must have written a checkpoint on its timeline. *ret_bytes:
 * of WAL that nobody has any more, behind `fork_lsn`; -1: not known. ERR_CONFLICT: it cannot be
 * rewound; clone it. `timeline` is its own. A failure leaves a data directory that cannot be
 * started. */
#define PG_DIVERGED_MAX 3
NODISCARD bool pg_rejoin(const PgSpec *spec, int64_t timeline, uint64_t fork_lsn,
                         int64_t timeout_ms, int64_t *ret_bytes, Err *err);

/* Before a promotion: so many numbers of timelines behind `timeline`, which is left, are not taken.
 * Before each start: what that left, where the promotion did not come about, goes. */
NODISCARD bool pg_timelines_pass_over(const PgSpec *spec, int64_t timeline, int64_t count,
                                      Err *err);
NODISCARD bool pg_timelines_forget(const EnginePaths *paths, Err *err);
/* The newest timeline of which a data directory has WAL. */
NODISCARD bool pg_wal_timeline(const EnginePaths *paths, int64_t *ret_timeline, Err *err);
/* Up to where a stopped follower has certainly replayed: it starts again only on a history that has
 * this. Timeline 0: its control file does not say. */
NODISCARD bool pg_recovered(const PgSpec *spec, int64_t *ret_timeline, uint64_t *ret_lsn, Err *err);
/* Its pure part, of pg_controldata's output. */
void pg_recovered_parse(Slice control_data, int64_t *ret_timeline, uint64_t *ret_lsn);
/* ERR_CONFLICT where the data directory is of another major version. */
NODISCARD bool pg_version_check(const PgSpec *spec, Err *err);
/* The command for the guard; NULL-terminated, from the arena. */
const char *const *pg_argv(Arena *arena, const PgSpec *spec);

/* A session of PG_SUPERUSER over the Unix socket. */
typedef struct PgSession PgSession;
/* ERR_TIMEOUT: it does not answer within `patience_ms`; ERR_UNAVAILABLE: it is away, or says no. */
NODISCARD bool pg_session_open(const EnginePaths *paths, const char *database, int64_t patience_ms,
                               PgSession **ret_session, Err *err);
void pg_session_close(PgSession *session); /* NULL is fine */
/* How long one that does not answer is waited for; then it is of no more use. At first
 * PG_PATIENCE_MS: longer than any statement may take. */
#define PG_PATIENCE_MS 20000
void pg_session_patience(PgSession *session, int64_t patience_ms);
void pg_session_close_ptr(PgSession **session);
/* Runs statements; every one must succeed. ERR_UNAVAILABLE when the server is away, ERR_TIMEOUT
 * when it does not answer: the session is of no more use then. */
NODISCARD bool pg_exec(PgSession *session, const char *sql, Err *err);
/* One statement with text parameters; the first column of the first row, or NULL without a row. */
NODISCARD bool pg_value(PgSession *session, Arena *arena, const char *sql,
                        const char *const *params, size_t params_len, char **ret_value, Err *err);

/* Removes the lock files of the data directory and of the socket, of an engine that is proven dead
 * with all its children. PostgreSQL would take a zombie that nobody has reaped yet for a living
 * one. */
NODISCARD bool pg_stale_locks_remove(const EnginePaths *paths, Err *err);

/* What a primary must have, made idempotently: our roles, the master user with its verifier (never
 * the password itself), the first database, the replication user. The cluster itself remembers what
 * was done: a password that its user has changed since stays. */
typedef struct PgSetup {
    const char *master_user;
    const char *master_verifier; /* "SCRAM-SHA-256$…" */
    int64_t password_epoch;      /* of the verifier */
    const char *database;        /* "" for none */
} PgSetup;
NODISCARD bool pg_setup(const EnginePaths *paths, const PgSetup *setup, Err *err);

/* Whether clients reach the engine that runs; and letting them, through client_dir, which `readers`
 * may enter. Holds for this run of the engine: the next one starts with its gate closed. */
bool pg_gate_is_open(const EnginePaths *paths);
NODISCARD bool pg_gate_open(const EnginePaths *paths, gid_t readers, Err *err);

typedef struct PgStandbySeen {
    const char *name; /* application_name */
    const char *state;
    const char *sync_state;
    int64_t flush_lag_bytes;
} PgStandbySeen;

/* A timeline begins where the one before it was left. */
typedef struct PgFork {
    int64_t timeline;
    uint64_t lsn;
} PgFork;
#define PG_FORKS_MAX 32 /* the newest of them */

typedef struct PgSeen {
    bool in_recovery;
    bool streaming;     /* a standby whose receiver is connected */
    int64_t heard_ms;   /* of that: since its last message; -1: there was none */
    bool replay_paused; /* a standby that needs a start with more of what its primary has */
    int64_t timeline;   /* it writes, or of the newest WAL that it has received */
    int64_t checkpoint_timeline;  /* of its control file */
    const PgFork *forks;          /* of a primary: how its timeline came to be, the oldest first; */
    size_t forks_len;             /* the last is its own; none: it is the first */
    uint64_t end_lsn;             /* insert position; of a standby what it has received */
    const char *lsn;              /* insert position, or the replayed one of a standby */
    int64_t replay_lag_ms;        /* of a standby; -1 unknown */
    const char *pending_restart;  /* comma-separated names; "" for none */
    const char *foreign_settings; /* names that a file other than ours set (F13); "" for none */
    const char *version;          /* "15.18" */
    const char *sync_names;       /* as a new session sees them */
    const PgStandbySeen *standbys;
    size_t standbys_len;
} PgSeen;

NODISCARD bool pg_observe(PgSession *session, const EnginePaths *paths, Arena *arena,
                          PgSeen *ret_seen, Err *err);
/* Whether its postmaster stands still (SIGSTOP), as the host sees it; false where that is not
 * known.
 */
bool pg_is_halted(const EnginePaths *paths);
/* Makes the physical slot of an incarnation where there is none. */
NODISCARD bool pg_slot_ensure(PgSession *session, const char *incarnation, Err *err);
/* The incarnations that own a physical slot of ours which nobody uses at present. */
typedef struct PgSlots {
    const char **incarnations;
    size_t len;
} PgSlots;
NODISCARD bool pg_slots_idle(PgSession *session, Arena *arena, PgSlots *ret_slots, Err *err);
/* Ends those who send WAL; they come back, and read the configuration anew. */
NODISCARD bool pg_walsenders_end(PgSession *session, Err *err);
NODISCARD bool pg_slot_drop(PgSession *session, const char *incarnation, Err *err);
/* "16/B374D848", as PostgreSQL writes positions in WAL. */
NODISCARD bool pg_lsn_parse(Slice text, uint64_t *ret_lsn);
/* Ends recovery; returns at once. */
NODISCARD bool pg_promote(PgSession *session, Err *err);
/* Whether clients have transactions open, and whether any has begun something so lately. */
NODISCARD bool pg_clients_look(PgSession *session, int64_t within_ms, bool *ret_busy,
                               bool *ret_heard, Err *err);
/* Makes changed files count: pg_reload_conf, and waits until a new session sees it. */
NODISCARD bool pg_reload(PgSession *session, Err *err);

/* ---- Redis ----------------------------------------------------------------------------------- */

#define REDIS_PORT             6379
#define REDIS_ADMIN_USER       "weir_admin"
#define REDIS_REPLICATION_USER "weir_replication" /* and "_HOST": one for each host */
#define REDIS_CLIENT_USER      "weir_client"      /* whom the front logs in as */
/* As whom the front asks whether a replica has what was written, with the client's password. ECHO
 * is its user's only while the node may acknowledge writes alone. */
#define REDIS_GATE_USER "weir_gate"

typedef struct RedisInstall {
    const char *version; /* "7.0.15" */
    const char *program;
} RedisInstall;

NODISCARD bool redis_install_find(Arena *arena, RedisInstall *ret_install, Err *err);

typedef struct RedisSpec {
    EnginePaths paths;
    ProcessAccount account;
    RedisInstall install;
    const char *listen_address;
    const char *host;         /* where it is */
    const char *const *hosts; /* where the group's members are: only from there it is followed */
    size_t hosts_len;
    const char *admin_password; /* one per group, made by us */
    const char *replication_password;
    const char *client_password;
    const EngineSetting *settings;
    size_t settings_len;
    int64_t maxmemory_bytes;
    const char *source_address; /* NULL: the primary */
    bool alone;                 /* as redis_let_alone said last; no engine starts so */
} RedisSpec;

void redis_conf_render(const RedisSpec *spec, Buf *out);
void redis_acl_render(const RedisSpec *spec, Buf *out);
NODISCARD bool redis_configure(const RedisSpec *spec, bool *ret_changed, Err *err);
const char *const *redis_argv(Arena *arena, const RedisSpec *spec);

#define REDIS_HISTORY_SIZE 41 /* a replication id, with the NUL */
#define REDIS_REPLICAS_MAX 16

/* A replica as its primary sees it. */
#define REDIS_NOWHERE "240.0.0.1" /* a source that is none: a reserved address (RFC 1112) */

typedef struct RedisReplica {
    char address[64];
    bool online;    /* it streams */
    int64_t lag_s;  /* since its last word */
    int64_t offset; /* and what it had carried out by then */
} RedisReplica;

typedef struct RedisSeen {
    bool is_replica;
    char source[64]; /* the address that a replica follows; "" */
    bool link_up;    /* and it does */
    bool loading;
    bool whole; /* its log has what it has: not yet behind a full copy, until it is written anew */
    char history[REDIS_HISTORY_SIZE];
    int64_t offset;  /* what it has of that: written, or of a replica carried out */
    int64_t changes; /* how many there were, by some count that begins anew now and then: as many as
                        at another look, and nothing was written in between */
    RedisReplica replicas[REDIS_REPLICAS_MAX];
    size_t replicas_len;
} RedisSeen;

/* Over the Unix socket, as REDIS_ADMIN_USER. ERR_TIMEOUT: it does not answer within `patience_ms`;
 * ERR_UNAVAILABLE: it is not there yet, or not any more. */
NODISCARD bool redis_observe(const RedisSpec *spec, int64_t patience_ms, RedisSeen *ret_seen,
                             Err *err);
/* CONFIG SET for what may change while running and for its certificates, ACL SETUSER for each user.
 * Nobody is disconnected where nothing changed. */
NODISCARD bool redis_apply(const RedisSpec *spec, Err *err);
/* Its users alone: whoever may not replicate any more is disconnected. */
NODISCARD bool redis_apply_users(const RedisSpec *spec, Err *err);
/* REPLICAOF: spec->source_address, or nobody. Done when it has answered. */
NODISCARD bool redis_follow(const RedisSpec *spec, Err *err);
/* Commands that write wait, until redis_resume or for so long. */
NODISCARD bool redis_pause(const RedisSpec *spec, int64_t pause_ms, Err *err);
NODISCARD bool redis_resume(const RedisSpec *spec, Err *err);
#define REDIS_STANDSTILL_MS 30000 /* an agent may stand still for so long in redis_demote */
/* redis_follow of a primary that has changed nothing since it was seen, and then its clients go on;
 * they only go on, with *ret_done false, where it has. They wait meanwhile. A failure may leave
 * them waiting: redis_resume. */
NODISCARD bool redis_demote(const RedisSpec *spec, int64_t changes, bool *ret_done, Err *err);
/* Whether the gate's user may acknowledge writes that no replica has. Done when it has answered. */
NODISCARD bool redis_let_alone(const RedisSpec *spec, bool alone, Err *err);
/* Whether the folder holds what a Redis has written (its log of writes). */
bool redis_data_is_there(const EnginePaths *paths);

#endif
