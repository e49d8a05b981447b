/*
 * The one place that sees every subcommand's entry point. Each gets its own arguments, with its
 * name as argv[0], and returns the exit code (err_exit_code says which).
 */
#include <stdio.h>

#include "base/base.h"
#include "guard/guard.h"
#include "serve/serve.h"

typedef struct Subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: a process that Weir starts itself, not for people */
} Subcommand;

static int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("weir " WEIR_VERSION);
    return 0;
}

static const Subcommand subcommands[] = {
    {"guard", guard_main, NULL},
    {"serve", serve_main, NULL},
    {"supervise", supervise_main, NULL},
    {"version", version_main, "say which version this is"},
};

static void usage(FILE *out)
{
    fputs("usage: weir COMMAND [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++) {
        if (subcommands[i].summary != NULL) {
            fprintf(out, "  %-12s %s\n", subcommands[i].name, subcommands[i].summary);
        }
    }
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
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++) {
        if (strcmp(name, subcommands[i].name) == 0) {
            return subcommands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "weir: there is no command '%s'; see weir --help\n", name);
    return err_exit_code(ERR_INVALID);
}
