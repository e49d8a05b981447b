/* `weir host`: the hosts of a tier that stands on several; how one comes, what they have, and how
 * one leaves. */
#include <stdio.h>
#include <time.h>

#include "cli/cli_priv.h"

#define LOOK_MS       500
#define DRAIN_WAIT_MS (24 * 3600 * MS_PER_S) /* a large database is copied for hours */

enum { OPTION_WAIT = 256, OPTION_YES };

typedef struct HostCommand {
    bool wait, yes;
    const char *word;
    const char *name; /* NULL: all */
} HostCommand;

/* ---- looking -----------------------------------------------------------------------------------
 */

/* The caller's; NULL and err set when it fails. */
static json_t *hosts_load(Cli *cli, const char *name, Err *err)
{
    json_t *input = json_object();
    if (name != NULL) {
        json_object_set_new(input, "HostName", json_string(name));
    }
    CLEANUP(record_free_ptr) json_t *output = cli_call(cli, "weir", "ListHosts", input, err);
    if (output == NULL) {
        return NULL;
    }
    json_t *hosts = member_array(output, "Hosts");
    if (name != NULL && json_array_size(hosts) == 0) {
        err_set(err, ERR_NOT_FOUND, "there is no host \"%s\": see `weir host list`", name);
        return NULL;
    }
    return json_incref(hosts);
}

static const char *state_text(Arena *arena, const json_t *host)
{
    const char *state = member_str(host, "State", "");
    int64_t since_ms = member_int(host, "SilentSince", 0);
    char when[TIME_ISO_SIZE];
    if (since_ms == 0) {
        return state;
    }
    time_format_iso(since_ms, when);
    return arena_printf(arena, "%s since %.19sZ", state, when);
}

/* What it is to the tier's store, where hosts keep that. */
static const char *member_text(const json_t *host)
{
    static const struct {
        const char *member, *text;
    } texts[] = {
        {"sole-voter", "votes alone"}, {"voter", "votes"}, {"learner", "learns"}, {"unknown", "?"}};
    const char *member = member_str(host, "StoreMember", "");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(texts[i].member, member) == 0) {
            return texts[i].text;
        }
    }
    return "";
}

static void add_host(Arena *arena, Table *table, const json_t *host)
{
    size_t i;
    json_t *node;
    const json_t *nodes = member_array(host, "Nodes");
    const char *count = arena_printf(arena, "%zu", json_array_size(nodes));
    const char *cells[] = {member_str(host, "HostName", ""),
                           member_str(host, "Zone", ""),
                           member_str(host, "Network", ""),
                           state_text(arena, host),
                           member_bool(host, "Draining", false) ? "drains" : "",
                           member_text(host),
                           count,
                           "",
                           ""};
    table_row(table, cells);
    json_array_foreach ((json_t *)(uintptr_t)nodes, i, node) {
        const char *const more[] = {"",
                                    "",
                                    "",
                                    "",
                                    "",
                                    "",
                                    member_str(node, "NodeId", ""),
                                    arena_printf(arena, "%s of %s", member_str(node, "Role", ""),
                                                 member_str(node, "ResourceId", "")),
                                    member_str(node, "Note", "")};
        table_row(table, more);
    }
}

static bool host_list(Cli *cli, const HostCommand *command, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *hosts = hosts_load(cli, command->name, err);
    if (hosts == NULL) {
        return false;
    }
    if (cli->format == CLI_JSON) {
        cli_print_json(json_incref(hosts));
        return true;
    }
    static const char *const head[] = {"HOST",  "ZONE",    "NET", "STATE", "DRAIN",
                                       "STORE", "ENGINES", "OF",  "NOTE"};
    Table table;
    table_init(&table, ARRAY_LEN(head), 3);
    table_row(&table, head);
    size_t i;
    json_t *host;
    json_array_foreach (hosts, i, host) {
        add_host(arena, &table, host);
    }
    table_print(&table, stdout);
    table_done(&table);
    return true;
}

