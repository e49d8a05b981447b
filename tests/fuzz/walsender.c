/*
 * A client and its walsender; the input decides who does what. The server is a model of
 * PostgreSQL's walsender: it takes a replication command from a Query by its first word, runs other
 * texts as SQL, refuses the extended protocol, and knows the name that its stream would have.
 * Checked: no stream begins under a name that the client has chosen (RULES F4), no physical command
 * arrives, each answer reaches the client but the proxy's own, the client always gets on, and the
 * server connection is never said to be at rest.
 */
#include "session/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUE_MAX 1024

typedef enum Does {
    DOES_NOTHING,
    DOES_RENAME,
    DOES_BEGIN,
    DOES_END,
    DOES_START,
    DOES_COPY,
    DOES_PHYSICAL,
    DOES_NAME, /* the proxy's own */
} Does;

static const struct {
    char type;
    Does does;
    Slice body;
} messages[] = {
    {'Q', DOES_NOTHING, {"select 1", 9}},
    {'Q', DOES_NOTHING, {"IDENTIFY_SYSTEM", 16}},
    {'Q', DOES_NOTHING, {"CREATE_REPLICATION_SLOT s LOGICAL p", 36}},
    {'Q', DOES_RENAME, {"SET application_name = 'weir_x'", 32}},
    {'Q', DOES_RENAME, {"select rename()", 16}},
    {'Q', DOES_BEGIN, {"begin", 6}},
    {'Q', DOES_END, {"commit", 7}},
    {'Q', DOES_START, {"START_REPLICATION SLOT s LOGICAL 0/0", 37}},
    {'Q', DOES_START, {"\n START_REPLICATION SLOT \"s\" LOGICAL 0/0", 41}},
    {'Q', DOES_START, {"START_REPLICATION SLOT s LOGICAL 0/0", 37}},
    {'Q', DOES_PHYSICAL, {"START_REPLICATION SLOT s 0/0", 29}},
    {'Q', DOES_PHYSICAL, {"BASE_BACKUP", 12}},
    {'Q', DOES_COPY, {"copy t from stdin", 18}},
    {'P', DOES_NOTHING, {"\0START_REPLICATION\0\0\0", 21}},
    {'E', DOES_NOTHING, {"\0\0\0\0\0", 5}},
    {'S', DOES_NOTHING, {"", 0}},
    {'H', DOES_NOTHING, {"", 0}},
    {'d', DOES_NOTHING, {"r", 1}},
    {'c', DOES_NOTHING, {"", 0}},
    {'f', DOES_NOTHING, {"x\0", 2}},
};

typedef struct Entry {
    char type;
    char status; /* of a 'Z' */
    bool ours;
    Does does;
} Entry;

typedef struct Queue {
    Entry entries[QUEUE_MAX];
    size_t first, len;
} Queue;

typedef struct World {
    Session session;
    Exchange exchange;
    Queue in, out; /* of the server */
    bool named;    /* its stream would have the proxy's name */
    bool named_before;
    char status;
    bool skip, copy_in, streams;
    bool over; /* the connection is */
    const uint8_t *data;
    size_t size;
} World;

static uint8_t choose(World *w, uint8_t count)
{
    if (w->size == 0) {
        return 0;
    }
    w->size--;
    return (uint8_t)(*w->data++ % count);
}

static void queue_put(Queue *queue, Entry entry)
{
    ASSERT(queue->len < QUEUE_MAX);
    queue->entries[(queue->first + queue->len++) % QUEUE_MAX] = entry;
}

