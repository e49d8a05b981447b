/*
 * The etcd that Weir runs on this host (docs/hosts.md). All of it blocks: for starting, and for
 * jobs.
 */
#ifndef WEIR_SERVE_ETCD_OWN_PRIV_H
#define WEIR_SERVE_ETCD_OWN_PRIV_H

#include "loop/loop.h"
#include "serve/tier_priv.h"

#define ETCD_OWN_MEMBERS 3 /* so many hosts have one */

/* ERR_NOT_FOUND says what to install. */
NODISCARD bool etcd_own_installed(Err *err);

/* The authority of the members and their clients: made where the store begins, and got by a join.
 */
NODISCARD bool etcd_own_authority_make(const Tier *tier, Err *err);
/* Adds StoreCa and StoreCaKey, for a host that joins. */
NODISCARD bool etcd_own_share(const Tier *tier, json_t *share, Err *err);
/* A certificate for this host's net, of members and of serve. */
NODISCARD bool etcd_own_certs_renew(const Tier *tier, Err *err);

/* "https://10.101.0.1:2380", by which members know each other; and where clients ask the one that
 * has it. The caller's. */
char *etcd_own_peer_url(const char *net);
char *etcd_own_endpoint(const char *peer_url);

/* It was a member already. */
bool etcd_own_has_data(const Tier *tier);
bool etcd_own_runs(const Tier *tier);
/* Starts it, unless it runs. `cluster`: all members as --initial-cluster has them, where it has no
 * data yet; NULL: it does, or is the `first`. */
NODISCARD bool etcd_own_start(const Tier *tier, const char *cluster, bool first, Err *err);
NODISCARD bool etcd_own_stop(const Tier *tier, Err *err);
/* Stops it, and takes away what it has. */
NODISCARD bool etcd_own_data_remove(const Tier *tier, Err *err);
void etcd_own_log_bound(const Tier *tier);

/* move.c: the store goes from SQLite to an etcd on this host. */
NODISCARD bool tier_move_ask(const Tier *tier, Err *err); /* the next start of serve does it */
bool tier_move_is_asked(const Tier *tier);
/* Before anything else runs. What fails leaves the tier as it was, and is in tier->move_error. */
void tier_move(Tier *tier, int net_fd);

/* etcd_keeper.c: keeps it running, and its members those of the tier's hosts. `again` is called, on
 * the loop's thread, when serve is to start again with other endpoints. */
typedef struct EtcdKeeper EtcdKeeper;
void etcd_keeper_new(Loop *loop, Jobs *jobs, const Tier *tier, LoopFn *again, void *user,
                     EtcdKeeper **ret_keeper);
void etcd_keeper_free(EtcdKeeper *keeper); /* the jobs are over; NULL is fine */

#endif