/* ---- joining -----------------------------------------------------------------------------------
 */

#define CA_MAX ((size_t)64 << 10)

/* Who joins knows the API by its authority. */
static bool ca_digest(const char *path, char out[static SHA256_HEX_SIZE], Err *err)
{
    Buf cert;
    buf_init(&cert, CA_MAX);
    bool ok = file_read(path, &cert, err);
    if (ok) {
        sha256_hex(buf_slice(&cert), out);
    }
    buf_done(&cert);
    return ok;
}

static void token_print(const Cli *cli, const char *text, int64_t expires_ms)
{
    char when[TIME_ISO_SIZE];
    time_format_iso(expires_ms, when);
    if (cli->format == CLI_JSON) {
        cli_print_json(json_pack("{s:s, s:s}", "Token", text, "ExpiresAt", when));
        return;
    }
    printf("%s\n", text);
    fflush(stdout);
    fprintf(stderr,
            "\nFor one host, until %.19sZ. It lets in whoever has it: keep it to yourself. On the "
            "host:\n  weir up --join TOKEN --name NAME --zone ZONE [--net NET]\n",
            when);
}

static bool host_token(Cli *cli, const HostCommand *command, Err *err)
{
    (void)command;
    ClientSettings settings;
    TRY(client_settings_load(cli->data_dir, &settings, err));
    JoinToken token = {.endpoint = mem_strdup(settings.endpoint),
                       .region = mem_strdup(settings.region)};
    CLEANUP(record_free_ptr) json_t *output = NULL;
    bool ok = ca_digest(settings.ca, token.ca_digest, err);
    if (ok) {
        output = cli_call(cli, "weir", "CreateJoinToken", NULL, err);
        ok = output != NULL;
    }
    if (ok) {
        token.id = mem_strdup(member_str(output, "TokenId", ""));
        secret_set(&token.secret, slice_of(member_str(output, "Secret", "")));
        CLEANUP(mem_free_ptr) char *text = join_token_format(&token);
        token_print(cli, text, member_int(output, "ExpiresAt", 0));
    }
    join_token_done(&token);
    client_settings_done(&settings);
    return ok;
}

/* ---- draining ----------------------------------------------------------------------------------
 */

/* What has changed since it was told last. */
static void tell(Map *told, const json_t *node)
{
    Slice id = slice_of(member_str(node, "NodeId", ""));
    const char *note = member_str(node, "Note", "it is looked at");
    char *before = map_get(told, id);
    if (before == NULL || strcmp(before, note) != 0) {
        fprintf(stderr, "%s (%s of %s): %s\n", id.data, member_str(node, "Role", ""),
                member_str(node, "ResourceId", ""), note);
        map_set(told, id, mem_strdup(note));
        mem_free(before);
    }
}

static void tell_vote(Map *told, const char *host, const char *what)
{
    if (map_get(told, slice_of(what)) == NULL) {
        fprintf(stderr, "%s: %s\n", host, what);
        map_set(told, slice_of(what), mem_strdup(what));
    }
}

static void told_free(Map *told)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(told, &cursor, &key, &value)) {
        mem_free(value);
    }
    map_free(told);
}

/* What would leave by itself while it drains: it alone votes, and another one has everything by
 * now, or will; or two vote, of which it is one. NULL: nothing. */
