/*
 * Which commands of a server write, by its own answer to COMMAND: those that have the flag `write`
 * (or `may_replicate`, of servers that tell it), themselves or in a subcommand; and those that run
 * scripts, unless they have `readonly`. Pure.
 */
#include "front/front_priv.h"

#define DEPTH_MAX        2 /* a command, and its subcommands */
#define COMMAND_NAME_MAX 128

/* What COMMAND says of a command, in this order. */
enum { AT_NAME, AT_ARITY, AT_FLAGS, AT_FIRST, AT_LAST, AT_STEP, AT_CATEGORIES, AT_SUBCOMMANDS = 9 };

struct FrontTable {
    Map *commands; /* name -> one of the two below */
};

static const char writes_yes = 'w';
static const char writes_no = 'r';

typedef struct Said {
    Slice name;
    bool write;
    bool readonly;
    bool scripting;
} Said;

static bool is_aggregate(char type)
{
    return type == '*' || type == '~' || type == '%' || type == '|' || type == '>';
}

static bool take(Slice *in, RespValue *ret_value)
{
    return resp_value_read(in, ret_value) == WIRE_DONE;
}

static bool take_list(Slice *in, int64_t *ret_count)
{
    RespValue value;
    if (!take(in, &value) || (value.type != '*' && value.type != '~')) {
        return false;
    }
    *ret_count = value.null ? 0 : value.count;
    return true;
}

static bool skip(Slice *in)
{
    for (int64_t left = 1; left > 0; left--) {
        RespValue value;
        if (!take(in, &value)) {
            return false;
        }
        if (is_aggregate(value.type) && !value.null) {
            bool pairs = value.type == '%' || value.type == '|';
            left += pairs ? 2 * value.count : value.count;
        }
    }
    return true;
}

static bool take_words(Slice *in, Said *said)
{
    int64_t count;
    if (!take_list(in, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        RespValue word;
        if (!take(in, &word) || is_aggregate(word.type)) {
            return false;
        }
        said->write =
            said->write || slice_is(word.text, "write") || slice_is(word.text, "may_replicate");
        said->readonly = said->readonly || slice_is(word.text, "readonly");
        said->scripting = said->scripting || slice_is(word.text, "@scripting");
    }
    return true;
}

static bool take_command(Slice *in, int depth, Said *ret_said);

static bool take_subcommands(Slice *in, int depth, Said *said)
{
    int64_t count;
    if (!take_list(in, &count) || (count > 0 && depth == DEPTH_MAX)) {
        return false;
    }
    for (; count > 0; count--) {
        Said sub;
        if (!take_command(in, depth + 1, &sub)) {
            return false;
        }
        said->write = said->write || sub.write;
    }
    return true;
}

static bool take_command(Slice *in, int depth, Said *ret_said)
{
    int64_t count;
    RespValue name;
    if (!take_list(in, &count) || count <= AT_CATEGORIES || !take(in, &name)) {
        return false;
    }
    Said said = {.name = name.text};
    for (int64_t at = AT_ARITY; at < count; at++) {
        bool words = at == AT_FLAGS || at == AT_CATEGORIES;
        bool ok = words                  ? take_words(in, &said)
                  : at == AT_SUBCOMMANDS ? take_subcommands(in, depth, &said)
                                         : skip(in);
        if (!ok) {
            return false;
        }
    }
    *ret_said = said;
    return true;
}

static bool table_add(FrontTable *table, const Said *said)
{
    char name[COMMAND_NAME_MAX];
    if (said->name.len == 0 || said->name.len > sizeof(name)) {
        return false;
    }
    for (size_t i = 0; i < said->name.len; i++) {
        name[i] = char_upper(said->name.data[i]);
    }
    bool writes = said->write || (said->scripting && !said->readonly);
    map_set(table->commands, slice_from(name, said->name.len),
            (void *)(uintptr_t)(writes ? &writes_yes : &writes_no));
    return true;
}

bool front_table_parse(Slice reply, FrontTable **ret_table, Err *err)
{
    int64_t count;
    FrontTable *table = mem_alloc(sizeof(FrontTable));
    table->commands = map_new();
    bool ok = take_list(&reply, &count);
    for (; ok && count > 0; count--) {
        Said said;
        ok = take_command(&reply, 1, &said) && table_add(table, &said);
    }
    if (!ok || map_len(table->commands) == 0) {
        front_table_free(table);
        return err_set(err, ERR_UNSUPPORTED, "it does not say which of its commands write");
    }
    *ret_table = table;
    return true;
}

void front_table_free(FrontTable *table)
{
    if (table != NULL) {
        map_free(table->commands);
        mem_free(table);
    }
}

bool front_table_writes(const FrontTable *table, Slice name)
{
    return map_get(table->commands, name) != &writes_no;
}
