/*
 * plane: what the data-plane processes (weir proxy, weir front) have in common: their arguments,
 * the lock that says they live, and their side of the agent's socket (docs/state.md, "Data-plane
 * processes"). It gets the configuration, reports status and events, and keeps trying when the
 * agent is away: nobody stops serving for that.
 */
#ifndef WEIR_PLANE_H
#define WEIR_PLANE_H

#include <jansson.h>

#include "base/base.h"
#include "loop/loop.h"

#define PLANE_ID_MAX       128
#define PLANE_LINE_MAX     ((size_t)4 << 20) /* one message of JSON */
#define PLANE_RECONNECT_MS 200
#define PLANE_EVENTS_MAX   64 /* kept while the agent is away; then the oldest go */

typedef struct Plane Plane;

typedef struct PlaneHandlers {
    /* What is to be in force; it may be what is so already (after each connection to the agent, at
     * least), and then files that it names are read anew. True: it is in force now. False: it is
     * refused for the reason in err, and the one before stays. `config` is borrowed. */
    bool (*on_config)(void *user, const json_t *config, Err *err);
    /* Finish and exit: the agent says so, or it is gone and has removed the lock. May come more
     * than once. */
    void (*on_stop)(void *user);
} PlaneHandlers;

typedef struct PlaneArgs {
    const char *id;
    const char *run_dir;
} PlaneArgs;

/* "--id ID --run RUN" and nothing else; argv[0] is the subcommand's name. The texts are argv's. */
NODISCARD bool plane_args_parse(int argc, char **argv, PlaneArgs *ret_args, Err *err);

/* ---- one process after the other (docs/upgrade.md) ---------------------------------------------
 */

#define SUCCESSION_READY_MS   30000 /* from the heir's coming to its being ready */
#define SUCCESSION_COMMIT_MS  5000  /* that the heir waits for the serving one then */
#define SUCCESSION_JOIN_MS    5000  /* after that a leaving one that has not come may be no more */
#define SUCCESSION_SOCKETS    20    /* that can be handed on */
#define SUCCESSION_QUEUED_MAX 20000 /* messages to one other process; with more its link is cut */
#define SUCCESSION_BOOK_BYTES ((size_t)48 << 10) /* of one piece of a book, about */
#define UPGRADE_DRAIN_DEFAULT 3600               /* s; `upgrade_drain_s` */
#define UPGRADE_DRAIN_MAX     604800

typedef struct Succession Succession;
typedef struct SuccessionLink SuccessionLink; /* to a leaving process, or to the one that serves */

typedef struct SuccessionSockets {
    json_t *names;
    int fds[SUCCESSION_SOCKETS]; /* they stay the owner's */
    size_t len;
} SuccessionSockets;

/* All are called from turns of the loop, but on_book, which succession_take may call. */
typedef struct SuccessionHandlers {
    /* Which sockets there are; false: it cannot hand over now (it stops, or has none yet). */
    bool (*on_offer)(void *user, SuccessionSockets *sockets);
    /* From its return on nobody is accepted, and what is held is written into `books`. */
    void (*on_leave)(void *user, json_t *books);
    /* The successor serves: go on with the clients that are there. on_joined comes first, where
     * there is a link. */
    void (*on_left)(void *user);
    /* The successor is gone, and it serves again: accept. */
    void (*on_return)(void *user);
    /* What is held by it (a leaving process) now. */
    void (*on_hold)(void *user, json_t *books);
    /* What others hold: an array of objects, `of` is the generation. It replaces what was known of
     * those that are in it. */
    void (*on_book)(void *user, const json_t *books);
    /* A leaving process is there to talk to; the other way round, the serving one. */
    void (*on_joined)(void *user, SuccessionLink *link);
    /* It is not any more. `gone`: what it held is free. */
    void (*on_parted)(void *user, uint32_t generation, bool gone);
    void (*on_message)(void *user, SuccessionLink *link, const json_t *message);
    /* To a leaving process, from the serving one. */
    void (*on_config)(void *user, const json_t *config);
    void (*on_stop)(void *user);
} SuccessionHandlers;

typedef struct SuccessionWhere {
    const char *const *doors; /* where to ask for a serving process, ended by NULL; the first is the
                                 door's own name: a path, or "@name" */
    const char *lock_path;    /* the seat's file; NULL: it runs alone */
    bool ask;                 /* whether a serving process is asked for its place */
} SuccessionWhere;

/* Asks for the place where that is wanted and somebody serves; otherwise takes the seat
 * (ERR_EXISTS: another process has it). */
NODISCARD bool succession_new(Loop *loop, const SuccessionWhere *where,
                              const SuccessionHandlers *handlers, void *user,
                              Succession **ret_succession, Err *err);
void succession_free(Succession *succession); /* NULL is fine */

bool succession_is_heir(const Succession *succession);
bool succession_is_leaving(const Succession *succession);
uint32_t succession_generation(const Succession *succession);
int succession_seat_fd(const Succession *succession);
/* The socket of this name that was handed on, once; it is the caller's then. -1: there is none. */
int succession_socket(Succession *succession, const char *name);
/* Everything is ready to accept. An heir takes the place now, which blocks for SUCCESSION_COMMIT_MS
 * at most; whoever has it already opens its door. Once. */
NODISCARD bool succession_take(Succession *succession, Err *err);
/* It accepts. */
void succession_serves(Succession *succession);
/* What is in force now, for leaving processes; borrowed. It holds secrets. */
void succession_config(Succession *succession, const json_t *config);
/* Ends leaving processes and the heir; from here on nothing is handed over. */
void succession_stop(Succession *succession);
/* Sends a message, which it takes. */
void succession_send(SuccessionLink *link, json_t *message);
uint32_t succession_link_generation(const SuccessionLink *link);
pid_t succession_link_pid(const SuccessionLink *link); /* 0: not known */

/* ---- the agent ---------------------------------------------------------------------------------
 */

/* The seat's file and the door of a plane, and the succession of its process. */
NODISCARD bool plane_succession_new(Loop *loop, const PlaneArgs *args,
                                    const SuccessionHandlers *handlers, void *user,
                                    Succession **ret_succession, Err *err);

/* Raises the limit of open files as far as it goes, and starts to connect. Handlers are called from
 * turns of `loop`. */
NODISCARD bool plane_new(Loop *loop, const PlaneArgs *args, const Succession *succession,
                         const PlaneHandlers *handlers, void *user, Plane **ret_plane, Err *err);
void plane_free(Plane *plane); /* NULL is fine */

/* A leaving process has nothing to say to the agent; one that has returned has. NULL is fine. */
void plane_leave(Plane *plane);
void plane_return(Plane *plane);

/* As far as it goes; for those who run without a plane. */
void plane_raise_file_limit(void);

/* Reports the status, which it takes; sent only where it differs from what the agent was last told.
 * Call it each second. */
void plane_status(Plane *plane, json_t *status);
PRINTF_LIKE(2, 3) void plane_event(Plane *plane, const char *format, ...);
bool plane_connected(const Plane *plane);

#endif
