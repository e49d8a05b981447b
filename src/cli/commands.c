/* The table of commands, and what is made of it: shell completion. */
#include <stdio.h>

#include "cli/apply_priv.h"

static const CliCommand commands[] = {
    {"up", up_main, "[FILE…] [--detach]", "start the tier and apply the files"},
    {"down", down_main, "[--destroy --yes]", "stop the tier"},
    {"plan", plan_main, "[FILE…]", "what apply would change, attribute by attribute"},
    {"apply", apply_main, "[FILE…]", "make the tier as the Terraform files say"},
    {"status", status_main, "", "resources, endpoints and processes"},
    {"events", events_main, "[--follow]", "what happened"},
    {"logs", logs_main, "NAME", "the end of a log"},
    {"env", env_main, "", "environment for applications"},
    {"psql", psql_main, "NAME", "psql at an instance or a proxy"},
    {"redis-cli", redis_cli_main, "NAME", "redis-cli at a cache"},
    {"run", run_main, "COMMAND [ARGUMENT…]", "an AWS application on the tier, unchanged"},
    {"proxy", NULL, "--config FILE", "just the pooler, in front of any PostgreSQL"},
    {"completion", completion_main, "bash", "shell completion"},
};

const CliCommand *cli_commands(size_t *ret_len)
{
    *ret_len = ARRAY_LEN(commands);
    return commands;
}

int completion_main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "bash") != 0) {
        fputs("usage: weir completion bash\n\nPrints shell completion; for example\n"
              "  weir completion bash > /etc/bash_completion.d/weir\n",
              argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : err_exit_code(ERR_INVALID);
    }
    fputs("_weir() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]}\n"
          "    case $word in\n"
          "    -*) COMPREPLY=($(compgen -W '--data --output --help --detach --var --var-file "
          "--destroy --yes --follow --source --lines --detailed-exitcode --aws-hosts "
          "--replace --no-aws-hosts --config --check' -- \"$word\")) ;;\n"
          "    *)\n"
          "        if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "            COMPREPLY=($(compgen -W '",
          stdout);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        printf("%s%s", i > 0 ? " " : "", commands[i].name);
    }
    fputs("' -- \"$word\"))\n"
          "        else\n"
          "            COMPREPLY=($(compgen -f -- \"$word\"))\n"
          "        fi ;;\n"
          "    esac\n"
          "}\n"
          "complete -F _weir weir\n",
          stdout);
    return 0;
}
