/* Texts to commands. Pure. What PgBouncer's console knows and this one has not is refused by name.
 */
#include <stdio.h>

#include "proxy/admin/admin_priv.h"

#define SHOWN_MAX 60 /* bytes of a wrong command in the error that it gets */

static Slice next_word(Slice *rest)
{
    Slice text = slice_trim(*rest);
    size_t len = 0;
    while (len < text.len && strchr(" \t\n\r\f\v", text.data[len]) == NULL) {
        len++;
    }
    *rest = slice_trim(slice_skip(text, len));
    return (Slice){text.data, len};
}

/* Shows at most SHOWN_MAX bytes of the text. */
static AdminCommand refuse(const char *sqlstate, const char *before, Slice text, const char *behind)
{
    AdminCommand command = {.kind = ADMIN_REFUSED, .sqlstate = sqlstate};
    bool cut = text.len > SHOWN_MAX;
    text.len = cut ? SHOWN_MAX : text.len;
    while (cut && text.len > 0 && (text.data[text.len] & 0xc0) == 0x80) {
        text.len--; /* not in the middle of a character */
    }
    snprintf(command.message, sizeof(command.message), "%s%.*s%s%s", before, SLICE_FMT(text),
             cut ? "…" : "", behind);
    return command;
}

static const AdminTable *find_in(const AdminTable *tables, size_t count, Slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is_nocase(name, tables[i].name)) {
            return &tables[i];
        }
    }
    return NULL;
}

static const AdminTable *find_table(Slice name)
{
    const AdminTable *table = find_in(admin_tables, admin_table_count, name);
    table = table != NULL ? table : find_in(admin_stat_tables, admin_stat_table_count, name);
    return table != NULL ? table : find_in(admin_gather_tables, admin_gather_table_count, name);
}

static AdminCommand parse_show(Slice rest, Slice whole)
{
    Slice name = next_word(&rest);
    if (rest.len > 0) {
        return refuse("42601", "invalid command '", whole, "', use SHOW HELP;");
    }
    if (slice_is_nocase(name, "help")) {
        return (AdminCommand){.kind = ADMIN_HELP};
    }
    const AdminTable *table = find_table(name);
    if (table == NULL) {
        return refuse("42601", "invalid command '", whole, "', use SHOW HELP;");
    }
    return (AdminCommand){.kind = ADMIN_SHOW, .table = table};
}

static bool is_refused(Slice word)
{
    static const char *const words[] = {"pause",    "resume", "kill",      "kill_client",
                                        "disable",  "enable", "reconnect", "suspend",
                                        "shutdown", "set",    "wait_close"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_is_nocase(word, words[i])) {
            return true;
        }
    }
    return false;
}

AdminCommand admin_command_parse(Slice text)
{
    Slice whole = slice_trim(text);
    while (slice_ends(whole, ";")) {
        whole = slice_trim((Slice){whole.data, whole.len - 1});
    }
    Slice rest = whole;
    Slice word = next_word(&rest);
    if (word.len == 0) {
        return (AdminCommand){.kind = ADMIN_EMPTY};
    }
    if (slice_is_nocase(word, "show")) {
        return parse_show(rest, whole);
    }
    if (slice_is_nocase(word, "reload") && rest.len == 0) {
        return (AdminCommand){.kind = ADMIN_RELOAD};
    }
    if (is_refused(word)) {
        return refuse("0A000", "", word, " is not supported by this proxy");
    }
    return refuse("42601", "invalid command '", whole, "', use SHOW HELP;");
}

static void put_names(Buf *out, const AdminTable *tables, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s", tables[i].name);
        for (char *c = name; *c != '\0'; c++) {
            *c = char_upper(*c);
        }
        buf_printf(out, "\n\tSHOW %s", name);
    }
}

void admin_put_help(Buf *out)
{
    buf_append_str(out, "\n\tSHOW HELP");
    put_names(out, admin_tables, admin_table_count);
    put_names(out, admin_stat_tables, admin_stat_table_count);
    put_names(out, admin_gather_tables, admin_gather_table_count);
    buf_append_str(out, "\n\tRELOAD");
}
