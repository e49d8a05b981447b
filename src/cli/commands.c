/* The table of commands. */
#include "cli/apply/apply_priv.h"

static const CliCommand commands[] = {
    {"up", up_main, "start the tier and apply the files",
     "--detach --var --var-file --engine-version-map --allow-chaos --join --name --zone --net "
     "--no-engines --output",
     OPERANDS_FILES},
    {"down", down_main, "stop the tier", "--destroy --yes --all-hosts", OPERANDS_NONE},
    {"plan", plan_main, "what apply would change, attribute by attribute",
     "--var --var-file --replace --detailed-exitcode --output", OPERANDS_FILES},
    {"apply", apply_main, "make the tier as the Terraform files say",
     "--var --var-file --replace --yes --output", OPERANDS_FILES},
    {"status", status_main, "resources, endpoints and processes", "--output", OPERANDS_NONE},
    {"events", events_main, "what happened", "--follow --source --output", OPERANDS_NONE},
    {"logs", logs_main, "the end of a log", "--lines --output", OPERANDS_LOG},
    {"env", env_main, "environment for applications", "--output", OPERANDS_NONE},
    {"psql", psql_main, "psql at an instance, a proxy or an endpoint", "", OPERANDS_DATABASE},
    {"failover", failover_main, "let a standby or a replica lead",
     "--allow-data-loss --node --output --yes", OPERANDS_LEADER},
    {"host", host_main, "hosts of the tier: list, token, drain, undrain, remove, recover",
     "--wait --yes --output", OPERANDS_HOST},
    {"chaos", chaos_main, "a fault on purpose", "--for", OPERANDS_FAULT},
    {"drill", drill_main, "a fault under a load: what happened, and what was lost",
     "--fault --writers --output", OPERANDS_LEADER},
    {"redis-cli", redis_cli_main, "redis-cli at a cache", "", OPERANDS_CACHE},
    {"run", run_main, "an AWS application on the tier, unchanged", "--aws-hosts --no-aws-hosts",
     OPERANDS_COMMAND},
    {"proxy", NULL, "just the pooler, in front of any PostgreSQL",
     "--config --check --take-over --setting --output", OPERANDS_PROXY},
    {"completion", completion_main, "shell completion", "", OPERANDS_SHELL},
};

const CliCommand *cli_commands(size_t *ret_len)
{
    *ret_len = ARRAY_LEN(commands);
    return commands;
}
