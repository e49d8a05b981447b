/* What hosts.c and self.c share: the table of hosts. */
#ifndef WEIR_AGENT_HOSTS_PARTS_PRIV_H
#define WEIR_AGENT_HOSTS_PARTS_PRIV_H

#include <pthread.h>

#include "agent/hosts/hosts_priv.h"

#define BEAT_MS      400
#define HOSTS_PREFIX "host/"

typedef struct HostEntry {
    AgentHost host;
    bool joined;               /* it has a spec: what others say of themselves counts for nothing */
    bool read;                 /* by the load in progress */
    char agent[AGENT_ID_SIZE]; /* of the beat that was seen last */
    int64_t count;
    int64_t heard_ms; /* of CLOCK_BOOTTIME: when it changed */
    int64_t revision; /* of that beat; 0: there was none */
    bool beats;       /* it changed while we looked: what the store had of it may be long past */
    int64_t missed;   /* turns of ours since then */
    int64_t joined_ms;
} HostEntry;

struct Hosts {
    const AgentOptions *options;
    LoopFn *changed;
    void *user;
    pthread_mutex_t mutex;
    HostEntry items[HOSTS_MAX];
    size_t len;
    StoreWatch *watch;
    LoopFd *watch_fd;
    LoopTimer timer;
    bool in_job;
    bool lost;    /* this host's record is not in the store */
    bool removed; /* for it is none of the tier any more */
    /* of the job in progress, else of the loop's thread */
    int64_t beat_revision; /* -1: not known */
    int64_t beat_count;
    int64_t beat_ms; /* when the last one was begun that the store took; 0: none was */
};

/* With the lock held. NULL: there is none. */
HostEntry *host_entry_find(Hosts *hosts, Slice name);

/* ---- of this host itself (self.c) -------------------------------------------------------------
 */

int64_t host_self_memory_bytes(void);
/* Where its record is not in the store: it was removed, or the record is written again. */
void host_self_judge(Hosts *hosts);
/* Each BEAT_MS. */
void host_self_beat(Hosts *hosts);

#endif
