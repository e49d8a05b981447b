/*
 * The load of a drill. Each writer is a client of its own that reads its requests from a pipe: what
 * reaches users is what reaches it, and a lost connection ends it, so that the next one begins
 * anew.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/drill/drill_priv.h"

#define PAUSE_MS    20    /* behind an error, before the next try */
#define END_MS      10000 /* for requests under way */
#define ANSWER_MAX  ((size_t)256 << 20)
#define PIECE_BYTES ((size_t)4096)

struct DrillWriter {
    DrillProgram client;
    bool busy; /* a request is under way */
    int64_t tried;
    int64_t again_ms;
    int64_t acked_ms;   /* the last one */
    VEC(uint8_t) acked; /* by number */
    Buf said;
};

/* ---- the client --------------------------------------------------------------------------------
 */

/* A whole command line: what leads to the server, and what is to be done there. */
static const char *const *command_line(Arena *arena, const DrillLoad *load,
                                       const char *const *arguments)
{
    VEC(const char *) argv = {0};
    for (const char *const *word = load->program; *word != NULL; word++) {
        arena_vec_push(arena, &argv, *word);
    }
    for (; *arguments != NULL; arguments++) {
        arena_vec_push(arena, &argv, *arguments);
    }
    arena_vec_push(arena, &argv, NULL);
    return argv.items;
}

/* One command to its end; what it said is in `out`. */
static bool client_run(const DrillLoad *load, DrillArgumentsFn *arguments, Buf *out, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *const *behind = arguments(arena, load->name, load->writers_len);
    return drill_program_run(command_line(arena, load, behind), out, err);
}

static bool client_do(const DrillLoad *load, DrillArgumentsFn *arguments, Err *err)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    bool ok = client_run(load, arguments, &out, err);
    buf_done(&out);
    return ok;
}

/* ---- a writer ----------------------------------------------------------------------------------
 */

static bool writer_start(const DrillLoad *load, DrillWriter *writer, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    buf_clear(&writer->said);
    writer->busy = false;
    return drill_program_start(command_line(arena, load, load->protocol->write), &writer->client,
                               err);
}

static void writer_ask(const DrillLoad *load, DrillWriter *writer)
{
    CLEANUP(mem_free_ptr)
    char *text =
        load->protocol->request(load->name, (size_t)(writer - load->writers), writer->tried);
    size_t len = strlen(text);
    writer->busy =
        write(writer->client.in, text, len) == (ssize_t)len; /* else its end is seen soon */
    writer->tried++;
    uint8_t no = 0;
    vec_push(&writer->acked, no);
}

/* It has nothing more to say, or nothing that counts. */
static void writer_lost(DrillLoad *load, DrillWriter *writer, int64_t now_ms)
{
    if (writer->client.in >= 0) { /* else it was told to end */
        load->lost_connections++;
        load->last_error_ms = now_ms;
    }
    drill_program_end(&writer->client);
    writer->again_ms = now_ms + PAUSE_MS;
}

static void count_code(DrillLoad *load, Slice code)
{
    code.len = code.len < DRILL_CODE_SIZE ? code.len : DRILL_CODE_SIZE - 1;
    for (size_t i = 0; i < load->codes_len; i++) {
        if (slice_is(code, load->codes[i].text)) {
            load->codes[i].count++;
            return;
        }
    }
    if (load->codes_len < DRILL_CODES_MAX) {
        DrillCode *entry = &load->codes[load->codes_len++];
        snprintf(entry->text, sizeof(entry->text), "%.*s", SLICE_FMT(code));
        entry->count = 1;
    }
}

static void acknowledged(DrillLoad *load, DrillWriter *writer, int64_t now_ms)
{
    writer->acked.items[writer->tried - 1] = 1;
    writer->acked_ms = now_ms;
    bool counts = load->fault_ms > 0 && now_ms >= load->fault_ms && !load->measured;
    if (counts && now_ms - load->last_ack_ms > load->gap_to_ms - load->gap_from_ms) {
        load->gap_from_ms = load->last_ack_ms;
        load->gap_to_ms = now_ms;
    }
    load->last_ack_ms = now_ms;
    load->acked++;
}

static void writer_line(DrillLoad *load, DrillWriter *writer, Slice text, int64_t now_ms)
{
    DrillLine line = load->protocol->line(text);
    if (line.cut) {
        writer_lost(load, writer, now_ms);
        return;
    }
    if (writer->busy && line.number >= 0 && line.number == writer->tried - 1) {
        acknowledged(load, writer, now_ms);
    }
    if (line.error.len > 0) {
        count_code(load, line.error);
        load->last_error_ms = now_ms;
        writer->again_ms = now_ms + PAUSE_MS;
    }
    writer->busy = writer->busy && !line.over;
}

