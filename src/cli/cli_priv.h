/* Shared by the commands. */
#ifndef WEIR_CLI_PRIV_H
#define WEIR_CLI_PRIV_H

#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>

#include "cli/cli.h"
#include "client/client.h"
#include "model/model.h"

/* ---- one command's run ---------------------------------------------------------------------- */

typedef enum CliFormat { CLI_TABLE, CLI_JSON } CliFormat;

typedef struct Cli {
    char *data_dir; /* as the user wrote it, or the default */
    CliFormat format;
    bool help;      /* --help was given and answered */
    Client *client; /* cli_connect */
} Cli;

#define CLI_OPERANDS_ANY INT_MAX

/* What a command takes beside --data, -o and --help. What it does not take is refused. */
typedef struct CliSpec {
    const char *usage;            /* the whole help text; its first paragraph is the usage */
    const struct option *options; /* ended by a zero one; flag NULL, val above 255. NULL: none */
    bool options_first;           /* what stands behind the first operand is somebody else's */
    int operands_min;
    int operands_max;
    bool has_json; /* for -o json */
    /* false: it has said on stderr what is wrong. */
    bool (*on_option)(void *user, int val, const char *argument);
    void *user;
} CliSpec;

/* Reads the options; optind is then the first operand. False: cli->help, or it has said on stderr
 * what is wrong (exit status 2). */
NODISCARD bool cli_options(Cli *cli, int argc, char **argv, const CliSpec *spec);
void cli_done(Cli *cli);
/* ERR_NOT_FOUND: there is no tier in the folder, or it is stopped; the message says what to do. */
NODISCARD bool cli_connect(Cli *cli, Err *err);
/* Whether a `weir serve` holds the folder's lock. */
bool tier_is_up(const Cli *cli);
/* A command on this tier as it is to be typed here: "build/weir status --data DIR". The caller
 * frees it. */
char *cli_command_new(const Cli *cli, const char *name);
/* "weir: message", and the exit status that goes with it. */
int cli_fail(const Err *err);

/* ---- signals (interrupt.c) --------------------------------------------------------------------
 */

/* From here on those that end a command wait until somebody looks, here and in programs that are
 * started, but for those that our parent ignores (nohup); a pipe that nobody reads ends nobody. */
void interrupt_hold(sigset_t *ret_held);
/* Whether one waits. */
bool interrupt_waits(void);

/* ---- calls ----------------------------------------------------------------------------------- */

/* NULL and err set when it fails. The caller owns the result. */
json_t *cli_call(Cli *cli, const char *service, const char *operation, json_t *input_taken,
                 Err *err);
/* All pages of a describe call, as one array of `member`. */
json_t *cli_list(Cli *cli, const char *service, const char *operation, const char *member,
                 Err *err);

/* ---- output ---------------------------------------------------------------------------------- */

/* Whether this is a terminal on which lines can be redrawn. */
bool cli_terminal(FILE *out);
/* Whether to colour what goes to this stream: such a terminal, and no NO_COLOR. */
bool cli_colors(FILE *out);

#define TABLE_COLUMNS_MAX 9

/* Rows of text, aligned when printed. Cells are copied. */
typedef struct Table {
    size_t columns;
    size_t state_column; /* coloured by meaning */
    bool headed;         /* the first row names the columns */
    VEC(char *) cells;
} Table;

#define TABLE_NO_STATE TABLE_COLUMNS_MAX

/* With a state column the first row is a head, and a column with nothing below it is left out. */
void table_init(Table *table, size_t columns, size_t state_column);
void table_done(Table *table);
void table_row(Table *table, const char *const *cells); /* columns of them; NULL is "" */
void table_print(const Table *table, FILE *out);
void table_print_colored(const Table *table, bool colors, FILE *out);

#define CLI_COLUMNS_USUAL 80

/* How wide the terminal behind the stream is; CLI_COLUMNS_USUAL where it is none. */
size_t cli_columns(FILE *out);
size_t cli_rows(FILE *out);
/* The text in lines that fit into so many columns with their indent, cut at spaces. */
void text_wrap(const char *text, const char *indent, size_t columns, Buf *out);
/* Two lists of names parted by ", " as one, each name once; `list` may be NULL. In the arena. */
const char *text_merge(Arena *arena, const char *list, const char *more);
/* Prints the JSON and frees it. */
void cli_print_json(json_t *value);

