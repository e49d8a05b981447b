/*
 * `weir proxy explain`: reads statements, and prints what a pool would do with each. It asks no
 * server anything.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/admin/explain_priv.h"
#include "session/session.h"

#define SOURCE_BYTES_MAX  ((size_t)64 << 20)
#define EXCERPT_BYTES_MAX 72
#define SETTINGS_TEXT_MAX ((size_t)64 << 10)
#define SEE_HELP          "see `weir proxy explain --help`"

typedef struct Command {
    bool help, json;
    Buf settings; /* name, NUL, value, NUL, … */
    Explain explain;
    size_t sql_lines; /* of the arguments so far */
    bool pinned;
    PinReason login;    /* what the settings pin by themselves */
    json_t *statements; /* with `json` */
} Command;

static const char usage[] =
    "usage: weir proxy explain [--setting NAME=VALUE]… [-o table|json] [FILE | SQL]…\n\n"
    "Says of each statement whether a pool shares the server connection behind it\n"
    "(multiplexes) or the session keeps it (pins), and why; nothing is run, and no\n"
    "server is asked. An argument that is a file, or a word with a dot or a slash in\n"
    "it, is read; others are SQL. Without any, or for -, standard input is.\n\n"
    "  --setting NAME=VALUE  what the client has set: client_encoding and\n"
    "                        standard_conforming_strings decide how texts are read\n"
    "  -o table|json         how it is printed; the default is a line for each\n\n"
    "Exit status: 0 nothing pins, 1 something does, 2 bad input.\n";

static const char hidden_note[] = "Not known here: names behind which a database hides state "
                                  "(hidden_state), for it is not asked.";

/* ---- output ------------------------------------------------------------------------------------
 */

/* LISTEN pins for a moment only, and then its channels are a shared connection's. */
static uint32_t lasting_pins(const TextEffects *effects)
{
    return effects->pins & ~PIN_BIT(PIN_LISTEN);
}

/* The first that was found, if it is one of them. */
static PinReason lasting_pin(const TextEffects *effects)
{
    uint32_t pins = lasting_pins(effects);
    return pins == 0                    ? PIN_NONE
           : effects->pin != PIN_LISTEN ? effects->pin
                                        : (PinReason)__builtin_ctz(pins);
}

static const char *how_long(PinReason reason)
{
    return pin_can_end(reason) ? "until it is gone" : "to the end of the session";
}

static void put_pin(Buf *line, PinReason reason)
{
    buf_printf(line, "%s, %s: %s", pin_reason_name(reason), how_long(reason),
               pin_reason_sentence(reason));
}

static void put_pins(Buf *line, const TextEffects *effects)
{
    PinReason first = lasting_pin(effects);
    put_pin(line, first);
    for (PinReason reason = PIN_NONE + 1; reason < PIN_REASON_COUNT; reason++) {
        if (reason != first && (lasting_pins(effects) & PIN_BIT(reason)) != 0) {
            buf_append_char(line, ' ');
            put_pin(line, reason);
        }
    }
}

/* All that pins. */
static bool pins_can_end(const TextEffects *effects)
{
    bool can = true;
    for (PinReason reason = PIN_NONE + 1; reason < PIN_REASON_COUNT; reason++) {
        can = can && ((lasting_pins(effects) & PIN_BIT(reason)) == 0 || pin_can_end(reason));
    }
    return can;
}

static void print_line(const char *source, const Explained *explained)
{
    PinReason pin = lasting_pin(&explained->effects);
    Buf line;
    buf_init(&line, BUF_MAX_DEFAULT);
    buf_printf(&line, "%s:%zu: %s: ", source, explained->line,
               pin != PIN_NONE ? "pins" : "multiplexes");
    explain_excerpt(explained->text, EXCERPT_BYTES_MAX, &line);
    size_t before = line.len;
    buf_append_str(&line, " -- ");
    if (pin != PIN_NONE) {
        put_pins(&line, &explained->effects);
    } else {
        explain_remarks(&explained->effects, &line);
    }
    if (line.len == before + 4) {
        buf_truncate(&line, before);
    }
    puts(buf_str(&line));
    buf_done(&line);
}