static void writer_read(DrillLoad *load, DrillWriter *writer, int64_t now_ms)
{
    char *room = buf_reserve(&writer->said, PIECE_BYTES);
    ssize_t count = room != NULL ? read(writer->client.out, room, PIECE_BYTES) : 0;
    if (count <= 0) {
        writer_lost(load, writer, now_ms);
        return;
    }
    buf_commit(&writer->said, (size_t)count);
    while (writer->client.pid > 0) {
        Slice rest = buf_slice(&writer->said);
        if (rest.len == 0 || memchr(rest.data, '\n', rest.len) == NULL) {
            return;
        }
        Slice line = slice_cut(&rest, '\n');
        size_t len = line.len + 1;
        writer_line(load, writer, line, now_ms);
        buf_consume(&writer->said, len);
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static void writers_push(DrillLoad *load, int64_t now_ms)
{
    for (size_t i = 0; i < load->writers_len; i++) {
        DrillWriter *writer = &load->writers[i];
        bool waits = writer->again_ms > now_ms;
        if (writer->client.pid == 0 && !waits && !writer_start(load, writer, NULL)) {
            writer->again_ms = now_ms + PAUSE_MS;
        } else if (writer->client.pid > 0 && !writer->busy && !waits && writer->client.in >= 0) {
            writer_ask(load, writer);
        }
    }
}

/* False: nobody has anything to say any more. */
static bool writers_hear(DrillLoad *load, int64_t limit_ms)
{
    struct pollfd fds[DRILL_WRITERS_MAX];
    DrillWriter *whose[DRILL_WRITERS_MAX];
    nfds_t len = 0;
    for (size_t i = 0; i < load->writers_len; i++) {
        if (load->writers[i].client.pid > 0) {
            whose[len] = &load->writers[i];
            fds[len++] = (struct pollfd){.fd = load->writers[i].client.out, .events = POLLIN};
        }
    }
    if (poll(fds, len, (int)(limit_ms < PAUSE_MS ? limit_ms : PAUSE_MS)) > 0) {
        int64_t now_ms = time_mono_ms();
        for (nfds_t i = 0; i < len; i++) {
            if (fds[i].revents != 0) {
                writer_read(load, whose[i], now_ms);
            }
        }
    }
    return len > 0;
}

bool drill_load_start(DrillLoad *load, const DrillProtocol *protocol, const char *const *program,
                      size_t writers, Err *err)
{
    char id[9];
    random_id(id, sizeof(id) - 1);
    *load = (DrillLoad){.protocol = protocol, .program = program, .writers_len = writers};
    snprintf(load->name, sizeof(load->name), "weir_drill_%s", id);
    load->writers = mem_alloc(writers * sizeof(DrillWriter));
    for (size_t i = 0; i < writers; i++) {
        load->writers[i].client = DRILL_PROGRAM_NONE;
        buf_init(&load->writers[i].said, BUF_MAX_DEFAULT);
    }
    return client_do(load, protocol->make, err);
}

void drill_load_run(DrillLoad *load, int64_t ms)
{
    int64_t end = time_mono_ms() + ms;
    for (int64_t now; (now = time_mono_ms()) < end && !interrupt_waits();) {
        writers_push(load, now);
        (void)writers_hear(load, end - now);
    }
}

bool drill_load_all_since(const DrillLoad *load, int64_t since_ms)
{
    for (size_t i = 0; i < load->writers_len; i++) {
        if (load->writers[i].acked_ms <= since_ms) {
            return false;
        }
    }
    return true;
}

void drill_load_stop(DrillLoad *load)
{
    int64_t end = time_mono_ms() + END_MS;
    for (size_t i = 0; i < load->writers_len; i++) {
        fd_close(&load->writers[i].client.in);
    }
    while (time_mono_ms() < end && writers_hear(load, PAUSE_MS)) {
    }
    for (size_t i = 0; i < load->writers_len; i++) {
        drill_program_end(&load->writers[i].client);
    }
}

/* What is there, against what is known of it. */
typedef struct Tally {
    const DrillLoad *load;
    int64_t acked, alien;
} Tally;

static void tally_found(void *user, int64_t writer, int64_t number)
{
    Tally *tally = user;
    const DrillLoad *load = tally->load;
    bool tried = writer >= 0 && writer < (int64_t)load->writers_len && number >= 0 &&
                 number < load->writers[writer].tried;
    tally->alien += !tried;
    tally->acked += tried && load->writers[writer].acked.items[number];
}

bool drill_load_verify(const DrillLoad *load, int64_t *ret_lost, int64_t *ret_alien, Err *err)
{
    Tally tally = {.load = load};
    Buf out;
    buf_init(&out, ANSWER_MAX);
    bool ok = client_run(load, load->protocol->read, &out, err);
    if (ok) {
        load->protocol->found(buf_slice(&out), tally_found, &tally);
        *ret_lost = load->acked - tally.acked;
        *ret_alien = tally.alien;
    }
    buf_done(&out);
    return ok;
}

void drill_load_done(DrillLoad *load)
{
    Err err;
    if (load->writers == NULL) {
        return;
    }
    drill_load_stop(load);
    if (!client_do(load, load->protocol->remove, &err)) {
        log_warn("drill", "%s stays: %s", load->name, err.message);
    }
    for (size_t i = 0; i < load->writers_len; i++) {
        vec_done(&load->writers[i].acked);
        buf_done(&load->writers[i].said);
    }
    mem_free(load->writers);
    *load = (DrillLoad){0};
}