/* The end of a terminal, which is redrawn in place while other lines scroll away above it. */
typedef struct Screen {
    FILE *out;
    bool live;    /* false: no terminal, nothing is redrawn */
    size_t drawn; /* lines that are to be redrawn */
} Screen;

void screen_init(Screen *screen, FILE *out);
/* Both are whole lines or nothing; those of `below` fit (screen_fit), and are left out where
 * nothing can be redrawn. */
void screen_put(Screen *screen, const char *above, const char *below);
/* The lines, cut so that none of them wraps, and so many as there is room for. */
void screen_fit(const Screen *screen, const char *text, Buf *out);

/* ---- the tier as users see it (view.c) ------------------------------------------------------ */

/* {"instances": […], "proxies": […], "endpoints": […] (of proxies), "caches": […], "nodes": […],
 * "remarks": […]}: what the API says, by resource. */
json_t *view_load(Cli *cli, Err *err);
/* The item of a list whose member has this value; NULL: none has. */
const json_t *view_find(const json_t *list, const char *member, const char *value);

/* What has a status, in the order in which it is shown. */
typedef struct ViewKind {
    ResourceType type;
    const char *list;   /* in the view */
    const char *name;   /* the member that names the resource */
    const char *status; /* the member that says how it is */
} ViewKind;

extern const ViewKind view_kinds[4];
/* Without a database, proxy or cache. */
bool view_is_empty(const json_t *view);
/* `later`: with what is not yet in effect. */
void view_print_resources(const json_t *view, bool later, FILE *out);
void view_print_nodes(const json_t *view, FILE *out);
/* "host:port", or "" while there is none. From the arena. */
const char *view_instance_endpoint(Arena *arena, const json_t *instance);
/* Fills host and port of a replication group's primary or reader endpoint; false while there is
 * none. */
bool view_cache_endpoint(const json_t *group, const char *member, const char **ret_host,
                         int *ret_port);

/* ---- commands ---------------------------------------------------------------------------------
 */

int up_main(int argc, char **argv);
int down_main(int argc, char **argv);
int status_main(int argc, char **argv);
int events_main(int argc, char **argv);
int logs_main(int argc, char **argv);
int env_main(int argc, char **argv);
int psql_main(int argc, char **argv);
int redis_cli_main(int argc, char **argv);
int run_main(int argc, char **argv);
int failover_main(int argc, char **argv);
int host_main(int argc, char **argv);
/* `weir host recover` (host_recover.c). */
NODISCARD bool host_recover(Cli *cli, bool yes, Err *err);
int chaos_main(int argc, char **argv);
int drill_main(int argc, char **argv);
int completion_main(int argc, char **argv);

typedef struct LoginList LoginList;

/* What has a primary: an instance, or a replication group (failover.c). */
typedef struct LeaderKind {
    const char *type; /* of its nodes' resource */
    const char *word; /* of the output of `weir failover` */
    const char *service;
    const char *describe;
    const char *list;
    const char *name; /* the member that is its identifier */
    const char *status;
} LeaderKind;

extern const LeaderKind leader_instance, leader_group;
/* Whether the API says that it is. */
NODISCARD bool leader_is_available(Cli *cli, const LeaderKind *kind, const char *name, bool *ret_is,
                                   Err *err);

/* A node by its name, or the primary of an instance or a cache, or only of one kind of them (NULL:
 * any); the caller's (chaos.c). */
NODISCARD bool chaos_find_node(Cli *cli, const LeaderKind *kind, const char *name, char **ret_node,
                               Err *err);
/* The fault that takes this one back; NULL: there is none. */
const char *chaos_way_back(const char *fault);
/* Does a fault to it. */
NODISCARD bool chaos_ask(Cli *cli, const char *fault, const char *node, int64_t *ret_processes,
                         Err *err);

/* What `weir env` prints, as an object of strings; writes the password file that it names. The
 * logins (NULL: not wanted) live in the arena. NULL: it failed. */
json_t *env_load(Cli *cli, Arena *arena, LoginList *ret_logins, Err *err);

/* ---- events (status.c) --------------------------------------------------------------------------
 */

/* What happens, as it happens. Zero is one from the beginning. */
typedef struct EventFeed {
    char *after;         /* the last one that was seen */
    size_t source_width; /* of the column of names, as far as it has grown */
} EventFeed;

/* Events since the last call; the first one gives all there are. `out` may be NULL. */
NODISCARD bool events_new(Cli *cli, EventFeed *feed, FILE *out, Err *err);
void event_feed_done(EventFeed *feed);

#endif