static json_t *settings_json(Slice touched, Touch which)
{
    json_t *list = json_array();
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch == which) {
            json_array_append_new(list, json_stringn(name.data, name.len));
        }
    }
    return list;
}

static json_t *pin_json(PinReason pin, bool can_end)
{
    return pin == PIN_NONE ? json_null()
                           : json_pack("{s:s, s:s, s:b}", "reason", pin_reason_name(pin),
                                       "sentence", pin_reason_sentence(pin), "can_end", can_end);
}

/* As it is; what is not UTF-8, as the lines show it. */
static json_t *text_json(Slice text)
{
    json_t *json = json_stringn(text.data, text.len);
    if (json == NULL) {
        Buf safe;
        buf_init(&safe, 2 * SOURCE_BYTES_MAX);
        explain_excerpt(text, SOURCE_BYTES_MAX, &safe);
        json = json_stringn(safe.data, safe.len);
        buf_done(&safe);
    }
    return json;
}

static void add_json(json_t *list, const char *source, const Explained *explained)
{
    const TextEffects *effects = &explained->effects;
    PinReason pin = lasting_pin(effects);
    json_t *item = json_pack(
        "{s:o, s:I, s:o, s:b, s:o, s:b, s:o, s:o, s:b, s:b, s:b, s:b}", "source",
        text_json(slice_of(source)), "line", (json_int_t)explained->line, "text",
        text_json(explained->text), "pins", pin != PIN_NONE, "pin",
        pin_json(pin, pins_can_end(effects)), "listens", (effects->pins & PIN_BIT(PIN_LISTEN)) != 0,
        "sets", settings_json(effects->touched, TOUCH_SET), "resets",
        settings_json(effects->touched, TOUCH_RESET), "alone", effects->alone, "writes",
        effects->writes, "releases", effects->releases, "ddl", effects->ddl);
    ASSERT(item != NULL); /* all of it is UTF-8 */
    json_array_append_new(list, item);
}

static void print_end(const Command *command)
{
    if (!command->json) {
        puts(hidden_note);
        return;
    }
    json_t *all = json_pack("{s:O, s:o, s:s}", "statements", command->statements, "login",
                            pin_json(command->login, false), "note", hidden_note);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

/* ---- input -------------------------------------------------------------------------------------
 */

static bool explain_text(Command *command, const char *source, Slice text, size_t lines, Err *err)
{
    Explained explained;
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL) {
        return err_set(err, ERR_INVALID, "%s is not text: it has a NUL byte", source);
    }
    command->explain.rest = text;
    command->explain.lines = lines;
    while (explain_next(&command->explain, &explained)) {
        if (explained.open) {
            return err_set(err, ERR_INVALID,
                           "%s:%zu: the statement has no end: a quote, a comment, a parenthesis "
                           "or a body is open",
                           source, explained.line);
        }
        command->pinned = command->pinned || lasting_pin(&explained.effects) != PIN_NONE;
        if (command->json) {
            add_json(command->statements, source, &explained);
        } else {
            print_line(source, &explained);
        }
    }
    return true;
}

static bool explain_file(Command *command, const char *path, Err *err)
{
    bool standard = strcmp(path, "-") == 0;
    Buf text;
    buf_init(&text, SOURCE_BYTES_MAX);
    bool ok = standard ? fd_read_all(STDIN_FILENO, "standard input", &text, err)
                       : file_read(path, &text, err);
    ok = ok && explain_text(command, standard ? "stdin" : path, buf_slice(&text), 0, err);
    buf_done(&text);
    return ok;
}

static bool is_path(const char *argument)
{
    struct stat info;
    bool word = argument[strcspn(argument, " \t\r\n")] == '\0';
    return strcmp(argument, "-") == 0 || (word && strpbrk(argument, "./") != NULL) ||
           (stat(argument, &info) == 0 && !S_ISDIR(info.st_mode));
}

