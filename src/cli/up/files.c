/* The Terraform files of `weir up`: looked at before anything is started, applied when the API
 * answers. */
#include <stdio.h>

#include "cli/apply/apply_priv.h"
#include "cli/up/up_priv.h"

/* up's options as those of plan; the vectors stay up's. */
static PlanCommand command_of(const Up *up)
{
    PlanCommand command = {0};
    command.vars.items = up->vars.items;
    command.vars.len = up->vars.len;
    command.var_files.items = up->var_files.items;
    command.var_files.len = up->var_files.len;
    return command;
}

/* Every block on its own, as far as it is known without the tier. */
static void check_blocks(TfProgram *program, TfDiagnostics *diagnostics)
{
    size_t len;
    const TfInstance *const *instances = tf_instances(program, &len);
    for (size_t i = 0; i < len; i++) {
        const TfValue *desired;
        if (tf_evaluate(program, instances[i], diagnostics, &desired)) {
            check_resource(kind_find(instances[i]->type->name), instances[i], desired, NULL,
                           diagnostics);
        }
    }
    tf_diagnostics_sort(diagnostics);
}

static int check_alone(Arena *arena, const PlanCommand *command, char **files)
{
    SourceOptions paths = plan_sources(command, files);
    ProgramOptions options = {0};
    TfDiagnostics diagnostics;
    TfProgram *program;
    Sources sources;
    Err err = {0};
    tf_diagnostics_init(&diagnostics, arena);
    if (!sources_read(arena, &paths, &sources, &err) ||
        !program_load(arena, &sources, &options, &diagnostics, &program, &err)) {
        return plan_fail(&diagnostics, &err);
    }
    check_blocks(program, &diagnostics);
    return diagnostics.errors > 0 ? plan_fail(&diagnostics, &err) : 0;
}

/* What is in a tier that was there before is known only when it is up. */
int up_files_check(Up *up, const Cli *cli, char **files)
{
    up->files = files;
    if (files[0] == NULL) {
        return 0;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PlanCommand command = command_of(up);
    Caller caller = fresh_caller(up->version_map);
    return up->join != NULL || tier_has_store(cli)
               ? check_alone(arena, &command, files)
               : plan_check_files(arena, &command, files, &caller);
}

int up_files_apply(Up *up, Cli *cli)
{
    if (up->files == NULL || up->files[0] == NULL) {
        return 0;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PlanCommand command = command_of(up);
    Caller caller = client_caller(cli->client);
    Plan plan;
    int status;
    if (!plan_from_files(&plan, arena, &command, up->files, &caller, true, &status)) {
        return status;
    }
    if (plan_loses_data(&plan)) {
        plan_print(&plan, stderr);
        fputs("weir: nothing was changed: the files destroy data; `weir apply --yes` does it\n",
              stderr);
        status = err_exit_code(ERR_CONFLICT);
    } else {
        Cli quiet = {.data_dir = cli->data_dir, .format = CLI_JSON}; /* stdout is up's */
        status = apply_plan(&quiet, &plan, interrupt_waits);
    }
    plan_done(&plan);
    return status;
}
