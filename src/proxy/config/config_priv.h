/*
 * config: what a proxy is told (docs/proxy.md, "Configuration"), by the agent or in a file. Read
 * from JSON without side effects, made ready (files, addresses, verifiers, TLS contexts, sockets)
 * by the process, and from then on immutable and shared by all workers.
 */
#ifndef WEIR_PROXY_CONFIG_PRIV_H
#define WEIR_PROXY_CONFIG_PRIV_H

#include <jansson.h>
#include <stdatomic.h>

#include "loop/loop.h"
#include "wire/wire.h"

#define PROXY_WORKERS_MAX            16
#define PROXY_WORKERS_DEFAULT        2
#define PROXY_LISTENERS_MAX          16
#define PROXY_RULES_MAX              1000
#define PROXY_USERS_MAX              200  /* secrets of one proxy, as RDS */
#define PROXY_DATABASES_MAX          1000 /* that have limits of their own */
#define PROXY_ADMINS_MAX             100
#define PROXY_IAM_KEYS_MAX           100
#define PROXY_IAM_HOSTS_MAX          100
#define PROXY_ADMIN_DATABASE         "weir"
#define PROXY_CLIENTS_MAX_DEFAULT    10000
#define PROXY_CLIENTS_MAX            100000
#define PROXY_SERVERS_MAX            10000
#define PROXY_DEPOSED_MAX            16
#define PROXY_RESERVED_MAX           16
#define PROXY_REPLICAS_MAX           15
#define PROXY_TARGETS_MAX            (1 + PROXY_REPLICAS_MAX)
#define PROXY_LAG_MAX_DEFAULT        30000 /* ms */
#define PROXY_BORROW_TIMEOUT_DEFAULT 120   /* s */
#define PROXY_SHARED_MAX             16
#define PROXY_IDLE_CLIENT_DEFAULT    1800 /* s */
#define PROXY_IDLE_SERVER_DEFAULT    300  /* s */
#define PROXY_SILENT_SERVER_DEFAULT  20   /* s */

/* A source that may connect. */
typedef struct ProxyRule {
    NetCidr cidr;
    uint16_t from_port, to_port; /* of the listener */
} ProxyRule;

/* A bound socket, which outlives configurations that agree on it. */
typedef struct ProxySocket {
    atomic_size_t refs;
    char *address;
    uint16_t port;
    int fd;
} ProxySocket;

typedef struct ProxyListener {
    char *address;
    uint16_t port;
    char *cert_file, *key_file; /* where the next two come from; NULL: they were given */
    char *cert_pem;             /* NULL: no TLS here */
    Secret key_pem;
    char *client_ca_file;
    char *client_ca_pem;                /* who vouches for clients; NULL: they show nothing */
    bool link;                          /* for processes of the tier on other hosts alone */
    ProxySocket *socket;                /* made by the process */
    TlsContext *tls[PROXY_WORKERS_MAX]; /* one per worker; NULL: no TLS */
} ProxyListener;

/* Of a user, or of a database; 0: none. */
typedef struct ProxyLimit {
    uint32_t clients;
    uint32_t servers; /* connections to the target, of all workers together */
} ProxyLimit;

typedef struct ProxyDatabase {
    char *name;
    ProxyLimit limit;
} ProxyDatabase;

typedef struct ProxyUser {
    char *name;
    Secret password;     /* for the server; not set: only the verifier is known, if that */
    char *password_file; /* where it comes from; NULL: it was given */
    Secret previous;     /* the password before, which is as good while it is being changed */
    char *previous_file;
    bool md5; /* clients prove it by md5, not by SCRAM */
    bool iam; /* they have a token of one of the pool's access keys instead */
    char
        *cert_name; /* clients show a certificate of this common name; NULL: they have a password */
    ProxyLimit limit;
    bool verifier_given;
    ScramVerifier verifier;          /* for clients; made by the process where it was not given */
    ScramVerifier previous_verifier; /* the same salt; iterations 0: there is none */
} ProxyUser;