/* Each argument is as if it began on a line of its own. */
static bool explain_argument(Command *command, const char *argument, Err *err)
{
    if (is_path(argument)) {
        return explain_file(command, argument, err);
    }
    TRY(explain_text(command, "sql", slice_of(argument), command->sql_lines, err));
    command->sql_lines = command->explain.lines + 1;
    return true;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static bool take_setting(Command *command, const char *text, Err *err)
{
    Slice value = slice_of(text);
    Slice name = slice_cut(&value, '=');
    SqlDialect *dialect = &command->explain.dialect;
    if (value.data == NULL || name.len == 0) {
        return err_set(err, ERR_INVALID, "--setting takes NAME=VALUE, not %s", text);
    }
    if (slice_is_nocase(name, "client_encoding")) {
        dialect->unsafe_encoding = !sql_encoding_is_safe(value);
    } else if (slice_is_nocase(name, "standard_conforming_strings")) {
        dialect->backslash_strings = slice_is_nocase(value, "off");
        if (!dialect->backslash_strings && !slice_is_nocase(value, "on")) {
            return err_set(err, ERR_INVALID, "%.*s is on or off, not %s", SLICE_FMT(name),
                           value.data);
        }
    }
    pg_put_str(&command->settings, name);
    pg_put_str(&command->settings, value);
    return !command->settings.overflowed || err_set(err, ERR_INVALID, "too many settings");
}

static bool take_output(Command *command, const char *name, Err *err)
{
    command->json = strcmp(name, "json") == 0;
    return command->json || strcmp(name, "table") == 0 ||
           err_set(err, ERR_INVALID, "unknown output \"%s\"; there are: table, json", name);
}

static bool options_read(Command *command, int argc, char **argv, Err *err)
{
    static const struct option options[] = {{"setting", required_argument, NULL, 's'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int val;
    opterr = 0;
    while ((val = getopt_long(argc, argv, ":o:h", options, NULL)) != -1) {
        if (val == '?' && optopt != 0) {
            return err_set(err, ERR_INVALID, "there is no option -%c: " SEE_HELP, optopt);
        }
        if (val == '?' || val == ':') {
            return err_set(err, ERR_INVALID, "%s %s: " SEE_HELP,
                           val == '?' ? "there is no option" : "a value is missing behind",
                           argv[optind - 1]);
        }
        TRY(val != 's' || take_setting(command, optarg, err));
        TRY(val != 'o' || take_output(command, optarg, err));
        command->help = command->help || val == 'h';
    }
    return true;
}

/* A start packet with these settings may pin by itself. */
static void check_settings(Command *command)
{
    Session session;
    session_init(&session, false);
    command->login = session_check_start(&session, buf_slice(&command->settings));
    session_done(&session);
    command->pinned = command->login != PIN_NONE;
    if (command->pinned && !command->json) {
        printf("login: pins -- %s, to the end of the session: %s\n",
               pin_reason_name(command->login), pin_reason_sentence(command->login));
    }
}

static bool explain_all(Command *command, char *const *arguments, int count, Err *err)
{
    check_settings(command);
    if (count == 0) {
        return explain_file(command, "-", err);
    }
    for (int i = 0; i < count; i++) {
        TRY(explain_argument(command, arguments[i], err));
    }
    return true;
}

static int command_run(Command *command, int argc, char **argv)
{
    Err err;
    bool ok = options_read(command, argc, argv, &err);
    if (ok && command->help) {
        fputs(usage, stdout);
        return 0;
    }
    if (ok && optind == argc && isatty(STDIN_FILENO)) {
        fputs(usage, stderr);
        return err_exit_code(ERR_INVALID);
    }
    if (!ok || !explain_all(command, argv + optind, argc - optind, &err)) {
        fprintf(stderr, "weir proxy: %s\n", err.message);
        return err_exit_code(ERR_INVALID);
    }
    print_end(command);
    return command->pinned ? 1 : 0;
}

int proxy_explain_main(int argc, char **argv)
{
    Command command = {.statements = json_array()};
    buf_init(&command.settings, SETTINGS_TEXT_MAX);
    int status = command_run(&command, argc, argv);
    buf_done(&command.settings);
    json_decref(command.statements);
    return status;
}
