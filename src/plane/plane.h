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
    /* A configuration that differs from the one in force. True: it is in force now. False: it is
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

/* Takes the lock RUN/plane/ID.lock (ERR_EXISTS when another process holds it), raises the limit of
 * open files as far as it goes, and starts to connect. Handlers are called from turns of `loop`. */
NODISCARD bool plane_new(Loop *loop, const PlaneArgs *args, const PlaneHandlers *handlers,
                         void *user, Plane **ret_plane, Err *err);
void plane_free(Plane *plane); /* NULL is fine; the lock goes with it */

/* As far as it goes; for those who run without a plane. */
void plane_raise_file_limit(void);

/* Reports the status, which it takes; sent only where it differs from what the agent was last told.
 * Call it each second. */
void plane_status(Plane *plane, json_t *status);
PRINTF_LIKE(2, 3) void plane_event(Plane *plane, const char *format, ...);
bool plane_connected(const Plane *plane);

#endif