static Entry queue_pop(Queue *queue)
{
    Entry entry = queue->entries[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->len--;
    return entry;
}

/* ---- the server --------------------------------------------------------------------------------
 */

static void say(World *w, const char *types, bool ours)
{
    for (; *types != '\0'; types++) {
        queue_put(&w->out, (Entry){.type = *types, .status = w->status, .ours = ours});
    }
}

static void fail(World *w)
{
    if (w->status == 'T') {
        w->status = 'E';
    }
    say(w, "E", false);
}

static void serve_transaction(World *w, bool begins)
{
    if (begins) {
        w->named_before = w->status == 'I' ? w->named : w->named_before;
        w->status = w->status == 'I' ? 'T' : w->status;
    } else {
        w->named = w->status == 'E' ? w->named_before : w->named;
        w->status = 'I';
    }
    say(w, "C", false);
}

static void serve_query(World *w, Entry message)
{
    ASSERT(message.does != DOES_PHYSICAL);
    if (w->status == 'E' && message.does != DOES_END) {
        fail(w);
    } else if (message.does == DOES_NAME) {
        w->named = true;
        say(w, "SC", true);
    } else if (message.does == DOES_BEGIN || message.does == DOES_END) {
        serve_transaction(w, message.does == DOES_BEGIN);
    } else if (choose(w, 6) == 0) {
        fail(w);
    } else if (message.does == DOES_START) {
        ASSERT(w->named && w->status == 'I');
        w->streams = true;
        say(w, "W", false);
        return;
    } else if (message.does == DOES_COPY) {
        w->copy_in = true;
        say(w, "G", false);
        return;
    } else {
        w->named = w->named && message.does != DOES_RENAME;
        say(w, "TDC", false);
    }
    say(w, "Z", message.does == DOES_NAME);
}

/* In a stream anything but data and its end breaks the connection. */
static void serve_stream(World *w, Entry message)
{
    if (message.type == 'c') {
        w->streams = false;
        say(w, "dcCCZ", false);
    } else if (message.type != 'd') {
        w->over = true;
    } else if (choose(w, 4) == 0) {
        w->streams = false; /* cancelled */
        say(w, "EZ", false);
    } else {
        say(w, "d", false);
    }
}

static void serve_copy(World *w, Entry message)
{
    if (message.type == 'c' || message.type == 'f') {
        w->copy_in = false;
        say(w, message.type == 'c' ? "CZ" : "EZ", false);
    } else if (strchr("dSH", message.type) == NULL) {
        w->over = true;
    }
}

static void serve(World *w)
{
    Entry message = queue_pop(&w->in);
    if (w->streams) {
        serve_stream(w, message);
    } else if (w->copy_in) {
        serve_copy(w, message);
    } else if (message.type == 'S') {
        w->skip = false;
        say(w, "Z", false);
    } else if (w->skip) {
        return;
    } else if (message.type == 'Q') {
        serve_query(w, message);
    } else if (strchr("PE", message.type) != NULL) {
        fail(w);
        w->skip = true;
    }
}

/* ---- the proxy ---------------------------------------------------------------------------------
 */

static void send_before(World *w, const SessionOut *out)
{
    for (size_t i = 0; i < out->before_len; i++) {
        if (out->before[i].data[0] == 'Q') {
            ASSERT(slice_has(out->before[i], "SET application_name = '" WALSENDER_NAME "'"));
            queue_put(&w->in, (Entry){.type = 'Q', .ours = true, .does = DOES_NAME});
        }
    }
}

static void tell(World *w)
{
    size_t which = choose(w, ARRAY_LEN(messages));
    Slice body = messages[which].body;
    SessionOut out;
    PgPiece piece = {.type = messages[which].type,
                     .first = true,
                     .last = true,
                     .body_len = (uint32_t)body.len,
                     .raw = body,
                     .body = body};
    SessionStep step = session_client_piece(&w->session, &w->exchange, &piece, &out);
    send_before(w, &out);
    if (step == STEP_FORWARD) {
        ASSERT(out.replaced == 0 && out.behind.len == 0);
        queue_put(&w->in, (Entry){.type = messages[which].type, .does = messages[which].does});
    } else if (step == STEP_REFUSE) {
        w->over = true;
    } else { /* it gets on, for something will be answered */
        ASSERT(step == STEP_WAIT && (w->in.len > 0 || w->out.len > 0));
    }
}

static void hear(World *w)
{
    Entry message = queue_pop(&w->out);
    SessionOut out;
    Slice body = message.type == 'Z' ? (Slice){&message.status, 1} : SLICE("");
    PgPiece piece = {.type = message.type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(&w->session, &w->exchange, &piece, &out);
    ASSERT(!out.at_rest && out.behind.len == 0 && out.replaced == 0);
    if (w->exchange.flight.unsure) {
        w->over = true;
    } else if (message.ours && message.type != 'S') {
        ASSERT(step == STEP_DROP);
    } else {
        ASSERT(step == STEP_FORWARD);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w; /* large; all of it is set here */
    memset(&w, 0, sizeof(w));
    exchange_init(&w.exchange, NULL, NULL);
    session_init_walsender(&w.session);
    SessionOut out;
    session_link(&w.session, &w.exchange, HANDOVER_PLAIN, &out);
    w.status = 'I';
    w.data = data;
    w.size = size;
    while (w.size > 0 && !w.over && w.in.len < QUEUE_MAX / 2 && w.out.len < QUEUE_MAX / 2) {
        uint8_t turn = choose(&w, 3);
        if (turn == 0) {
            tell(&w);
        } else if (turn == 1 && w.in.len > 0) {
            serve(&w);
        } else if (turn == 2 && w.out.len > 0) {
            hear(&w);
        }
    }
    exchange_done(&w.exchange);
    session_done(&w.session);
    return 0;
}