static const char *vote_waits_for(const json_t *hosts, const json_t *host)
{
    size_t i;
    json_t *other;
    size_t voters = 0;
    const json_t *heir = NULL;
    const char *own = member_str(host, "StoreMember", "");
    json_array_foreach ((json_t *)(uintptr_t)hosts, i, other) {
        bool alive = strcmp(member_str(other, "State", ""), "alive") == 0;
        const char *member = member_str(other, "StoreMember", "");
        bool votes = strcmp(member, "voter") == 0;
        voters += votes;
        bool takes = other != host && alive && !member_bool(other, "Draining", false);
        heir = takes && (votes || strcmp(member, "learner") == 0) ? other : heir;
    }
    if (strcmp(own, "unknown") == 0) {
        return "whether it votes in the tier's store is looked at";
    }
    bool pair = strcmp(own, "voter") == 0 && voters == 2;
    return heir != NULL && (pair || strcmp(own, "sole-voter") == 0)
               ? "its vote in the tier's store goes to another host"
               : NULL;
}

static const json_t *host_named(const json_t *hosts, const char *name)
{
    size_t i;
    json_t *host;
    json_array_foreach ((json_t *)(uintptr_t)hosts, i, host) {
        if (strcmp(member_str(host, "HostName", ""), name) == 0) {
            return host;
        }
    }
    return NULL;
}

/* *ret_left: how many things are there that have yet to leave. */
static bool look(Cli *cli, const char *name, Map *told, size_t *ret_left, Err *err)
{
    CLEANUP(record_free_ptr) json_t *hosts = hosts_load(cli, NULL, err);
    if (hosts == NULL) {
        return false;
    }
    const json_t *host = host_named(hosts, name);
    if (host == NULL) {
        return err_set(err, ERR_CONFLICT, "host %s was removed by somebody else", name);
    }
    if (!member_bool(host, "Draining", false)) {
        return err_set(err, ERR_CONFLICT, "host %s does not drain any more: somebody ended it",
                       name);
    }
    size_t i;
    json_t *node;
    json_array_foreach (member_array(host, "Nodes"), i, node) {
        tell(told, node);
    }
    const char *waits_for = vote_waits_for(hosts, host);
    size_t nodes = json_array_size(member_array(host, "Nodes"));
    if (nodes == 0 && waits_for != NULL) {
        tell_vote(told, name, waits_for);
    }
    *ret_left = nodes + (waits_for != NULL);
    return true;
}

static bool drain_wait(Cli *cli, const char *name, Err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t end_ms = time_mono_ms() + DRAIN_WAIT_MS;
    Map *told = map_new();
    size_t left = 1;
    bool ok = true;
    while (ok && left > 0) {
        ok = look(cli, name, told, &left, err);
        if (ok && left > 0 && time_mono_ms() > end_ms) {
            ok = err_set(err, ERR_TIMEOUT, "host %s is still needed: see `weir host list`", name);
        }
        if (ok && left > 0) {
            nanosleep(&pause, NULL);
        }
    }
    told_free(told);
    return ok;
}

static bool call_named(Cli *cli, const char *operation, const char *name, Err *err)
{
    json_t *output = cli_call(cli, "weir", operation, json_pack("{s:s}", "HostName", name), err);
    json_decref(output);
    return output != NULL;
}

static bool host_drain(Cli *cli, const HostCommand *command, Err *err)
{
    TRY(call_named(cli, "DrainHost", command->name, err));
    if (!command->wait) {
        printf("Host %s drains: `weir host list` shows what it still has.\n", command->name);
        return true;
    }
    TRY(drain_wait(cli, command->name, err));
    printf("Host %s has no engine any more. Before it is switched off: weir host remove %s, on "
           "another host.\n",
           command->name, command->name);
    return true;
}

static bool host_undrain(Cli *cli, const HostCommand *command, Err *err)
{
    TRY(call_named(cli, "UndrainHost", command->name, err));
    printf("Host %s takes engines again; those that have left stay where they are.\n",
           command->name);
    return true;
}

static bool host_remove(Cli *cli, const HostCommand *command, Err *err)
{
    TRY(call_named(cli, "RemoveHost", command->name, err));
    printf("Host %s is removed, and its name is used up.\n", command->name);
    return true;
}

static bool host_recover_word(Cli *cli, const HostCommand *command, Err *err)
{
    return host_recover(cli, command->yes, err);
}

