/*
 * plan: what is to be done so that the tier is as the files say. Reads files and the API, and
 * changes nothing. The order of a run: sources_read, program_load, plan_make, plan_print.
 */
#ifndef WEIR_CLI_PLAN_PRIV_H
#define WEIR_CLI_PLAN_PRIV_H

#include <stdio.h>

#include "cli/cli_priv.h"
#include "cli/resource/resources_priv.h"

/* ---- files and variables (source.c) -----------------------------------------------------------
 */

/* What the user named. */
typedef struct SourceOptions {
    const char *const *paths; /* files, and folders with *.tf and *.tf.json in them */
    size_t paths_len;
    const char *const *vars; /* NAME=VALUE; later ones count before earlier ones */
    size_t vars_len;
    const char *const *var_files;
    size_t var_files_len;
} SourceOptions;

typedef struct Sources {
    Arena *arena;
    VEC(TfSource) sources; /* in the arena, like all below */
    VEC(TfInput) inputs;
} Sources;

/* Reads everything: files, terraform.tfvars and *.auto.tfvars beside the first of them, TF_VAR_* of
 * the environment. */
NODISCARD bool sources_read(Arena *arena, const SourceOptions *options, Sources *ret_sources,
                            Err *err);

/* ---- values of variables that Weir made up (variable.c) ----------------------------------------
 */

#define VARIABLE_SECRET_PREFIX "weir/var/"

/* tf_load with the kinds' schema. Values that were made up earlier are read from their secrets
 * (`caller` NULL: there is no API yet); with `make_up` the missing ones are made now, kept, and
 * named by `say`. False: diagnostics, or `err` (its code is ERR_NONE where diagnostics say it). */
typedef struct ProgramOptions {
    const Caller *caller;
    bool make_up;
    void (*say)(void *user, const char *line);
    void *user;
} ProgramOptions;

NODISCARD bool program_load(Arena *arena, Sources *sources, const ProgramOptions *options,
                            TfDiagnostics *diagnostics, TfProgram **ret_program, Err *err);

/* ---- what cannot be read back (applied.c) -------------------------------------------------------
 */

#define APPLIED_SECRET "weir/applied"

/* Salted digests of passwords and tokens as they were applied, by resource; kept as a secret. */
typedef struct Applied {
    json_t *root;
    bool stored;  /* the secret is there */
    bool changed; /* since it was read or written */
} Applied;

typedef enum AppliedAnswer { APPLIED_SAME, APPLIED_DIFFERS, APPLIED_UNKNOWN } AppliedAnswer;

NODISCARD bool applied_load(const Caller *caller, Applied *ret_applied, Err *err);
NODISCARD bool applied_save(Applied *applied, const Caller *caller, Err *err);
void applied_done(Applied *applied);
/* Whether the attribute of this incarnation was last set to `value`. */
AppliedAnswer applied_ask(const Applied *applied, const Present *present, const char *attribute,
                          Slice value);
void applied_note(Applied *applied, const Present *present, const char *attribute, Slice value);

/* ---- facts of the tier (facts.c) ----------------------------------------------------------------
 */

typedef struct Facts {
    EngineVersions versions; /* in the arena; none where nobody could be asked */
} Facts;

NODISCARD bool facts_load(Arena *arena, const Caller *caller, Facts *ret_facts, Err *err);

/* ---- differences (diff.c; pure) -----------------------------------------------------------------
 */

typedef struct Difference {
    const char *label;     /* as atoms have it */
    const char *attribute; /* the attribute or block that it is in */
    const TfValue *before; /* NULL: nothing */
    const TfValue *after;  /* NULL: nothing */
    bool replaces;
} Difference;

typedef struct Differences {
    Arena *arena;
    VEC(Difference) list; /* in the arena */
} Differences;

typedef struct DiffContext {
    const PresentList *known; /* for what refers to instances */
    const Applied *applied;
    const Facts *facts;
    const TfInstance *instance; /* for what is to be ignored; may be NULL */
} DiffContext;

/* What of `desired` is not so in `present`. */
void diff_resource(const DiffContext *context, const TfValue *desired, const Present *present,
                   Differences *out);
bool diff_replaces(const Differences *differences);
/* The names of attributes and blocks in which there are differences, each once. */
json_t *diff_names_new(const Differences *differences);
/* "15" and "15.4" are of "15.4.1". */
bool version_is_of(const char *wanted, const char *present);

typedef struct Plan Plan;

/* ---- checks (check.c; pure)
 * ----------------------------------------------------------------- */

/* Says all that is wrong with what is known of `desired`. */
void check_resource(const ResourceKind *kind, const TfInstance *instance, const TfValue *desired,
                    const Facts *facts, TfDiagnostics *diagnostics);
/* Cuts "Cannot do it. Do that." into a message and a hint, both without the last full stop; the
 * hint is NULL where there is one sentence. */
