/* `weir apply`: shows the plan, carries it out, and prints the outputs. */
#include <unistd.h>

#include "cli/apply/apply_priv.h"

/* ---- clients of the workers -------------------------------------------------------------------
 */

static bool source_open(void *context, Caller *ret_caller, Err *err)
{
    ClientSettings settings;
    Client *client = NULL;
    TRY(client_settings_load(context, &settings, err));
    bool ok = client_open(&settings, &client, err);
    client_settings_done(&settings);
    if (ok) {
        *ret_caller = client_caller(client);
    }
    return ok;
}

static void source_close(void *context, Caller *caller)
{
    (void)context;
    client_close(caller->context);
}

CallerSource client_source(const char *data_dir)
{
    return (CallerSource){source_open, source_close, (void *)(uintptr_t)data_dir};
}

/* ---- before -----------------------------------------------------------------------------------
 */

static int refuse(const Plan *plan)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        if (item->refusal != NULL) {
            fprintf(stderr, "weir: %s: %s refused: %s\n", item->address,
                    plan_action_name(item->action), item->refusal);
        }
    }
    fputs("weir: nothing was changed\n", stderr);
    return err_exit_code(ERR_CONFLICT);
}

static bool is_confirmed(void)
{
    char answer[16] = "";
    if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) {
        return false;
    }
    fputs("This destroys data. Type yes to go on: ", stderr);
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

/* ---- after ------------------------------------------------------------------------------------
 */

static void print_counts(const Plan *plan, int64_t elapsed_ms)
{
    fprintf(stderr, "Applied in %.1f s: %zu created, %zu changed, ",
            (double)elapsed_ms / (double)MS_PER_S, plan->count[PLAN_CREATE],
            plan->count[PLAN_UPDATE]);
    if (plan->count[PLAN_REPLACE] > 0) {
        fprintf(stderr, "%zu replaced, ", plan->count[PLAN_REPLACE]);
    }
    fprintf(stderr, "%zu destroyed.\n", plan->count[PLAN_DESTROY]);
}

/* What is there and still waits for something, such as parameters for a reboot. */
static void print_details(const Plan *plan)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        const Present *present = item->action != PLAN_DESTROY && item->key != NULL
                                     ? present_find(&plan->present, item->kind, item->key)
                                     : NULL;
        if (present != NULL && present->detail[0] != '\0') {
            fprintf(stderr, "%s: %s\n", item->address, present->detail);
        }
    }
}

static int print_outputs(const Cli *cli, const Plan *plan)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TfDiagnostics diagnostics;
    const TfOutput *outputs;
    size_t len;
    Err err = {0};
    tf_diagnostics_init(&diagnostics, arena);
    if (!tf_outputs(plan->program, &diagnostics, &outputs, &len)) {
        return plan_fail(&diagnostics, &err);
    }
    if (cli->format == CLI_JSON) {
        json_t *tree = plan_to_json_new(plan);
        json_object_set_new(tree, "outputs", outputs_to_json_new(outputs, len));
        cli_print_json(tree);
        return 0;
    }
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < len; i++) {
        buf_printf(&text, "%s = ", outputs[i].name);
        tf_show(outputs[i].value, &text);
        buf_append_char(&text, '\n');
    }
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return 0;
}

/* ---- apply ------------------------------------------------------------------------------------
 */

static size_t address_width(const Plan *plan)
{
    size_t width = 0;
    for (size_t i = 0; i < plan->items.len; i++) {
        size_t len = strlen(plan->items.items[i]->address);
        width = len > width ? len : width;
    }
    return width;
}

static int run_plan(const Cli *cli, Plan *plan, bool (*interrupted)(void))
{
    int64_t begun_ms = time_mono_ms();
    const ApplyOptions options = {.source = client_source(cli->data_dir),
                                  .interrupted = interrupted};
    TfDiagnostics diagnostics;
    ApplyResult result;
    Err err;
    Display *display = display_new(stderr, address_width(plan));
    const ApplyProgress progress = display_progress(display);
    tf_diagnostics_init(&diagnostics, plan->arena);
    bool ok = apply_run(plan, &options, &progress, &result, &diagnostics, &err);
    display_free(display);
    if (!ok) {
        if (interrupted != NULL && interrupted()) {
            err = (Err){0}; /* who interrupts says so */
        }
        (void)plan_fail(&diagnostics, &err);
        if (result.failed > 0) {
            fprintf(stderr,
                    "weir: %zu of the resources failed or were not begun; `weir apply` goes "
                    "on where it stopped\n",
                    result.failed);
        }
        return err.code == ERR_NONE ? err_exit_code(ERR_INTERNAL) : err_exit_code(err.code);
    }
    if (!plan_is_empty(plan)) {
        print_counts(plan, time_mono_ms() - begun_ms);
    }
    print_details(plan);
    return 0;
}