/* ---- the command -------------------------------------------------------------------------------
 */

static const struct {
    const char *word;
    bool (*run)(Cli *cli, const HostCommand *command, Err *err);
    bool named;
    bool has_json;
    bool offline; /* there may be no API to ask */
} words[] = {{"list", host_list, false, true, false},
             {"token", host_token, false, true, false},
             {"drain", host_drain, true, false, false},
             {"undrain", host_undrain, true, false, false},
             {"remove", host_remove, true, false, false},
             {"recover", host_recover_word, false, false, true}};

static bool on_host_option(void *user, int val, const char *argument)
{
    HostCommand *command = user;
    (void)argument;
    command->wait = command->wait || val == OPTION_WAIT;
    command->yes = command->yes || val == OPTION_YES;
    return true;
}

/* "weir: `weir host WORD` …". */
static int misused(const char *word, const char *how)
{
    fprintf(stderr, "weir: `weir host %s` %s\n", word, how);
    return err_exit_code(ERR_INVALID);
}

static int host_run(Cli *cli, const HostCommand *command)
{
    if (command->wait && strcmp(command->word, "drain") != 0) {
        return misused(command->word, "does not wait: take out --wait");
    }
    if (command->yes && strcmp(command->word, "recover") != 0) {
        return misused(command->word, "asks nothing: take out --yes");
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i].word, command->word) == 0) {
            Err err;
            if (cli->format == CLI_JSON && !words[i].has_json) {
                return misused(command->word, "has no JSON: take out -o json");
            }
            if (words[i].named && command->name == NULL) {
                return misused(command->word, "takes the name of a host");
            }
            if (words[i].offline && command->name != NULL) {
                return misused(command->word,
                               "is of the host that it is said on: take out the name");
            }
            bool ok =
                (words[i].offline || cli_connect(cli, &err)) && words[i].run(cli, command, &err);
            return ok ? 0 : cli_fail(&err);
        }
    }
    return misused(command->word, "is not there: see `weir host --help`");
}

int host_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"wait", no_argument, NULL, OPTION_WAIT}, {"yes", no_argument, NULL, OPTION_YES}, {0}};
    HostCommand command = {0};
    const CliSpec spec = {
        .usage = "usage: weir host list|token|drain|undrain|remove|recover [NAME] [--wait]\n"
                 "                 [--yes] [--data DIR] [-o table|json]\n\n"
                 "The hosts of a tier that stands on several.\n"
                 "  list [NAME]  what there is: zone, network, whether it is alive, whether it\n"
                 "               votes in the tier's store, and which engines it has; of one that\n"
                 "               drains, what each of them waits for\n"
                 "  token        prints what lets one further host in, for an hour: `weir up`\n"
                 "               takes it there\n"
                 "  drain NAME   its engines move to other hosts: standbys and replicas are made\n"
                 "               anew there, leaders hand over first. Returns at once\n"
                 "    --wait     shows how they leave, and returns when none is left, and the\n"
                 "               store does not need the host any more\n"
                 "  undrain NAME ends that; nothing moves back\n"
                 "  remove NAME  takes the host out of the tier for good; its name is not used\n"
                 "               again. Refused while it is alive and has engines or does not\n"
                 "               drain, and, of one that is gone, where anything would be lost\n"
                 "  recover      where the hosts that vote in the store are lost for good: the\n"
                 "               tier goes on from what this host has of it. What those have\n"
                 "               counts no more: they must not come back with it\n"
                 "    --yes      they are lost\n",
        .operands_min = 1,
        .operands_max = 2,
        .has_json = true,
        .options = options,
        .on_option = on_host_option,
        .user = &command};
    Cli cli;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else {
        command.word = argv[optind];
        command.name = optind + 1 < argc ? argv[optind + 1] : NULL;
        status = host_run(&cli, &command);
    }
    cli_done(&cli);
    return status;
}