void advice_cut(Arena *arena, const char *text, const char **ret_message, const char **ret_hint);
/* The same of what only several blocks, or the files and the tier, tell together (names.c). */
void check_names(const Plan *plan, TfDiagnostics *diagnostics);
/* "90s", "40m", "1h30m". */
NODISCARD bool duration_parse(Slice text, int64_t *ret_ms);
/* Attributes that are set and whose effect comes later, parted by commas; NULL: none. */
const char *not_yet_in_effect(Arena *arena, const ResourceKind *kind, const TfValue *desired);

/* ---- the plan (make.c)
 * ---------------------------------------------------------------------- */

typedef enum PlanAction {
    PLAN_NONE,
    PLAN_CREATE,
    PLAN_UPDATE,
    PLAN_REPLACE, /* destroyed, then created */
    PLAN_DESTROY,
} PlanAction;

typedef struct PlanItem {
    PlanAction action;
    const char *address;
    const ResourceKind *kind;
    const TfInstance *instance; /* NULL: no block says anything of it */
    const char *key;            /* NULL: not known yet */
    Present *present;           /* NULL: it is not there */
    const TfValue *desired;     /* NULL: it shall not be there */
    Differences differences;
    VEC(const char *) notes; /* in the arena */
    const char *later;       /* not_yet_in_effect's */
    const char *refusal;     /* why apply will not do it; NULL: it will */
    bool retag;              /* only Weir's own tags differ */
    bool leaving;            /* one of that name is still being deleted */
} PlanItem;

struct Plan {
    Arena *arena;
    TfProgram *program;
    PresentList present; /* what was read */
    Applied applied;
    Facts facts;
    VEC(PlanItem *) items; /* blocks in the order of dependence, then what has to go */
    size_t count[PLAN_DESTROY + 1];
};

typedef struct PlanOptions {
    const char *const *replace; /* addresses that may be replaced although they hold data */
    size_t replace_len;
} PlanOptions;

/* False: diagnostics, or `err` as with program_load. Either way plan_done. */
NODISCARD bool plan_make(Plan *plan, Arena *arena, TfProgram *program, const Caller *caller,
                         const PlanOptions *options, TfDiagnostics *diagnostics, Err *err);
void plan_done(Plan *plan);
bool plan_is_empty(const Plan *plan);
bool plan_is_refused(const Plan *plan);
/* Items that would destroy data, or replace it. */
bool plan_loses_data(const Plan *plan);
PlanItem *plan_find(const Plan *plan, const char *address);
/* In which order things go: lower ones first. */
int destroy_rank(const Present *present);
/* Tells the program what the resource is, for those that refer to it. While it is not `settled`,
 * what the API does not know yet stays unknown. */
void plan_publish(const Plan *plan, const PlanItem *item, const Present *present, bool settled);
/* A copy in the plan's list, in the place of the one before it. */
Present *plan_remember(Plan *plan, const Present *present);

/* ---- showing it (show.c)
 * --------------------------------------------------------------------- */

/* In lines of so many columns. */
void plan_format(const Plan *plan, bool colors, size_t columns, Buf *out);
json_t *plan_to_json_new(const Plan *plan);
json_t *outputs_to_json_new(const TfOutput *outputs, size_t len);
const char *plan_action_name(PlanAction action); /* "create", … */

/* ---- the command line (command.c)
 * -------------------------------------------------------------- */

/* What `plan` and `apply` take. */
typedef struct PlanCommand {
    VEC(const char *) vars;
    VEC(const char *) var_files;
    VEC(const char *) replace;
    bool detailed_exitcode; /* plan */
    bool yes;               /* apply */
} PlanCommand;

enum {
    OPTION_VAR = 256,
    OPTION_VAR_FILE,
    OPTION_REPLACE,
    OPTION_DETAILED_EXITCODE,
    OPTION_YES,
};

bool plan_option(void *command, int val, const char *argument); /* for CliSpec */
void plan_command_done(PlanCommand *command);
/* The files that are named, or those of the current folder. */
SourceOptions plan_sources(const PlanCommand *command, char **files);
/* The API through a client. */
Caller client_caller(Client *client);
/* Prints diagnostics, or else the error; the exit status. */
int plan_fail(const TfDiagnostics *diagnostics, const Err *err);
/* Loads the files and plans; on failure it has been said, and *ret_status is the exit status. */
NODISCARD bool plan_from_files(Plan *plan, Arena *arena, const PlanCommand *command, char **files,
                               const Caller *caller, bool make_up, int *ret_status);
/* Whether they could be planned; says what is wrong with them and nothing else. The exit status. */
int plan_check_files(Arena *arena, const PlanCommand *command, char **files, const Caller *caller);
void plan_print(const Plan *plan, FILE *out);

int plan_main(int argc, char **argv);

#endif
