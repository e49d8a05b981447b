/*
 * A node that nobody reaches over the network: what comes for its address is dropped, and what
 * comes from it, without a word, as on a cable that is cut. Its Unix socket, and so its agent,
 * still has it; and so has it whom it connects to itself, for that it does by the host's address.
 * By nft, in a table of the node's own, so that it is mended by one command whatever became of us:
 * nft delete table inet weir-NODE.
 */
#include <unistd.h>

#include "serve/chaos_priv.h"

#define NFT_MS 10000

static bool nft(const char *script, Err *err)
{
    /* Where ordinary users have no /usr/sbin in PATH, they may not do it either. */
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    const CommandSpec spec = {.argv = argv, .input = slice_of(script), .timeout_ms = NFT_MS};
    CommandResult result;
    if (geteuid() != 0) {
        return err_set(err, ERR_DENIED, "a link is cut by root only: bring the tier up as root");
    }
    bool ok = command_run(&spec, &result, err);
    command_result_done(&result);
    if (!ok && err->code == ERR_NOT_FOUND) {
        return err_set(err, ERR_UNAVAILABLE, "a link is cut by nft: apt-get install nftables");
    }
    return ok;
}

/* The address of its engine, and the name of its table. */
static bool place(const Victim *victim, Arena *arena, const char **ret_address,
                  const char **ret_table, Err *err)
{
    StoreItem item;
    CLEANUP(record_free_ptr) json_t *goal = NULL;
    TRY(store_get(victim->tier->store, slice_of(arena_printf(arena, "node/%s/goal", victim->node)),
                  arena, &item, err));
    TRY(record_parse(item.value, &goal, err));
    *ret_address = arena_printf(arena, "%s.%s", victim->tier->net, member_str(goal, "address", ""));
    *ret_table = arena_printf(arena, "inet weir-%s", victim->node);
    return true;
}

/* Twice is once: the table is made anew. */
bool chaos_cut_link(const Victim *victim, size_t *ret_processes, Err *err)
{
    (void)ret_processes;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *address, *table;
    TRY(place(victim, arena, &address, &table, err));
    return nft(arena_printf(arena,
                            "add table %s\n"
                            "delete table %s\n"
                            "table %s {\n"
                            "  chain cut {\n"
                            "    type filter hook input priority 0; policy accept;\n"
                            "    ip daddr %s drop\n"
                            "    ip saddr %s drop\n"
                            "  }\n"
                            "}\n",
                            table, table, table, address, address),
               err);
}

bool chaos_mend_link(const Victim *victim, size_t *ret_processes, Err *err)
{
    (void)ret_processes;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *address, *table;
    TRY(place(victim, arena, &address, &table, err));
    return nft(arena_printf(arena, "add table %s\ndelete table %s\n", table, table), err);
}