/* In libpq's words; what a prefix of them checks, the next one checks, too. */
typedef enum TargetTls {
    TARGET_TLS_DISABLE,
    TARGET_TLS_REQUIRE,     /* encrypted, to whomever */
    TARGET_TLS_VERIFY_CA,   /* to somebody whom the authority knows */
    TARGET_TLS_VERIFY_FULL, /* to the host of that name */
    TARGET_TLS_LINK,        /* to a link: from the first byte, with a certificate of our own */
} TargetTls;

/* What a process shows at another host's link (LINK_CLIENT of the model); nobody else has a
 * certificate of this name. */
#define PROXY_LINK_NAME "weir-plane"

typedef struct ProxyNames {
    char **items;
    size_t count;
} ProxyNames;

typedef struct ProxyTarget {
    char *id;         /* NULL: there is no target at present */
    char *socket_dir; /* of its Unix socket; or */
    char *host;       /* an address or a name */
    uint16_t port;
    TargetTls tls;
    char *ca_file;
    ProxyNames deposed; /* ids of targets in whose place it is: connections there end at once */
    char *cert_pem;     /* of a link: our own */
    Secret key_pem;
    uint32_t max_connections;
    bool synchronous;     /* commits there wait for standbys: see pulse_priv.h */
    bool right_enforced;  /* and whoever has not heard of that for a while does not answer */
    char *probe_user;     /* by whom that is asked; NULL: one of the users */
    uint32_t servers_max; /* our share of those, of all workers together */
    uint32_t servers_idle_max;
    /* Made by the process. */
    NetAddr addr;
    char at[NET_ADDR_TEXT_SIZE]; /* the same, as text; empty: there is none */
    char *ca_pem;
    TlsContext *contexts[PROXY_WORKERS_MAX]; /* one per worker; NULL: no TLS */
} ProxyTarget;

/* Who serves what reads. */
typedef enum ProxyReads {
    READS_PRIMARY,  /* the target; replicas are not used */
    READS_REPLICAS, /* a replica, and writes fail there; the target is not used */
    READS_SPLIT,    /* a replica where a transaction only reads; all else the target */
} ProxyReads;

typedef struct ProxyIamKey {
    char *id;
    Secret secret;
    char *secret_file; /* where it comes from; NULL: it was given */
} ProxyIamKey;

/* Whose tokens count, and what they must be for. */
typedef struct ProxyIam {
    char *region; /* NULL: nobody's do */
    ProxyNames hosts;
    ProxyIamKey *keys;
    size_t key_count;
} ProxyIam;
/* How the workers wait for their connections (loop_use_uring). */
typedef enum ProxyIo {
    PROXY_IO_EPOLL,
    PROXY_IO_AUTO,  /* by io_uring where the system has it */
    PROXY_IO_URING, /* and not otherwise */
} ProxyIo;

extern const char *const proxy_io_names[3];

typedef struct ProxyConfig {
    atomic_size_t refs;
    bool relay;
    uint32_t workers;
    ProxyListener listeners[PROXY_LISTENERS_MAX];
    size_t listener_count;
    bool require_tls;
    bool debug_logging;
    bool holds_secrets; /* the JSON itself, and not only files that it names */
    bool rules_given;   /* without them everybody may connect */
    ProxyRule *rules;
    size_t rule_count;
    ProxyIo io;
    uint32_t clients_max;
    int64_t idle_client_ms; /* 0: no limit */
    uint32_t silent_client_s, silent_server_s;
    int64_t upgrade_drain_ms;
    ProxyTarget target;        /* the writer: number 0 */
    bool relay_trusts;         /* whom the target lets in without a proof comes in */
    ProxyNames relay_reserved; /* roles that nobody comes as: they are this process's own */
    /* pool only */
    ProxyTarget replicas[PROXY_REPLICAS_MAX]; /* numbers 1 and up; those without an id are none */
    ProxyReads reads;
    int64_t lag_max_ms; /* 0: no bound */
    bool client_md5;    /* how roles are asked for a password that are no users: by md5 */
    ProxyIam iam;
    ProxyUser *users;
    size_t user_count;
    ProxyDatabase *databases;
    size_t database_count;
    bool limited;                /* a user or a database is */
    int64_t borrow_ms;           /* 0: no limit */
    uint32_t shared_connections; /* lines per worker, user and database; 0: none */
    bool shared_listeners;       /* clients that listen share a connection for it */
    bool resend_reads;           /* that a lost server has not answered */
    bool keep_listening;         /* clients outlive the connection that listens for them */
    int64_t idle_server_ms;
    char *init_query;       /* NULL: none */
    char *admin_database;   /* there is one where somebody is listed */
    ProxyNames admin_users; /* may do everything there */
    ProxyNames stats_users; /* may look */
} ProxyConfig;

