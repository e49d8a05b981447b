/* Where the files of a node's guard are. */
#include "guard/guard_priv.h"

bool guard_node_check(const char *node, Err *err)
{
    size_t len = strlen(node);
    bool good = len >= 1 && len <= GUARD_NODE_MAX && node[0] != '.';
    for (size_t i = 0; i < len && good; i++) {
        char c = node[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    }
    return good || err_set(err, ERR_INVALID,
                           "'%s' is not a node's id: letters, digits, '-', '_', '.', at most %d",
                           node, GUARD_NODE_MAX);
}

char *guard_folder(const char *run)
{
    return mem_printf("%s/guard", run);
}

char *guard_path(const char *run, const char *node, GuardFile file)
{
    static const char *const endings[] = {
        [GUARD_FILE_LOCK] = "lock",
        [GUARD_FILE_SOCKET] = "sock",
        [GUARD_FILE_EXIT] = "exit",
    };
    return mem_printf("%s/guard/%s.%s", run, node, endings[file]);
}
