/* The text of a hosts file in which the names of the AWS API lead to the tier. Pure. */
#include <ctype.h>

#include "cli/run/run_priv.h"

static bool is_one_of(Slice word, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (slice_is_nocase(word, *names)) {
            return true;
        }
    }
    return false;
}

/* The next word of a line; empty at the end. */
static Slice word_next(Slice *line)
{
    *line = slice_trim(*line);
    size_t len = 0;
    while (len < line->len && !isspace((unsigned char)line->data[len])) {
        len++;
    }
    Slice word = slice_from(line->data, len);
    *line = slice_skip(*line, len);
    return word;
}

static bool line_names(Slice line, const char *const *names)
{
    (void)word_next(&line); /* the address */
    for (Slice word = word_next(&line); word.len > 0; word = word_next(&line)) {
        if (is_one_of(word, names)) {
            return true;
        }
    }
    return false;
}

/* The line without our names; nothing where it had no other. */
static void line_without(Slice line, const char *const *names, Buf *out)
{
    Slice address = word_next(&line);
    bool any = false;
    for (Slice word = word_next(&line); word.len > 0; word = word_next(&line)) {
        if (is_one_of(word, names)) {
            continue;
        }
        if (!any) {
            buf_append_slice(out, address);
        }
        any = true;
        buf_append_char(out, ' ');
        buf_append_slice(out, word);
    }
    if (any) {
        buf_append_char(out, '\n');
    }
}

void run_hosts_text(Slice real, const char *address, const char *const *names, Buf *out)
{
    buf_append_str(out, "# weir run: the AWS API of this tier\n");
    for (const char *const *name = names; *name != NULL; name++) {
        buf_printf(out, "%s %s\n", address, *name);
    }
    while (real.len > 0) {
        Slice line = slice_cut(&real, '\n');
        Slice said = line; /* without what stands behind a '#' */
        said = slice_cut(&said, '#');
        if (line_names(said, names)) {
            line_without(said, names, out);
        } else {
            buf_append_slice(out, line);
            buf_append_char(out, '\n');
        }
    }
}

const char *run_endpoint_address(Arena *arena, const char *endpoint)
{
    Slice rest = slice_of(endpoint);
    if (!slice_starts(rest, "https://")) {
        return NULL;
    }
    rest = slice_skip(rest, strlen("https://"));
    Slice address = slice_cut(&rest, ':');
    if (rest.len == 0 || address.len == 0 || memchr(address.data, '/', address.len) != NULL) {
        return NULL;
    }
    return arena_slice_str(arena, address);
}
