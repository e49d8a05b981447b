/*
 * agent: this host. It carries out the goals that control wrote for its nodes (engine processes)
 * and planes (data-plane processes), and writes what it saw; docs/state.md has the records. It
 * starts guards and planes detached, finds them again after a restart, and never loses one.
 *
 * One job at a time works on a node, on a thread of the loop's job pool; the loop thread only
 * decides when. Killed at any moment, a new agent goes on from the store, the locks and the files.
 */
#ifndef WEIR_AGENT_H
#define WEIR_AGENT_H

#include "crypto/crypto.h"
#include "loop/loop.h"
#include "model/model.h"
#include "store/store.h"

typedef struct Agent Agent;
typedef struct Hosts Hosts;
typedef struct Mirror Mirror;

#define AGENT_ID_SIZE 17

typedef struct AgentOptions {
    Loop *loop;
    Jobs *jobs;
    Store *store;
    const char *program;       /* the weir binary, for guards and planes */
    const char *data_dir;      /* absolute */
    const char *run_dir;       /* absolute */
    const char *net;           /* "127.1": stands in front of host parts */
    int net_fd;                /* whoever uses the net has it open; 0: nobody does */
    const char *host;          /* goals of other hosts are not ours */
    const uint8_t *master_key; /* AEAD_KEY_SIZE bytes; outlives the agent */
    Slice ca_cert_pem;
    Slice ca_key_pem;
    /* agent_new sets these. */
    char agent_id[AGENT_ID_SIZE]; /* of this life of the agent */
    Hosts *hosts;
    Mirror *mirror;
    bool quiet; /* log warnings only */
    /* This host is none of the tier any more (docs/hosts.md). Loop thread, once; NULL: nobody asks.
     */
    void (*on_removed)(void *user);
    void *user;
} AgentOptions;

NODISCARD bool agent_new(const AgentOptions *options, Agent **ret_agent, Err *err);
/* Forgets everything and leaves engines and planes running (RULES O1, O2). */
void agent_free(Agent *agent);

/* A host of the tier, as this one sees it. */
typedef struct AgentHost {
    char name[HOST_NAME_SIZE];
    char net[HOST_NET_SIZE];
    char zone; /* 0: it stands for all of them */
    bool alive;
    bool draining;
    bool seat;                       /* it could have a member of the store's etcd */
    char engines[HOST_ENGINES_SIZE]; /* majors that are installed there: "postgres 15, redis 7" */
    int64_t joined_ms;
    char agent[AGENT_ID_SIZE]; /* that beats there; "": since this one listens none has */
    int64_t silent_ms;         /* since its last word was seen, while this one listened */
    int64_t memory_bytes;      /* 0: not known */
} AgentHost;

/* Thread-safe. By no order; returns how many there are: none where this one was removed. */
size_t agent_hosts(Agent *agent, AgentHost out[static HOSTS_MAX]);

/* Stops planes, then primaries, then whatever follows them; calls done on the loop thread when
 * nothing of the tier runs on this host any more. Goals are not touched. */
void agent_stop_all(Agent *agent, void (*done)(void *user), void *user);

#endif
