/*
 * The one place that sees every subcommand's entry point. Each gets its own arguments, with its
 * name as argv[0], and returns the exit code (err_exit_code says which).
 */
#include <stdio.h>

#include "base/base.h"
#include "cli/cli.h"
#include "front/front.h"
#include "guard/guard.h"
#include "proxy/proxy.h"
#include "serve/serve.h"

/* The processes that Weir starts itself; people type what cli_commands has, `proxy` among it. */
typedef struct Process {
    const char *name;
    int (*run)(int argc, char **argv);
} Process;

static int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("weir " WEIR_VERSION);
    return 0;
}

static const Process processes[] = {
    {"front", front_main}, {"guard", guard_main},         {"proxy", proxy_main},
    {"serve", serve_main}, {"supervise", supervise_main}, {"version", version_main},
};

static void usage(FILE *out)
{
    fputs("usage: weir COMMAND [ARGUMENT…]\n\n"
          "The database tier of the cloud on your own machines.\n\n",
          out);
    size_t len;
    const CliCommand *commands = cli_commands(&len);
    for (size_t i = 0; i < len; i++) {
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n`weir COMMAND --help` says more. Exit status: 0 done, 1 error, 2 usage or bad\n"
          "input, 3 not found, 4 denied, 5 conflict, 6 timeout.\n",
          out);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL) {
        usage(stderr);
        return err_exit_code(ERR_INVALID);
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return 0;
    }
    size_t len;
    const CliCommand *commands = cli_commands(&len);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(name, commands[i].name) == 0 && commands[i].run != NULL) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(processes); i++) {
        if (strcmp(name, processes[i].name) == 0) {
            return processes[i].run(argc - 1, argv + 1);
        }
    }
    if (name[0] == '-') {
        fprintf(stderr, "weir: options stand behind the command: weir COMMAND %s …\n", name);
        return err_exit_code(ERR_INVALID);
    }
    fprintf(stderr, "weir: there is no command \"%s\": see `weir --help`\n", name);
    return err_exit_code(ERR_INVALID);
}
