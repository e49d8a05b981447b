/* Node: whether a command runs it, and how it is told to load node_preload.cjs first. Pure. */
#include "cli/run/run_priv.h"

static Slice base_name(Slice path)
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.data[i - 1] == '/') {
            return slice_skip(path, i);
        }
    }
    return path;
}

/* ---- who runs it -------------------------------------------------------------------------- */

bool run_node_is_name(const char *command)
{
    /* Beside Node itself its package managers: they are often wrappers in another language. */
    static const char *const names[] = {"node", "nodejs", "npm",  "npx",
                                        "yarn", "pnpm",   "pnpx", "corepack"};
    Slice name = base_name(slice_of(command));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Of env's arguments the command: behind options and assignments. -S is followed by it. */
static Slice env_command(Slice rest)
{
    while (rest.len > 0) {
        Slice word = slice_cut(&rest, ' ');
        if (slice_starts(word, "-S")) {
            word = slice_skip(word, 2);
        } else if (slice_starts(word, "--split-string=")) {
            word = slice_skip(word, strlen("--split-string="));
        }
        bool option = word.len > 0 && word.data[0] == '-';
        bool assignment = word.len > 0 && memchr(word.data, '=', word.len) != NULL;
        if (word.len > 0 && !option && !assignment) {
            return word;
        }
    }
    return rest;
}

bool run_node_is_script(Slice head)
{
    if (!slice_starts(head, "#!")) {
        return false;
    }
    head = slice_skip(head, 2);
    Slice rest = slice_trim(slice_cut(&head, '\n'));
    Slice program = base_name(slice_cut(&rest, ' '));
    if (slice_is(program, "env")) {
        program = base_name(env_command(rest));
    }
    return slice_is(program, "node") || slice_is(program, "nodejs");
}

/* ---- NODE_OPTIONS ------------------------------------------------------------------------- */

/* Node's own quoting: '\' and '"' are escaped inside double quotes. */
static void quote(const char *text, Buf *out)
{
    buf_append_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *text);
    }
    buf_append_char(out, '"');
}

char *run_node_options(const char *old, const char *preload)
{
    Buf ours;
    buf_init(&ours, BUF_MAX_DEFAULT);
    buf_append_str(&ours, "--require ");
    quote(preload, &ours);
    bool any = old != NULL && old[0] != '\0';
    char *text = any && strstr(old, buf_str(&ours)) != NULL ? mem_strdup(old)
                 : any ? mem_printf("%s %s", old, buf_str(&ours))
                       : mem_strdup(buf_str(&ours));
    buf_done(&ours);
    return text;
}
