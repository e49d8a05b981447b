/*
 * cli: the commands that people type. Each is a client of the AWS API and of nothing else; data
 * goes to stdout, progress and errors to stderr. Exit status: err_exit_code (base.h); `weir --help`
 * has the list.
 */
#ifndef WEIR_CLI_H
#define WEIR_CLI_H

#include <stddef.h>

typedef struct CliCommand {
    const char *name;
    /* argv[0] is the name; returns the exit status. NULL: a process of another module, which main.c
     * knows. */
    int (*run)(int argc, char **argv);
    const char *arguments; /* for the usage line: "[FILE…] [--detach]" */
    const char *summary;
} CliCommand;

const CliCommand *cli_commands(size_t *ret_len);

#endif
