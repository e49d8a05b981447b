/* What `weir run` is made of: texts and decisions (pure), and the command's own view of /etc/hosts.
 */
#ifndef WEIR_CLI_RUN_PRIV_H
#define WEIR_CLI_RUN_PRIV_H

#include <jansson.h>

#include "base/base.h"

/* ---- the environment (env.c) ------------------------------------------------------------- */

/* Whether an SDK would follow this variable of the caller's away from the tier. */
bool run_env_leads_away(const char *name);
/* `list` (NULL: none) with what it lacks of `more`, joined by commas. The caller frees it. */
char *run_list_add(const char *list, const char *const *more);
/* Sets the variables, and removes what leads away. Where the caller's HTTP goes through a proxy,
 * what goes to `hosts` (ended by NULL) does not. */
void run_env_apply(const json_t *vars, const char *const *hosts);

/* ---- names (hosts.c) --------------------------------------------------------------------- */

/* Appends a hosts file: `names` (ended by NULL) at `address`, then what `real` says of others. */
void run_hosts_text(Slice real, const char *address, const char *const *names, Buf *out);
/* The address of "https://ADDRESS:PORT"; NULL where it has another form. From the arena. */
const char *run_endpoint_address(Arena *arena, const char *endpoint);

/* ---- Node (node.c) ----------------------------------------------------------------------- */

/* Whether a command of this name runs Node: node, npm, npx, … */
bool run_node_is_name(const char *command);
/* Whether a file that begins so is a program for Node: "#!/usr/bin/env node". */
bool run_node_is_script(Slice head);
/* NODE_OPTIONS with --require `preload` behind what was there (NULL: nothing). The caller frees it.
 */
char *run_node_options(const char *old, const char *preload);
/* node_preload.cjs, NUL-terminated. */
extern const char run_node_preload[];

/* ---- the command's own /etc/hosts (space.c) ---------------------------------------------- */

typedef struct RunSpace {
    Slice hosts;        /* the text */
    const char *folder; /* exists; covered for a moment, unseen by others */
    const char *name;   /* a name in the text, and its address: run_space_try looks it up */
    const char *address;
} RunSpace;

/* Whether run_space_enter would work and names would be found, tried in a child. */
NODISCARD bool run_space_try(const RunSpace *space, Err *err);
/* Puts this process into a mount namespace of its own in which /etc/hosts has that text; as an
 * ordinary user by way of a user namespace in which the ids stay as they are. After a failure the
 * process may already be in one. One thread only. */
NODISCARD bool run_space_enter(const RunSpace *space, Err *err);

#endif
