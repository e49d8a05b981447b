/*
 * Sessions with replication=database. The client has a walsender of its own, and may say to it what
 * it likes: replication commands and SQL. Two things it may not (RULES F4):
 *
 * - Copy or follow the whole server. A walsender of a database also knows the physical commands.
 * - Choose the name that its stream has for synchronous_standby_names, or it could release commits
 *   that no standby has. SQL can set application_name in more ways than a text shows, so no text is
 *   judged by it: where START_REPLICATION comes, a SET goes in front, alone and answered, and
 *   nothing of the client's is run between the two. In the stream itself there is no SQL.
 *
 *   NAME_OPEN --- START_REPLICATION waits, SET is sent ---> NAME_ASKED --- answered ---> NAME_SET
 *       ^----- START_REPLICATION or anything else that PostgreSQL runs is forwarded ---------'
 *
 * PostgreSQL tells a replication command by its first word (repl_scanner.l), takes it from a Query
 * alone, and takes one per Query.
 */
#include "session/parts_priv.h"

static const char set_name[] = "SET application_name = '" WALSENDER_NAME "'";

void session_init_walsender(Session *session)
{
    session_init(session, true);
    session->walsender = true;
    session->pin = PIN_REPLICATION;
    session->pinned_for_good = true;
}

/* ---- what a text asks for ----------------------------------------------------------------------
 */

typedef enum Command {
    COMMAND_OTHER, /* SQL, or what is nobody's harm */
    COMMAND_START, /* of a logical stream */
    COMMAND_PHYSICAL,
    COMMAND_HIDDEN, /* its first word is not to be seen */
} Command;

static bool is_letter(char c)
{
    return (char_lower(c) >= 'a' && char_lower(c) <= 'z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A word, a name in quotes, or any other character; empty at the end. */
static Slice token_next(Slice *text)
{
    while (text->len > 0 && is_space(text->data[0])) {
        *text = slice_skip(*text, 1);
    }
    size_t len = text->len > 0 ? 1 : 0;
    if (len > 0 && text->data[0] == '"') {
        while (len < text->len && text->data[len] != '"') {
            len++;
        }
        len += len < text->len ? 1 : 0;
    } else if (len > 0 && is_letter(text->data[0])) {
        while (len < text->len && (is_letter(text->data[len]) || is_digit(text->data[len]))) {
            len++;
        }
    }
    Slice token = {text->data, len};
    *text = slice_skip(*text, len);
    return token;
}

/* CREATE_REPLICATION_SLOT name [TEMPORARY] LOGICAL … */
static Command slot_command(Slice rest)
{
    (void)token_next(&rest);
    Slice token = token_next(&rest);
    token = slice_is_nocase(token, "temporary") ? token_next(&rest) : token;
    return slice_is_nocase(token, "logical") ? COMMAND_OTHER : COMMAND_PHYSICAL;
}

/* START_REPLICATION SLOT name LOGICAL … */
static Command start_command(Slice rest)
{
    bool slot = slice_is_nocase(token_next(&rest), "slot");
    (void)token_next(&rest);
    bool logical = slice_is_nocase(token_next(&rest), "logical");
    return slot && logical ? COMMAND_START : COMMAND_PHYSICAL;
}

/* Whatever stands in front of the first word is not looked at, so that no scanner finds it sooner.
 */
static Command command_of(Slice text, bool whole)
{
    static const char *const physical[] = {"base_backup", "upload_manifest", "timeline_history",
                                           "read_replication_slot"};
    while (text.len > 0 && !is_letter(text.data[0])) {
        text = slice_skip(text, 1);
    }
    Slice word = token_next(&text);
    if (text.len == 0 && !whole) {
        return COMMAND_HIDDEN;
    }
    if (slice_is_nocase(word, "start_replication")) {
        return start_command(text);
    }
    if (slice_is_nocase(word, "create_replication_slot")) {
        return slot_command(text);
    }
    for (size_t i = 0; i < ARRAY_LEN(physical); i++) {
        if (slice_is_nocase(word, physical[i])) {
            return COMMAND_PHYSICAL;
        }
    }
    return COMMAND_OTHER;
}

/* ---- from the client ---------------------------------------------------------------------------
 */

static SessionStep refuse(SessionOut *out, const char *sqlstate, const char *problem)
{
    out->sqlstate = sqlstate;
    out->problem = problem;
    return STEP_REFUSE;
}

static SessionStep start_before(Exchange *exchange, SessionOut *out)
{
    if (exchange_is_deaf(exchange) || exchange->flight.unsure) {
        return refuse(out, "08P01", "START_REPLICATION cannot be told from what is around it");
    }
    if (exchange->streaming && !exchange->stream_done) { /* nothing would end the wait */
        return refuse(out, "08P01", "START_REPLICATION inside of a stream");
    }
    if (!flight_is_empty(&exchange->flight)) {
        return STEP_WAIT;
    }
    if (exchange->status != 'I') {
        return refuse(out, "25001", "START_REPLICATION cannot run inside a transaction block");
    }
    if (exchange->name == NAME_SET) {
        exchange->name = NAME_OPEN;
        exchange->stream_done = false;
        return STEP_FORWARD;
    }
    buf_clear(&exchange->own);
    pg_put_query(&exchange->own, slice_of(set_name));
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    exchange->name = NAME_ASKED;
    session_put_before(out, buf_slice(&exchange->own));
    return STEP_WAIT;
}

SessionStep walsender_before(Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    if (strchr("dcfHS", piece->type) != NULL) {
        exchange->stream_done = exchange->stream_done || piece->type == 'c' || piece->type == 'f';
        return STEP_FORWARD; /* nothing is run */
    }
    Slice body = piece->type == 'Q' ? piece->body : (Slice){0};
    Slice text = slice_cut(&body, '\0');
    switch (command_of(text, piece->last || piece->type != 'Q')) {
    case COMMAND_START:
        return start_before(exchange, out);
    case COMMAND_PHYSICAL:
        return refuse(out, "0A000",
                      "physical replication through this endpoint is not supported: a stream is "
                      "START_REPLICATION SLOT name LOGICAL, and a slot is LOGICAL");
    case COMMAND_HIDDEN:
        return refuse(out, "54000", "no command in the first 16 KiB of a replication command");
    case COMMAND_OTHER:
    default:
        exchange->name = NAME_OPEN;
        return STEP_FORWARD;
    }
}

/* ---- from the server ---------------------------------------------------------------------------
 */

void walsender_take_ready(Exchange *exchange, const FlightAnswer *answer)
{
    if (answer->ours && exchange->name == NAME_ASKED) {
        exchange->name = NAME_SET;
    }
}

bool session_streams(const Session *session, const Exchange *exchange)
{
    return session->walsender && exchange->streaming;
}