int apply_plan(const Cli *cli, Plan *plan, bool (*interrupted)(void))
{
    bool empty = plan_is_empty(plan);
    plan_print(plan, empty && cli->format == CLI_TABLE ? stdout : stderr);
    fflush(stdout);
    return plan_is_refused(plan) ? refuse(plan) : run_plan(cli, plan, interrupted);
}

static int apply_run_command(Cli *cli, const PlanCommand *command, char **files)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Err err;
    Plan plan;
    int status;
    if (!cli_connect(cli, &err)) {
        return cli_fail(&err);
    }
    Caller caller = client_caller(cli->client);
    if (!plan_from_files(&plan, arena, command, files, &caller, true, &status)) {
        return status;
    }
    if (plan_loses_data(&plan) && !plan_is_refused(&plan) && !command->yes) {
        plan_print(&plan, stderr);
        if (!is_confirmed()) {
            fputs("weir: nothing was changed: the plan destroys data; add --yes to do it\n",
                  stderr);
            plan_done(&plan);
            return err_exit_code(ERR_INVALID);
        }
    }
    sigset_t held;
    interrupt_hold(&held);
    status = apply_plan(cli, &plan, interrupt_waits);
    if (status == 0) {
        status = print_outputs(cli, &plan);
    } else if (interrupt_waits()) {
        CLEANUP(mem_free_ptr) char *again = cli_command_new(cli, "apply");
        fprintf(stderr,
                "\nInterrupted; what was asked for goes on, the rest was not begun: `%s` with the "
                "same files goes on from there.\n",
                again);
        status = err_exit_code(ERR_UNAVAILABLE);
    }
    plan_done(&plan);
    return status;
}

static const char usage[] =
    "usage: weir apply [--var NAME=VALUE] [--var-file FILE] [--replace ADDRESS]\n"
    "                  [--yes] [-o json] [--data DIR] [FILE…]\n\n"
    "Makes the tier as the Terraform files say: creates, changes and removes\n"
    "resources, as many at once as depend on nothing that is not there yet, waits\n"
    "until all of it is available, and prints the outputs. What is as the files say\n"
    "already is left alone. FILE is a file or a folder; without one it is the current\n"
    "folder. The files are the whole tier: a resource that weir apply made and whose\n"
    "block is gone is removed.\n"
    "  --var NAME=VALUE   sets a variable of the files\n"
    "  --var-file FILE    reads variables\n"
    "  --replace ADDRESS  makes this resource anew, even where data is destroyed\n"
    "  --yes              does not ask before data is destroyed\n"
    "  -o json            prints what was done and the outputs as JSON\n"
    "  --data DIR         names the tier (WEIR_DATA, else /var/lib/weir for root and\n"
    "                     ./.weir for others)\n\n"
    "A sensitive variable without a value gets one made up, once; it is kept in the\n"
    "secret weir/var/NAME. apply_immediately is true unless the files say otherwise.\n\n"
    "Exit status: 0 ok, 1 something failed, 2 errors in the files or arguments,\n"
    "3 no such tier, 5 refused, such as what deletion_protection protects.\n";

int apply_main(int argc, char **argv)
{
    static const struct option options[] = {{"var", required_argument, NULL, OPTION_VAR},
                                            {"var-file", required_argument, NULL, OPTION_VAR_FILE},
                                            {"replace", required_argument, NULL, OPTION_REPLACE},
                                            {"yes", no_argument, NULL, OPTION_YES},
                                            {0}};
    PlanCommand command = {0};
    const CliSpec spec = {.usage = usage,
                          .operands_max = CLI_OPERANDS_ANY,
                          .has_json = true,
                          .options = options,
                          .on_option = plan_option,
                          .user = &command};
    Cli cli;
    int status = cli_options(&cli, argc, argv, &spec)
                     ? apply_run_command(&cli, &command, argv + optind)
                 : cli.help ? 0
                            : err_exit_code(ERR_INVALID);
    plan_command_done(&command);
    cli_done(&cli);
    return status;
}
