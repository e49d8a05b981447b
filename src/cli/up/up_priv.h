/* What up.c needs of plan and apply, and of status. */
#ifndef WEIR_CLI_UP_PRIV_H
#define WEIR_CLI_UP_PRIV_H

#include <sys/types.h>

#include "cli/cli_priv.h"
#include "cli/resource/resources_priv.h"

typedef struct Up {
    bool detach;
    bool allow_chaos;
    const char *version_map;       /* --engine-version-map; NULL: as it was */
    const char *join;              /* --join TOKEN; NULL, like those below: not said */
    const char *name, *zone, *net; /* of this host */
    bool no_engines;               /* it has a place in the store alone */
    VEC(const char *) vars;        /* NAME=VALUE */
    VEC(const char *) var_files;
    char **files; /* up_files_check's; NULL-terminated */
} Up;

/* ---- the tier's processes (tier.c) -------------------------------------------------------------
 */

/* A supervisor that this command started. */
typedef struct TierStart {
    int pidfd;        /* -1: somebody else did */
    int watch_fd;     /* holds DATA/weir.log locked as long as we look after the tier; -1: not */
    bool made_folder; /* there was none before */
    off_t log_offset; /* where its part of the log begins */
} TierStart;

/* Of a tier that somebody else has started, or that is yet to start. */
TierStart tier_start_none(const Cli *cli);
NODISCARD bool tier_start(const Cli *cli, TierStart *ret_start, Err *err);
void tier_start_done(TierStart *start);
/* No serve is up, and yet engines and endpoints may run: the tier was killed, and not stopped. */
bool tier_is_left(const Cli *cli);
/* Somebody starts serve again, and can be asked to stop the tier whatever becomes of the API. */
bool tier_is_supervised(const Cli *cli);
/* Whether a `weir up` looks after the tier, and stops it when it ends. */
bool tier_is_watched(const Cli *cli);
/* Connects when the API answers. Gives up when the supervisor has ended, and when a signal waits.
 */
NODISCARD bool tier_wait_for_api(Cli *cli, const TierStart *start, Err *err);
/* Stops the tier, whatever it is doing, and waits until nothing of it runs. */
NODISCARD bool tier_stop(Cli *cli, const TierStart *start, Err *err);

/* ---- which host it is (host.c) -----------------------------------------------------------------
 */

/* Whether the folder is of a tier that has been there before. */
bool tier_has_store(const Cli *cli);
/* Whether the endpoint "https://10.101.0.1:2379" is at the address of the API that this host had
 * when it was up; before its first time nothing is. */
bool up_endpoint_is_here(const Cli *cli, const char *endpoint);
/* Whether its store needs other hosts to be up, too. */
bool tier_waits_for_hosts(const Cli *cli);
/* Whether --join, --name, --zone or --net was said. */
bool up_host_is_asked(const Up *up);
/* Does what they say; the tier is not up. */
NODISCARD bool up_host_prepare(const Up *up, const Cli *cli, Err *err);

/* ---- what up and down are made of --------------------------------------------------------------
 */

/* Looks at the files (NULL-terminated) before anything is started; says all that is wrong with them
 * and returns 2, or 0. */
int up_files_check(Up *up, const Cli *cli, char **files);
/* The API of a tier that is yet to be made (fresh.c). */
Caller fresh_caller(const char *version_map);
/* Applies them with progress; the exit status. */
int up_files_apply(Up *up, Cli *cli);
/* Removes every resource, protected ones included, and says what it removed. */
NODISCARD bool up_destroy_all(Cli *cli, Err *err);
/* Removes what a stopped tier leaves in its folder, and the folder when nothing else is in it. */
NODISCARD bool up_folder_remove(const char *data_dir, Err *err);

/* Waits until every resource is available, or stays as it was asked to, with a line per change, and
 * with one for what already was so where all of it is to be told. Gives up when a signal waits. */
NODISCARD bool up_wait_available(Cli *cli, bool tell_all, Err *err);

/* ---- the view in front (live.c) ----------------------------------------------------------------
 */

typedef struct Live {
    Screen screen;
    EventFeed feed;
    char *below; /* what stands at the end of the terminal */
} Live;

void live_init(Live *live);
void live_done(Live *live);
/* Shows how everything is, and `events` that came since the last call. */
NODISCARD bool live_show(Cli *cli, Live *live, bool events, Err *err);

#endif
