/* `weir plan`, and what it shares with `weir apply`. */
#include "cli/plan/plan_priv.h"

/* ---- options ----------------------------------------------------------------------------------
 */

bool plan_option(void *user, int val, const char *argument)
{
    PlanCommand *command = user;
    switch (val) {
    case OPTION_VAR:
        vec_push(&command->vars, argument);
        return true;
    case OPTION_VAR_FILE:
        vec_push(&command->var_files, argument);
        return true;
    case OPTION_REPLACE:
        vec_push(&command->replace, argument);
        return true;
    case OPTION_DETAILED_EXITCODE:
        command->detailed_exitcode = true;
        return true;
    case OPTION_YES:
        command->yes = true;
        return true;
    default:
        UNREACHABLE();
    }
}

void plan_command_done(PlanCommand *command)
{
    vec_done(&command->vars);
    vec_done(&command->var_files);
    vec_done(&command->replace);
}

SourceOptions plan_sources(const PlanCommand *command, char **files)
{
    static const char *const here[] = {"."};
    size_t len = 0;
    while (files[len] != NULL) {
        len++;
    }
    return (SourceOptions){
        .paths = len > 0 ? (const char *const *)files : here,
        .paths_len = len > 0 ? len : 1,
        .vars = command->vars.items,
        .vars_len = command->vars.len,
        .var_files = command->var_files.items,
        .var_files_len = command->var_files.len,
    };
}

/* ---- the API ----------------------------------------------------------------------------------
 */

static bool call_client(void *context, const char *service, const char *operation,
                        const json_t *input, json_t **ret_output, AwsFault *fault, Err *err)
{
    return client_call(context, service, operation, input, ret_output, fault, err);
}

Caller client_caller(Client *client)
{
    return (Caller){call_client, client};
}

/* ---- from files to a plan ---------------------------------------------------------------------
 */

static void print_diagnostics(const TfDiagnostics *diagnostics)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    tf_diagnostics_format(diagnostics, &text);
    fputs(buf_str(&text), stderr);
    buf_done(&text);
}

int plan_fail(const TfDiagnostics *diagnostics, const Err *err)
{
    print_diagnostics(diagnostics);
    return err->code == ERR_NONE ? err_exit_code(ERR_INVALID) : cli_fail(err);
}

static void say_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "weir: %s\n", line);
}

typedef struct Attempt {
    Plan *plan;
    Arena *arena;
    const PlanCommand *command;
    char **files;
    const Caller *caller;
    TfDiagnostics diagnostics;
    Err err;
} Attempt;

static bool attempt(Attempt *attempt, bool make_up)
{
    SourceOptions paths = plan_sources(attempt->command, attempt->files);
    ProgramOptions load = {.caller = attempt->caller, .make_up = make_up, .say = say_line};
    PlanOptions options = {attempt->command->replace.items, attempt->command->replace.len};
    TfProgram *program;
    Sources sources;
    *attempt->plan = (Plan){0};
    attempt->err = (Err){0};
    tf_diagnostics_init(&attempt->diagnostics, attempt->arena);
    return sources_read(attempt->arena, &paths, &sources, &attempt->err) &&
           program_load(attempt->arena, &sources, &load, &attempt->diagnostics, &program,
                        &attempt->err) &&
           plan_make(attempt->plan, attempt->arena, program, attempt->caller, &options,
                     &attempt->diagnostics, &attempt->err);
}

/* Whether a variable is without a value that could be made up. */
static bool has_needs(const Plan *plan)
{
    size_t len;
    (void)tf_needs(plan->program, &len);
    return len > 0;
}

bool plan_from_files(Plan *plan, Arena *arena, const PlanCommand *command, char **files,
                     const Caller *caller, bool make_up, int *ret_status)
{
    Attempt try = {plan, arena, command, files, caller, {0}, {0}};
    bool ok = attempt(&try, false);
    if (ok && make_up && has_needs(plan)) { /* only now that nothing is wrong with the files */
        plan_done(plan);
        ok = attempt(&try, true);
    }
    if (!ok) {
        *ret_status = plan_fail(&try.diagnostics, &try.err);
        plan_done(plan);
        return false;
    }
    print_diagnostics(&try.diagnostics); /* warnings */
    return true;
}

int plan_check_files(Arena *arena, const PlanCommand *command, char **files, const Caller *caller)
{
    Plan plan;
    Attempt try = {&plan, arena, command, files, caller, {0}, {0}};
    int status = attempt(&try, false) ? 0 : plan_fail(&try.diagnostics, &try.err);
    plan_done(&plan);
    return status;
}

void plan_print(const Plan *plan, FILE *out)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    plan_format(plan, cli_colors(out), cli_columns(out), &text);
    fputs(buf_str(&text), out);
    buf_done(&text);
}

/* ---- weir plan --------------------------------------------------------------------------------
 */

static int plan_run(Cli *cli, const PlanCommand *command, char **files)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Err err;
    Plan plan;
    int status;
    if (!cli_connect(cli, &err)) {
        status = cli_fail(&err);
        return command->detailed_exitcode ? 1 : status;
    }
    Caller caller = client_caller(cli->client);
    if (!plan_from_files(&plan, arena, command, files, &caller, false, &status)) {
        return command->detailed_exitcode ? 1 : status;
    }
    if (cli->format == CLI_JSON) {
        cli_print_json(plan_to_json_new(&plan));
    } else {
        plan_print(&plan, stdout);
    }
    status = command->detailed_exitcode && !plan_is_empty(&plan) ? 2 : 0;
    plan_done(&plan);
    return status;
}

static const char usage[] =
    "usage: weir plan [--var NAME=VALUE] [--var-file FILE] [--replace ADDRESS]\n"
    "                 [--detailed-exitcode] [-o json] [--data DIR] [FILE…]\n\n"
    "Shows what `weir apply` would do so that the tier is as the Terraform files say,\n"
    "attribute by attribute, and changes nothing. FILE is a file or a folder; without\n"
    "one it is the current folder.\n"
    "  --var NAME=VALUE     sets a variable of the files\n"
    "  --var-file FILE      reads variables\n"
    "  --replace ADDRESS    makes this resource anew, even where data is destroyed\n"
    "  --detailed-exitcode  ends with 0 where nothing is to be done, 2 where\n"
    "                       something is, 1 on errors\n"
    "  -o json              prints the plan as JSON\n"
    "  --data DIR           names the tier (WEIR_DATA, else /var/lib/weir for root\n"
    "                       and ./.weir for others)\n\n"
    "Values of variables come from --var, --var-file, terraform.tfvars and\n"
    "*.auto.tfvars beside the first file, TF_VAR_NAME, and defaults, in this order.\n\n"
    "Exit status: 0 ok, 1 error, 2 errors in the files or arguments, 3 no such tier.\n";

int plan_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"var", required_argument, NULL, OPTION_VAR},
        {"var-file", required_argument, NULL, OPTION_VAR_FILE},
        {"replace", required_argument, NULL, OPTION_REPLACE},
        {"detailed-exitcode", no_argument, NULL, OPTION_DETAILED_EXITCODE},
        {0}};
    PlanCommand command = {0};
    const CliSpec spec = {.usage = usage,
                          .operands_max = CLI_OPERANDS_ANY,
                          .has_json = true,
                          .options = options,
                          .on_option = plan_option,
                          .user = &command};
    Cli cli;
    int status = cli_options(&cli, argc, argv, &spec) ? plan_run(&cli, &command, argv + optind)
                 : cli.help                           ? 0
                                                      : err_exit_code(ERR_INVALID);
    plan_command_done(&command);
    cli_done(&cli);
    return status;
}
