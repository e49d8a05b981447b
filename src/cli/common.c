/* What every command begins and ends with: options, the tier's folder, the connection, calls. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "model/model.h"

#define OPTIONS_MAX 24
#define PAGES_MAX   1000

static const struct option common_options[] = {
    {"data", required_argument, NULL, 'd'},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
};

static char *default_data_dir(void)
{
    const char *named = getenv("WEIR_DATA");
    if (named != NULL && named[0] != '\0') {
        return mem_strdup(named);
    }
    return mem_strdup(geteuid() == 0 ? "/var/lib/weir" : "./.weir");
}

static bool format_set(Cli *cli, const char *name)
{
    if (strcmp(name, "table") == 0 || strcmp(name, "json") == 0) {
        cli->format = name[0] == 'j' ? CLI_JSON : CLI_TABLE;
        return true;
    }
    fprintf(stderr, "weir: unknown output \"%s\"; there are: table, json\n", name);
    return false;
}

static bool common_option(Cli *cli, const CliSpec *spec, int val)
{
    switch (val) {
    case 'd':
        mem_free(cli->data_dir);
        cli->data_dir = mem_strdup(optarg);
        return true;
    case 'o':
        return format_set(cli, optarg);
    case 'h':
        fputs(spec->usage, stdout);
        cli->help = true;
        return false;
    default:
        UNREACHABLE();
    }
}

/* In our own words; `val` is '?' where getopt does not know it, ':' where its value is missing. */
static bool option_refuse(const char *command, int val, const char *word)
{
    const char letter[] = {'-', (char)optopt, '\0'};
    bool is_short = optopt > 0 && optopt < 256 && !slice_starts(slice_of(word), "--");
    fprintf(stderr, "weir: %s %s: see `weir %s --help`\n",
            val == ':' ? "a value is missing behind" : "there is no option",
            is_short ? letter : word, command);
    return false;
}

/* The first paragraph of the help. */
static void usage_print(const CliSpec *spec)
{
    const char *end = strstr(spec->usage, "\n\n");
    fprintf(stderr, "%.*s\n", (int)(end != NULL ? end - spec->usage : 0), spec->usage);
}

static bool operands_check(const CliSpec *spec, int argc, char **argv)
{
    int len = argc - optind;
    if (len >= spec->operands_min && len <= spec->operands_max) {
        return true;
    }
    if (len > spec->operands_max) {
        fprintf(stderr, "weir: `weir %s` takes no argument \"%s\"\n", argv[0],
                argv[optind + spec->operands_max]);
    } else {
        fprintf(stderr, "weir: an argument of `weir %s` is missing\n", argv[0]);
    }
    usage_print(spec);
    return false;
}

static bool format_check(const Cli *cli, const CliSpec *spec, const char *command)
{
    if (cli->format == CLI_JSON && !spec->has_json) {
        fprintf(stderr, "weir: `weir %s` has no JSON: take out -o json\n", command);
        return false;
    }
    return true;
}

bool cli_options(Cli *cli, int argc, char **argv, const CliSpec *spec)
{
    struct option options[OPTIONS_MAX] = {0};
    size_t len = ARRAY_LEN(common_options);
    memcpy(options, common_options, sizeof(common_options));
    for (const struct option *own = spec->options; own != NULL && own->name != NULL; own++) {
        ASSERT(len < OPTIONS_MAX - 1 && own->val > 255);
        options[len++] = *own;
    }
    *cli = (Cli){.data_dir = default_data_dir()};
    const char *shorts = spec->options_first ? "+:o:h" : ":o:h";
    for (int val; (val = getopt_long(argc, argv, shorts, options, NULL)) != -1;) {
        bool ok = val == '?' || val == ':' ? option_refuse(argv[0], val, argv[optind - 1])
                  : val > 255              ? spec->on_option(spec->user, val, optarg)
                                           : common_option(cli, spec, val);
        if (!ok) {
            return false;
        }
    }
    return operands_check(spec, argc, argv) && format_check(cli, spec, argv[0]);
}

void cli_done(Cli *cli)
{
    client_close(cli->client);
    mem_free(cli->data_dir);
    *cli = (Cli){0};
}

/* Whether the shell finds a program of our name. */
static bool is_in_path(void)
{
    Slice rest = slice_of(getenv("PATH"));
    while (rest.len > 0) {
        Slice folder = slice_cut(&rest, ':');
        CLEANUP(mem_free_ptr) char *path = mem_printf("%.*s/weir", SLICE_FMT(folder));
        if (folder.len > 0 && access(path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* As it was called, where that is a path and the shell would not find it otherwise. */
static char *program_new(void)
{
    Buf command;
    buf_init(&command, BUF_MAX_DEFAULT);
    bool by_path = !is_in_path() && file_read("/proc/self/cmdline", &command, NULL) &&
                   strchr(buf_str(&command), '/') != NULL;
    char *program = mem_strdup(by_path ? buf_str(&command) : "weir");
    buf_done(&command);
    return program;
}

char *cli_command_new(const Cli *cli, const char *name)
{
    CLEANUP(mem_free_ptr) char *program = program_new();
    CLEANUP(mem_free_ptr) char *usual = default_data_dir();
    return strcmp(cli->data_dir, usual) == 0
               ? mem_printf("%s %s", program, name)
               : mem_printf("%s %s --data %s", program, name, cli->data_dir);
}

/* A tier that was stopped has taken its runtime folder along; where `weir serve` only is being
 * started again that is still there, and the client waits. */
static bool is_stopped(const Cli *cli, const ClientSettings *settings)
{
    return !tier_is_up(cli) && settings->run_dir != NULL && !file_exists(settings->run_dir);
}

bool cli_connect(Cli *cli, Err *err)
{
    ClientSettings settings;
    CLEANUP(mem_free_ptr) char *up = cli_command_new(cli, "up");
    if (!client_settings_load(cli->data_dir, &settings, err)) {
        if (err->code == ERR_NOT_FOUND) {
            err_set(err, ERR_NOT_FOUND,
                    "there is no tier in %s: start one with `%s`, or name another folder with "
                    "--data or WEIR_DATA",
                    cli->data_dir, up);
        }
        return false;
    }
    bool ok = is_stopped(cli, &settings)
                  ? err_set(err, ERR_NOT_FOUND, "the tier in %s is not up: start it with `%s`",
                            cli->data_dir, up)
                  : client_open(&settings, &cli->client, err);
    client_settings_done(&settings);
    return ok;
}

int cli_fail(const Err *err)
{
    fprintf(stderr, "weir: %s\n", err->message);
    return err_exit_code(err->code);
}

json_t *cli_call(Cli *cli, const char *service, const char *operation, json_t *input_taken,
                 Err *err)
{
    json_t *output = NULL;
    bool ok = client_call(cli->client, service, operation, input_taken, &output, NULL, err);
    json_decref(input_taken);
    return ok ? output : NULL;
}

json_t *cli_list(Cli *cli, const char *service, const char *operation, const char *member, Err *err)
{
    json_t *all = json_array();
    const char *marker = NULL;
    CLEANUP(record_free_ptr) json_t *page = NULL;
    for (int i = 0; i < PAGES_MAX; i++) {
        json_t *input = json_object();
        if (marker != NULL) {
            json_object_set_new(input, "Marker", json_string(marker));
        }
        json_t *next = cli_call(cli, service, operation, input, err);
        json_decref(page);
        page = next;
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, member_array(page, member));
        marker = member_str(page, "Marker", NULL);
        if (marker == NULL || marker[0] == '\0') {
            return all;
        }
    }
    return all;
}
