/*
 * cli: the commands that people type. Each is a client of the AWS API and of nothing else; data
 * goes to stdout, progress and errors to stderr. Exit status: err_exit_code (base.h); `weir --help`
 * has the list.
 */
#ifndef WEIR_CLI_H
#define WEIR_CLI_H

#include <stddef.h>

/* What may stand behind a command, for completion. */
typedef enum CliOperands {
    OPERANDS_NONE,
    OPERANDS_FILES,
    OPERANDS_DATABASE, /* an instance, a proxy or an endpoint of one */
    OPERANDS_CACHE,
    OPERANDS_LEADER, /* a database or a cache */
    OPERANDS_COMMAND,
    OPERANDS_LOG, /* whatever has one */
    OPERANDS_SHELL,
    OPERANDS_PROXY, /* explain, and files */
    OPERANDS_FAULT, /* a fault, and whose */
    OPERANDS_HOST,  /* what is to be done, and the host */
} CliOperands;

typedef struct CliCommand {
    const char *name;
    /* argv[0] is the name; returns the exit status. NULL: a process of another module, which main.c
     * knows. */
    int (*run)(int argc, char **argv);
    const char *summary;
    const char *options; /* its own, parted by spaces */
    CliOperands operands;
} CliCommand;

const CliCommand *cli_commands(size_t *ret_len);

#endif
