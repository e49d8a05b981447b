/*
 * The etcd that Weir runs on this host (docs/hosts.md). All of it blocks: for starting, and for
 * jobs.
 */
#ifndef WEIR_SERVE_ETCD_OWN_PRIV_H
#define WEIR_SERVE_ETCD_OWN_PRIV_H

#include "api/api.h"
#include "loop/loop.h"
#include "serve/tier_priv.h"

/* ERR_CONFLICT says what to install, and where. */
NODISCARD bool etcd_own_installed(const Tier *tier, Err *err);

/* "https://10.101.0.1:2380", by which members know each other; and where clients ask the one that
 * has it. The caller's. */
char *etcd_own_peer_url(const char *net);
char *etcd_own_endpoint(const char *peer_url);

/* Where clients ask a member. */
#define ETCD_OWN_PORT       2379
#define ETCD_OWN_PORT_ALONE 2378 /* while a copy becomes the store: no other host knows of it */

/* Of DATA/host.json: this host's member is where the store is asked. The caller's. */
json_t *etcd_own_settings(const Tier *tier, int port);

#define ETCD_OWN_ACCOUNT "etcd"                           /* of its files, and its process */
char *etcd_own_place(const Tier *tier, const char *leaf); /* DATA/etcd/LEAF; the caller's */
bool etcd_own_has_data(const Tier *tier);                 /* it has been a member */
bool etcd_own_runs(const Tier *tier);
/* Each starts it, unless it runs: as the first member of all; as one that was just added
 * (`cluster`: all of them, as --initial-cluster has them); as the one that it has been. */
NODISCARD bool etcd_own_begin(const Tier *tier, Err *err);
NODISCARD bool etcd_own_join(const Tier *tier, const char *cluster, Err *err);
NODISCARD bool etcd_own_go_on(const Tier *tier, int port, Err *err);
NODISCARD bool etcd_own_stop(const Tier *tier, Err *err);
/* Stops it, and takes away what it has. */
NODISCARD bool etcd_own_data_remove(const Tier *tier, Err *err);
/* Opens tier->store there; waits until it serves, for it has just been started. */
NODISCARD bool etcd_own_open(Tier *tier, Err *err);
void etcd_own_log_bound(const Tier *tier);
/* Makes what this host has of the store one of a member of its own, which has yet to start. What it
 * had is kept in DATA/etcd/KEPT; where that is there already, an earlier attempt was cut off. */
NODISCARD bool etcd_own_restore(const Tier *tier, const char *kept, Err *err);
/* Puts that back. */
NODISCARD bool etcd_own_restore_undo(const Tier *tier, const char *kept, Err *err);

/* ---- certificates (etcd_cert.c) ----------------------------------------------------------------
 */

/* The authority of the members and their clients: made where the store begins, and got by a join.
 */
NODISCARD bool etcd_own_authority_make(const Tier *tier, Err *err);
/* Adds StoreCa and StoreCaKey, for a host that joins. */
NODISCARD bool etcd_own_share(const Tier *tier, json_t *share, Err *err);
/* Makes DATA/etcd/host.pem, the certificate of this host's member and of its serve, where it is not
 * there or ages. */
NODISCARD bool etcd_own_cert_keep(const Tier *tier, Err *err);

/* ---- members (etcd_decide.c): pure -------------------------------------------------------------
 */

#define ETCD_OWN_MEMBERS 3 /* so many hosts have one */

typedef struct EtcdHost {
    const char *name;
    const char *url; /* of a member there */
    bool seat;       /* it could have one */
    bool draining;
    bool alive;
    bool gone; /* silent for long */
    int64_t joined_ms;
} EtcdHost;

/* What is known in one look. */
typedef struct EtcdView {
    const char *host;     /* this one */
    const char *url;      /* its member's, where it has one */
    StoreMembers members; /* as etcd tells */
    const EtcdHost *hosts;
    size_t hosts_len;
    const char *removed; /* the name of a member whose host was removed; NULL: there is none */
    bool installed;      /* this host could have one */
    bool has_data;
    bool runs;
} EtcdView;

typedef enum EtcdStepKind {
    ETCD_STEP_NONE,
    ETCD_STEP_REMOVE,  /* takes `member` out */
    ETCD_STEP_PROMOTE, /* `member` votes from now on */
    ETCD_STEP_ADD,     /* this host gets one, as a learner, with nothing of an earlier one */
    ETCD_STEP_START,   /* the one that was added */
    ETCD_STEP_CLEAR,   /* it is none any more: what it had is of no use */
} EtcdStepKind;

typedef struct EtcdStep {
    EtcdStepKind kind;
    const StoreMember *member;
} EtcdStep;

EtcdStep etcd_decide(const EtcdView *view);
/* This host's; NULL: none. */
const StoreMember *etcd_member_own(const EtcdView *view);

/* Without it nobody would vote. */
bool etcd_is_last_voter(const StoreMembers *members, const StoreMember *member);
HostStoreMember etcd_member_kind(const StoreMembers *members, const StoreMember *member);

/* ---- the first join (move.c) -------------------------------------------------------------------
 */

NODISCARD bool tier_move_ask(const Tier *tier, Err *err); /* the next start of serve does it */
bool tier_move_is_asked(const Tier *tier);
/* The store goes from SQLite to an etcd on this host, before anything else runs. What fails leaves
 * the tier as it was, and is in tier->move_error. */
void tier_move(Tier *tier, int net_fd);

/* ---- recover.c ---------------------------------------------------------------------------------
 */

bool tier_recover_is_asked(const Tier *tier);
/* What this host has of the store becomes the tier's, without the members that others have. Before
 * anything else runs. */
NODISCARD bool tier_recover(Tier *tier, int net_fd, Err *err);

/* ---- past.c ------------------------------------------------------------------------------------
 */

/* Asks the API of the host with this net, for a second at most. *ret_past: the tier has gone on
 * there from a copy of its store, and what is here is the past; `err` says so in words. False: this
 * store does not say. A host that does not answer knows nothing. */
NODISCARD bool past_look(const Tier *tier, const char *host, const char *net, bool *ret_past,
                         Err *err);

/* ---- etcd_keeper.c -----------------------------------------------------------------------------
 */

/* Keeps it running, its members those of the tier's hosts, and where the store is asked those that
 * vote. */
typedef struct EtcdKeeper EtcdKeeper;

/* On the loop's thread. */
typedef struct EtcdKeeperEvents {
    LoopFn *past;  /* this store is the past: the tier has gone on elsewhere */
    LoopFn *other; /* the store is another one by now, made of a copy: to be opened anew */
    void *user;
} EtcdKeeperEvents;

EtcdKeeper *etcd_keeper_new(Loop *loop, const Tier *tier, Agent *agent,
                            const EtcdKeeperEvents *events, Err *err);
void etcd_keeper_free(
    EtcdKeeper *keeper); /* before the loop, the store and the agent; NULL is fine */
/* As of its last look. Any thread. */
HostStoreMember etcd_keeper_member(EtcdKeeper *keeper, const char *host);

/* ---- etcd_release.c ----------------------------------------------------------------------------
 */

/* Takes it out; somebody else may have been faster. */
NODISCARD bool etcd_member_remove(const Tier *tier, const StoreMember *member, Err *err);
/* Takes the member of a host out, before the host is removed: nothing that the store needs goes.
 * ERR_UNAVAILABLE: those that are left could not serve, or do not have all yet. */
NODISCARD bool etcd_member_release(const Tier *tier, const char *host, Err *err);

#endif
