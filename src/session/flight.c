/* See flight_priv.h. The head of the queue is what the server works on; it is popped by the message
 * that ends its answer. */
#include "session/flight_priv.h"

#define MASK      (FLIGHT_MAX - 1)
#define TYPE_BITS 0x0f

/* Of the client's messages in entries, in the order of `types`. */
enum { PARSE, BIND, DESCRIBE, CLOSE, EXECUTE, SYNC, QUERY, CALL, COPY_END };
static const char types[] = "PBDCESQFc";

static unsigned number_of(char type)
{
    static const uint8_t one_more[256] = {
        ['P'] = PARSE + 1, ['B'] = BIND + 1,    ['D'] = DESCRIBE + 1,
        ['C'] = CLOSE + 1, ['E'] = EXECUTE + 1, ['S'] = SYNC + 1,
        ['Q'] = QUERY + 1, ['F'] = CALL + 1,    ['c'] = COPY_END + 1};
    ASSERT(one_more[(uint8_t)type] > 0);
    return one_more[(uint8_t)type] - 1U;
}

/* Of the server's messages: the answers to which of those it ends, and which it may be in; a bit
 * for each. */
#define TO(kind) (uint16_t)(1U << (kind))
static const struct {
    uint16_t ends, inside;
} answers[256] = {
    ['1'] = {TO(PARSE), 0},
    ['2'] = {TO(BIND), 0},
    ['3'] = {TO(CLOSE), 0},
    ['t'] = {0, TO(DESCRIBE)},
    ['n'] = {TO(DESCRIBE), 0},
    ['T'] = {TO(DESCRIBE), TO(EXECUTE) | TO(QUERY)},
    ['D'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['C'] = {TO(EXECUTE), TO(QUERY)},
    ['I'] = {TO(EXECUTE), TO(QUERY)},
    ['s'] = {TO(EXECUTE), 0},
    ['H'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['G'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['W'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['d'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['c'] = {0, TO(EXECUTE) | TO(QUERY)},
    ['V'] = {0, TO(CALL)},
    ['Z'] = {TO(SYNC) | TO(QUERY) | TO(CALL), 0},
};

static char entry_at(const Flight *flight, size_t index)
{
    return types[flight->entries[(flight->first + index) & MASK] & TYPE_BITS];
}

static char head_type(const Flight *flight)
{
    return flight->len > 0 ? entry_at(flight, 0) : '\0';
}

static bool head_has(const Flight *flight, unsigned mark)
{
    return flight->len > 0 && (flight->entries[flight->first & MASK] & mark) != 0;
}

/* The end of a COPY has no answer of its own: it goes with what stood before it. */
static void pop(Flight *flight)
{
    do {
        flight->first = (flight->first + 1) & MASK;
        flight->len--;
    } while (head_type(flight) == 'c');
}

static void remove_at(Flight *flight, size_t index)
{
    for (size_t i = index; i + 1 < flight->len; i++) {
        flight->entries[(flight->first + i) & MASK] =
            flight->entries[(flight->first + i + 1) & MASK];
    }
    flight->len--;
}

char flight_head(const Flight *flight)
{
    return head_type(flight);
}

bool flight_is_ours(const Flight *flight)
{
    return head_has(flight, FLIGHT_OURS);
}

bool flight_is_full(const Flight *flight)
{
    return flight->len == FLIGHT_MAX;
}

bool flight_is_empty(const Flight *flight)
{
    return flight->len == 0 && !flight->skipping && !flight->copying && !flight->unsure;
}

bool flight_is_awaited(const Flight *flight)
{
    return flight->len > 0;
}

void flight_push(Flight *flight, char type, unsigned marks)
{
    ASSERT(!flight_is_full(flight));
    if (flight->copying && type == 'S') {
        flight->sync_in_copy = true;
        return;
    }
    if (flight->copying && type == 'c') {
        flight->copying = false;
        return;
    }
    if (flight->skipping && type != 'S') {
        return;
    }
    flight->skipping = false;
    if (type == 'c' && flight->len == 0) {
        return;
    }
    flight->entries[(flight->first + flight->len) & MASK] = (uint8_t)(number_of(type) | marks);
    flight->len++;
}

/* CopyInResponse: what was sent behind the head is read as COPY data, up to its end. */
static void copy_begin(Flight *flight)
{
    flight->copying = true;
    for (size_t i = 1; i < flight->len && flight->copying;) {
        char type = entry_at(flight, i);
        if (type != 'S' && type != 'c') {
            i++; /* the server ends the connection over it */
            continue;
        }
        flight->sync_in_copy = flight->sync_in_copy || type == 'S';
        flight->copying = type == 'S';
        remove_at(flight, i);
    }
}

static void copy_end(Flight *flight)
{
    flight->copying = false;
    flight->sync_in_copy = false;
}

/* Whether what fails stands in front of a Query or FunctionCall, which then is skipped, too. */
static bool is_before_query(const Flight *flight)
{
    size_t at = 0;
    while (at < flight->len && (flight->entries[(flight->first + at) & MASK] & FLIGHT_OURS) != 0) {
        at++;
    }
    return at > 0 && at < flight->len && strchr("QF", entry_at(flight, at)) != NULL;
}

/* The server drops what it gets until a Sync. */
static void skip_to_sync(Flight *flight, FlightAnswer *answer)
{
    while (flight->len > 0 && entry_at(flight, 0) != 'S') {
        answer->undone += head_has(flight, FLIGHT_RECORD);
        flight->first = (flight->first + 1) & MASK;
        flight->len--;
    }
    flight->skipping = flight->len == 0;
}

static void answer_error(Flight *flight, FlightAnswer *answer)
{
    char head = head_type(flight);
    answer->own_failed = head_has(flight, FLIGHT_OURS) && !head_has(flight, FLIGHT_TELL);
    answer->ours = answer->own_failed;
    answer->failed = head;
    /* Was the Sync read before the error, and ignored, or after it, and will be answered? */
    flight->unsure = flight->unsure || flight->sync_in_copy;
    copy_end(flight);
    if (head != '\0' && strchr("PBDCE", head) != NULL) {
        answer->query_skipped = is_before_query(flight);
        skip_to_sync(flight, answer);
    }
}

/* Whether the message ends the answer to the head; sets unsure where it cannot answer it at all. */
static bool ends_answer(Flight *flight, char type)
{
    if (flight->len == 0) {
        flight->unsure = true;
        return false;
    }
    uint16_t head = TO(flight->entries[flight->first & MASK] & TYPE_BITS);
    if ((answers[(uint8_t)type].ends & head) != 0) {
        return true;
    }
    flight->unsure = flight->unsure || (answers[(uint8_t)type].inside & head) == 0;
    return false;
}

/* Of `answers`, those that flight_pass knows. */
static bool passes(char type, bool ends)
{
    static const bool rows[256] = {['1'] = true, ['2'] = true, ['3'] = true, ['t'] = true,
                                   ['n'] = true, ['T'] = true, ['D'] = true, ['d'] = true};
    return rows[(uint8_t)type] || (ends && type == 'C');
}

/* The tag of a statement that says nothing of settings, statements or transactions. */
static bool is_plain_tag(Slice body)
{
    return slice_starts(body, "SELECT ") || slice_starts(body, "INSERT ") ||
           slice_starts(body, "UPDATE ") || slice_starts(body, "DELETE ");
}

size_t flight_pass(Flight *flight, Slice data, bool ends, bool *ret_completed)
{
    size_t at = 0;
    bool sure = !flight->unsure && !flight->copying && !flight->sync_in_copy;
    while (sure && flight->len > 0 && data.len - at >= PG_HEADER_SIZE) {
        Slice rest = slice_skip(data, at);
        uint8_t head = flight->entries[flight->first & MASK];
        char type = rest.data[0];
        size_t len = pg_message_len(rest.data);
        if (head > TYPE_BITS || !passes(type, ends) || len < PG_HEADER_SIZE || len > rest.len) {
            break;
        }
        bool ended = (answers[(uint8_t)type].ends & TO(head)) != 0;
        if ((!ended && (answers[(uint8_t)type].inside & TO(head)) == 0) ||
            (type == 'C' &&
             !is_plain_tag((Slice){rest.data + PG_HEADER_SIZE, len - PG_HEADER_SIZE}))) {
            break;
        }
        *ret_completed = *ret_completed || type == 'C';
        at += len;
        if (ended) {
            pop(flight);
        }
    }
    return at;
}

void flight_answer(Flight *flight, char type, FlightAnswer *ret_answer)
{
    *ret_answer = (FlightAnswer){.ours = head_has(flight, FLIGHT_OURS)};
    switch (type) {
    case 'A':
    case 'S':
        ret_answer->ours = false;
        return;
    case 'N':
        return;
    case 'E':
        answer_error(flight, ret_answer);
        return;
    case 'G':
        copy_begin(flight);
        break;
    case 'C':
        copy_end(flight);
        break;
    case 'Z':
        ret_answer->ready = true;
        break;
    default:
        break;
    }
    if (ends_answer(flight, type)) {
        ret_answer->ended = head_type(flight);
        ret_answer->stands = head_has(flight, FLIGHT_STANDS);
        ret_answer->recorded = head_has(flight, FLIGHT_RECORD);
        pop(flight);
    }
}
