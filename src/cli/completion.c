/*
 * `weir completion`: a script for the shell, made from the table of commands. Names of resources
 * are asked of `weir status` when they are wanted; where no tier is up there are none, and nothing
 * is said about it.
 */
#include <stdio.h>

#include "cli/cli_priv.h"

/* The names of a command's operands, as members of what `weir status -o json` prints. */
static const char *const members_of[] = {
    [OPERANDS_DATABASE] = "DBInstanceIdentifier|DBProxyName|DBProxyEndpointName",
    [OPERANDS_CACHE] = "ReplicationGroupId",
    [OPERANDS_LEADER] = "DBInstanceIdentifier|DBProxyName|DBProxyEndpointName|ReplicationGroupId",
    [OPERANDS_LOG] =
        "NodeId|DBInstanceIdentifier|DBProxyName|DBProxyEndpointName|ReplicationGroupId",
};

static const char head[] =
    "# Of this command line: --data DIR, where it is given.\n"
    "_weir_status() {\n"
    "    local i data=()\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        if [[ ${COMP_WORDS[i]} == --data ]]; then data=(--data \"${COMP_WORDS[i+1]}\"); fi\n"
    "    done\n"
    "    \"${COMP_WORDS[0]}\" status \"${data[@]}\" -o json 2>/dev/null\n"
    "}\n"
    "\n"
    "# The values of these members, as words.\n"
    "_weir_names() {\n"
    "    _weir_status | sed -En \"s/^ *\\\"($1)\\\": \\\"([^\\\"]*)\\\".*/\\\\2/p\" | sort -u\n"
    "}\n"
    "\n"
    "# The hosts of the tier.\n"
    "_weir_hosts() {\n"
    "    local i data=()\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        if [[ ${COMP_WORDS[i]} == --data ]]; then data=(--data \"${COMP_WORDS[i+1]}\"); fi\n"
    "    done\n"
    "    \"${COMP_WORDS[0]}\" host list \"${data[@]}\" -o json 2>/dev/null |\n"
    "        sed -En 's/^ *\"HostName\": \"([^\"]*)\".*/\\1/p'\n"
    "}\n"
    "\n"
    "# How many operands stand in front of the word.\n"
    "_weir_operands() {\n"
    "    local i count=0\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        --data | --output | -o | --var | --var-file | --replace | --source | --lines | \\\n"
    "            --engine-version-map | --config | --setting | --join | --name | --zone | --net) "
    "((i++)) ;;\n"
    "        -*) ;;\n"
    "        *) ((count++)) ;;\n"
    "        esac\n"
    "    done\n"
    "    echo \"$count\"\n"
    "}\n"
    "\n"
    "_weir() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local options= members= words=\n"
    "    COMPREPLY=()\n";

static const char tail[] =
    "    case $before in\n"
    "    --data) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
    "    --output | -o) COMPREPLY=($(compgen -W 'table json' -- \"$word\")); return ;;\n"
    "    --source) "
    "members='DBInstanceIdentifier|DBProxyName|DBProxyEndpointName|ReplicationGroupId' ;;\n"
    "    --var-file | --config) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
    "    --var | --replace | --lines | --engine-version-map | --setting | --join | --name | --net) "
    "return ;;\n"
    "    --zone) COMPREPLY=($(compgen -W 'a b c' -- \"$word\")); return ;;\n"
    "    *)\n"
    "        if [[ $word == -* ]]; then words=$options members=\n"
    "        elif [[ $members && $(_weir_operands) != 0 ]]; then members= words=\n"
    "        fi ;;\n"
    "    esac\n"
    "    if [[ $members ]]; then words=$(_weir_names \"$members\"); fi\n"
    "    if [[ $words == FILES ]]; then COMPREPLY=($(compgen -f -- \"$word\"))\n"
    "    elif [[ $words == COMMANDS ]]; then COMPREPLY=($(compgen -c -- \"$word\"))\n"
    "    else COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "    fi\n"
    "}\n"
    "complete -o filenames -F _weir weir\n";

static bool is_of_a_tier(const CliCommand *command)
{
    return command->run != NULL && command->operands != OPERANDS_SHELL;
}

static void print_command(const CliCommand *command)
{
    const char *common = is_of_a_tier(command) ? "--data --help" : "--help";
    printf("    %s)\n        options='%s%s%s'\n", command->name, command->options,
           command->options[0] != '\0' ? " " : "", common);
    if (command->operands == OPERANDS_FILES) {
        puts("        words=FILES ;;");
    } else if (command->operands == OPERANDS_COMMAND) {
        puts("        words=COMMANDS ;;");
    } else if (command->operands == OPERANDS_SHELL) {
        puts("        words='bash zsh' ;;");
    } else if (command->operands == OPERANDS_PROXY) {
        puts("        words=explain\n"
             "        if [[ $(_weir_operands) != 0 ]]; then words=FILES; fi ;;");
    } else if (command->operands == OPERANDS_HOST) {
        puts("        words='list token drain undrain remove recover'\n"
             "        case $(_weir_operands) in\n"
             "        0) ;;\n"
             "        1) words=$(_weir_hosts) ;;\n"
             "        *) words= ;;\n"
             "        esac ;;");
    } else if (command->operands == OPERANDS_FAULT) {
        printf("        words='kill-engine kill-guard kill-node stop-node cut-link fill-disk'\n"
               "        if [[ $(_weir_operands) != 0 ]]; then words= members='%s'; fi ;;\n",
               members_of[OPERANDS_LOG]);
    } else if (command->operands != OPERANDS_NONE) {
        printf("        members='%s' ;;\n", members_of[command->operands]);
    } else {
        puts("        ;;");
    }
}

static void print_script(void)
{
    size_t len;
    const CliCommand *commands = cli_commands(&len);
    fputs(head, stdout);
    fputs("    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W '", stdout);
    for (size_t i = 0; i < len; i++) {
        printf("%s%s", i > 0 ? " " : "", commands[i].name);
    }
    fputs("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; i < len; i++) {
        print_command(&commands[i]);
    }
    fputs("    esac\n", stdout);
    fputs(tail, stdout);
}

static const char usage[] =
    "usage: weir completion bash|zsh\n\n"
    "Prints shell completion: commands, their options, and names of resources where\n"
    "the tier is up. For example\n"
    "  weir completion bash > /etc/bash_completion.d/weir\n"
    "or, in ~/.zshrc,\n"
    "  source <(weir completion zsh)\n";

int completion_main(int argc, char **argv)
{
    const char *word = argc == 2 ? argv[1] : "";
    bool zsh = strcmp(word, "zsh") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!zsh && strcmp(word, "bash") != 0) {
        fputs(usage, stderr);
        return err_exit_code(ERR_INVALID);
    }
    if (zsh) { /* it has bash's way of completion built in */
        fputs("autoload -U +X compinit && compinit -u\n"
              "autoload -U +X bashcompinit && bashcompinit\n",
              stdout);
    }
    print_script();
    return 0;
}