/* Every member that is missing, wrong, or not known is refused by name. */
NODISCARD bool proxy_config_parse(const json_t *json, ProxyConfig **ret_config, Err *err);
ProxyConfig *proxy_config_ref(ProxyConfig *config); /* any thread */
void proxy_config_unref(ProxyConfig *config);       /* any thread; NULL is fine */

/* The listener that has this socket; NULL: none has any more. */
const ProxyListener *proxy_config_listener(const ProxyConfig *config, const ProxySocket *socket);
const ProxyUser *proxy_config_user(const ProxyConfig *config, Slice name); /* NULL: unknown */
/* Somebody whom a server lets in: one with a password, if there is one; NULL: there is nobody. */
const char *proxy_config_login_user(const ProxyConfig *config);
ProxyLimit proxy_config_user_limit(const ProxyConfig *config, Slice name);
ProxyLimit proxy_config_database_limit(const ProxyConfig *config, Slice name);
/* Whether a database of this name is the proxy itself. */
bool proxy_config_is_admin(const ProxyConfig *config, Slice database);
bool proxy_names_have(const ProxyNames *names, Slice name);
/* Whether this peer may connect to a listener on `port`. */
bool proxy_config_admits(const ProxyConfig *config, const NetAddr *peer, uint16_t port);
/* Targets by number; a replica keeps its number from configuration to configuration. */
const ProxyTarget *proxy_config_target(const ProxyConfig *config, size_t number);
/* Whether it is there, and this proxy has a use for it. */
bool proxy_config_uses(const ProxyConfig *config, size_t number);
/* The number of the one that is used at this address; PROXY_TARGETS_MAX: there is none. */
size_t proxy_config_target_at(const ProxyConfig *config, const char *at);
/* Of all targets that are used. */
uint32_t proxy_config_servers_max(const ProxyConfig *config);
uint32_t proxy_config_servers_idle_max(const ProxyConfig *config);
/* `config` is ready but for the order of its replicas: those that `old` (may be NULL) has keep
 * their numbers. */
void proxy_config_order_replicas(ProxyConfig *config, const ProxyConfig *old);
/* Of two that are ready: connections to the target are of the old one. */
bool proxy_config_target_outdated(const ProxyConfig *old, const ProxyConfig *config, size_t number);
/* And so is what servers have said: others say it now, and none stays of those that did. */
bool proxy_config_outdates(const ProxyConfig *old, const ProxyConfig *config);
/* What somebody who writes it by hand did not mean: reads that nobody serves, and replicas that
 * nobody uses. In a tier both come and go. */
NODISCARD bool proxy_config_check_reads(const ProxyConfig *config, Err *err);
/* users.c: the pool's `users`, `client_password_auth` and `databases`; the listeners are
 * known. */
typedef struct Reader Reader;
void proxy_config_parse_users(Reader *pool, ProxyConfig *config);
void proxy_config_parse_databases(Reader *pool, ProxyConfig *config);
/* config.c: a list of texts that are not empty. */
void proxy_config_parse_names(Reader *reader, const char *member, size_t min, size_t max,
                              ProxyNames *names);
/* iam.c: the pool's `iam`. */
void proxy_config_parse_iam(Reader *pool, ProxyConfig *config);
ProxySocket *proxy_socket_ref(ProxySocket *socket);
void proxy_socket_unref(ProxySocket *socket); /* closes with the last; NULL is fine */

#endif
