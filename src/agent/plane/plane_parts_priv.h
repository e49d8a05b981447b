/*
 * Inside the agent's planes: planes.c (goals, and who is started and stopped by them), process.c
 * (the processes), talk.c (the conversation with them), seen.c (what is written of them) and
 * upgrade.c (a new binary takes the place of an old process).
 */
#ifndef WEIR_AGENT_PLANE_PARTS_PRIV_H
#define WEIR_AGENT_PLANE_PARTS_PRIV_H

#include "agent/hosts/hosts_priv.h"
#include "agent/mirror_priv.h"
#include "agent/plane/planes_priv.h"

#define PLANE_LINE_MAX    ((size_t)4 << 20)
#define PLANE_NAME_MAX    127
#define PLANE_VERSION_MAX 63
#define SPAWN_AGAIN_MS    1000 /* from one start to the next; twice as long each time in vain */

/* What a process was told: the goal's revision, and who leads what in it. */
typedef struct PlaneConfig {
    int64_t epoch; /* 0: nothing */
    char *aim;     /* NULL: nothing */
} PlaneConfig;

/* A process that is to take the place of the one that serves (docs/upgrade.md). */
typedef struct PlaneHeir {
    pid_t pid; /* 0: there is none */
    int pidfd;
    Stream *stream; /* NULL: it has not come yet */
    PlaneConfig told;
    int64_t begun_ms;
    int64_t again_ms; /* not before; after a failure */
    int64_t wait_ms;  /* from one failure to the next attempt; 0: none has failed */
} PlaneHeir;

typedef struct Plane {
    Planes *planes;
    char id[PLANE_NAME_MAX + 1];
    json_t *goal;
    bool listed;      /* when all goals were read last */
    bool ended;       /* no process of it is left, and none shall be */
    bool orphan;      /* no goal names it any more: it ends, and nothing is written of it */
    int64_t epoch;    /* revision of the goal: what the process is told and reports back */
    Stream *stream;   /* NULL: not connected */
    PlaneConfig told; /* on this connection */
    int64_t spawned_ms;
    int64_t spawn_wait_ms; /* from one start to the next; longer as long as none serves */
    int spawned_fd; /* pidfd of the process started last: it may not have its lock yet; -1: none */
    int64_t stop_asked_ms; /* 0: no */
    int64_t again_ms;      /* when the configuration is sent again: after a failure, and before its
                              certificates end; 0: not sent yet */
    json_t *report;        /* applied, refused, status: what seen is made of */
    bool report_changed;
    bool served; /* a process of it has taken its configuration; its end is not told yet */
    int64_t seen_written_ms;
    bool in_job;
    bool job_failed; /* job's own until it is over */
    char *job_text;
    int64_t seen_revision;               /* job's own; -1: not known */
    int64_t unseated_ms;                 /* since when nobody has the seat; 0: somebody has */
    char version[PLANE_VERSION_MAX + 1]; /* of the process that serves; "": not known */
    PlaneHeir heir;
} Plane;

struct Planes {
    AgentOptions options;
    ProcessAccount account; /* of the processes */
    Map *planes;
    StoreWatch *watch;
    LoopFd *watch_fd;
    LoopTimer timer;
    int64_t logs_look_ms;
    int listen_fd;
    Listener *listener;
    bool stopping;
    Plane *upgrading; /* the one that has an heir; NULL: none */
};

/* planes.c */
/* It is no more; its process is left running. No job of it may be under way. */
void planes_drop(Plane *plane);

/* process.c */
char *plane_lock_path(const Plane *plane); /* the caller's */
/* The pid of a process of the plane, serving or leaving; 0 when there is none. */
pid_t plane_pid(const Plane *plane);
/* Of the one that serves: who holds the first byte. */
pid_t plane_seat_pid(const Plane *plane);
/* Nobody serves, nor is anybody left who takes the seat again. Notes since when. */
bool plane_is_missing(Plane *plane);
NODISCARD bool plane_start(Plane *plane, pid_t *ret_pid, int *ret_pidfd, Err *err);
void plane_spawn(Plane *plane); /* starts the one that is to serve; a failure is logged */
/* Whether the process that was spawned last has not ended yet. */
bool plane_spawned_runs(Plane *plane);
/* Ends this process; where it has no lock yet (0), the one that was spawned last. */
void plane_kill(const Plane *plane, pid_t pid);

/* seen.c */
/* Takes the reference. Important news is written at once, the rest once a second. */
void plane_report(Plane *plane, const char *member, json_t *value, bool important);
void plane_seen_write(Plane *plane); /* what has changed, when its time has come */
/* An event of the plane's resource, for people. */
void plane_tell(Plane *plane, const char *category, const char *message);

/* talk.c */
/* RUN/agent.sock. */
NODISCARD bool planes_listen_start(Planes *planes, Err *err);
/* The configuration in force for this connection, and what it is; false: it cannot be made. */
NODISCARD bool plane_config_put(Plane *plane, Stream *stream, PlaneConfig *ret_config, Err *err);
void plane_config_done(PlaneConfig *config); /* what was told is forgotten */
/* To the process that serves, where it was not told this yet. */
void plane_config_send(Plane *plane);
void plane_stop_send(Plane *plane); /* once */
/* The process at the other end of the stream serves now. It is told what has changed since it was
 * told `told`, which is taken over. */
void plane_seat(Plane *plane, Stream *stream, pid_t pid, const PlaneConfig *told);
/* Takes whole lines off what was read, and calls `take` for each as long as it returns true. */
size_t plane_lines(Slice data, bool (*take)(Plane *plane, const json_t *message), Plane *plane);

/* where.c: the address of a node; what a target has of it: its folder, or the link of its
 * instance's relay, whose host part is `relay` (null: its host is not known); who leads a cluster
 * and lets clients in (NULL: nobody does). The texts are the arena's. */
char *plane_node_address(const AgentOptions *options, Arena *arena, const char *node);
json_t *plane_node_target(const AgentOptions *options, const char *node, const char *relay);
/* The others that may lead its cluster. */
json_t *plane_peers_new(const AgentOptions *options, const char *node);
char *plane_leader(const AgentOptions *options, Arena *arena, const char *cluster);

/* group.c: {"role": "primary" | "replica", "available": …} of a member of a replication
 * group, and whether commands are to wait for another leader. */
json_t *plane_group_member(const AgentOptions *options, const char *cluster, const char *node);
bool plane_group_yields(const AgentOptions *options, const char *cluster);

/* upgrade.c */
void plane_upgrade_look(Plane *plane); /* begins, goes on, gives up */
/* The hello of a process that is the heir; false: it is not. */
NODISCARD bool plane_upgrade_greets(Plane *plane, Stream *stream, pid_t pid, const char *version);
void plane_upgrade_end(Plane *plane); /* kills the heir; none is fine */

#endif
