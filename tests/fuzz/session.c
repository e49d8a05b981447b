/*
 * Two clients share one server connection; the input decides who does what. The server is a model
 * of PostgreSQL's main loop (tcop/postgres.c): what it skips, ignores and answers. Checked: each
 * answer reaches the client whose message it answers and nobody else, the proxy's own are dropped,
 * and a connection that is said to be at rest has nothing in it, whatever was sent.
 */
#include "proxy/session_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUE_MAX 4096
#define NOBODY    2 /* the proxy itself, or no message in particular */

typedef struct Entry {
    char type;
    uint8_t owner; /* client 0 or 1, or NOBODY */
    char status;   /* of a 'Z' */
} Entry;

typedef struct Queue {
    Entry entries[QUEUE_MAX];
    size_t first, len;
} Queue;

typedef struct World {
    Session sessions[2];
    Exchange exchange;
    int linked; /* which client; -1: none */
    Queue in;   /* to the server */
    Queue out;  /* from it */
    /* the server */
    bool skip;
    bool open;     /* messages since the last Sync that began an implicit transaction */
    char copy;     /* 'Q' or 'E': reads COPY data for it */
    uint8_t owner; /* of the copy */
    char status;
    bool dead;
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

static void queue_push(Queue *queue, char type, uint8_t owner, char status)
{
    if (queue->len < QUEUE_MAX) {
        queue->entries[(queue->first + queue->len++) % QUEUE_MAX] = (Entry){type, owner, status};
    }
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

static void say(World *w, const char *types, uint8_t owner)
{
    for (; *types != '\0'; types++) {
        queue_push(&w->out, *types, owner, w->status);
    }
}

static void fail(World *w, uint8_t owner, bool extended)
{
    if (w->status == 'T') {
        w->status = 'E';
    }
    say(w, "E", owner);
    w->skip = extended;
}

static void serve_query(World *w, uint8_t owner)
{
    static const char *const answers[] = {"TDDC", "C", "I", "TDCTDC", "HddcC", "NC"};
    uint8_t choice = owner == NOBODY ? 1 : choose(w, 11);
    if (choice < 6) {
        say(w, answers[choice], owner);
    } else if (choice == 6) {
        w->status = w->status == 'I' ? 'T' : 'I';
        say(w, "C", owner);
    } else if (choice == 7) {
        say(w, "G", owner);
        w->copy = 'Q';
        w->owner = owner;
        return;
    } else {
        fail(w, owner, false);
    }
    say(w, "Z", owner);
}

static void serve_execute(World *w, uint8_t owner)
{
    static const char *const answers[] = {"DDC", "C", "I", "Ds", "HdcC"};
    uint8_t choice = choose(w, 9);
    if (choice < 5) {
        say(w, answers[choice], owner);
    } else if (choice == 5) {
        say(w, "G", owner);
        w->copy = 'E';
        w->owner = owner;
    } else if (choice == 6 && w->status == 'I') {
        w->status = 'T';
        say(w, "C", owner);
    } else {
        fail(w, owner, true);
    }
}

static void serve_extended(World *w, Entry message)
{
    static const char *const describes[] = {"tT", "tn", "T", "n"};
    w->open = true;
    if (message.owner != NOBODY && choose(w, 8) == 0) {
        fail(w, message.owner, true);
    } else if (message.type == 'P') {
        say(w, "1", message.owner);
    } else if (message.type == 'B') {
        say(w, "2", message.owner);
    } else if (message.type == 'C') {
        say(w, "3", message.owner);
    } else if (message.type == 'D') {
        say(w, describes[choose(w, 4)], message.owner);
    } else {
        serve_execute(w, message.owner);
    }
}

static void copy_over(World *w, bool failed)
{
    char copy = w->copy;
    w->copy = '\0';
    if (failed) {
        fail(w, w->owner, copy == 'E');
    } else {
        say(w, "C", w->owner);
    }
    if (copy == 'Q') {
        say(w, "Z", w->owner);
    }
}

/* Sync and Flush are ignored; any other message breaks the connection. */
static void serve_copy(World *w, Entry message)
{
    if (message.type == 'd') {
        if (choose(w, 4) == 0) {
            copy_over(w, true);
        }
    } else if (message.type == 'c') {
        copy_over(w, choose(w, 4) == 0);
    } else if (message.type == 'f') {
        copy_over(w, true);
    } else if (message.type != 'S' && message.type != 'H') {
        w->dead = true;
    }
}

static void serve(World *w)
{
    Entry message = queue_pop(&w->in);
    if (w->copy != '\0') {
        serve_copy(w, message);
    } else if (message.type == 'S') {
        bool late = !w->skip && choose(w, 8) == 0; /* the commit fails */
        w->skip = w->open = false;
        if (late) {
            fail(w, message.owner, false);
        }
        say(w, "Z", message.owner);
    } else if (w->skip) {
        return;
    } else if (message.type == 'Q') {
        w->open = false;
        serve_query(w, message.owner);
    } else if (message.type == 'F') {
        say(w, choose(w, 2) == 0 ? "VZ" : "EZ", message.owner);
    } else if (strchr("PBDCE", message.type) != NULL) {
        serve_extended(w, message);
    }
    if (choose(w, 16) == 0) {
        queue_push(&w->out, "NSA"[choose(w, 3)], NOBODY, 0);
    }
}

/* ---- the proxy
 * ----------------------------------------------------------------------------------- */

static void inject(World *w, unsigned bits)
{
    for (unsigned bit = 1; bit <= bits; bit *= 2) {
        if ((bits & bit) != 0) {
            queue_push(&w->in, session_inject_bytes(bit).data[0], NOBODY, 0);
        }
    }
}

static void check_rest(const World *w)
{
    ASSERT(!w->skip && w->copy == '\0' && w->status == 'I' && !w->open);
    for (size_t i = 0; i < w->in.len; i++) { /* what the server ignores may still be there */
        ASSERT(strchr("Hdcf", w->in.entries[(w->in.first + i) % QUEUE_MAX].type) != NULL);
    }
    for (size_t i = 0; i < w->out.len; i++) {
        ASSERT(w->out.entries[(w->out.first + i) % QUEUE_MAX].owner == NOBODY);
    }
}

static void hear(World *w)
{
    Entry message = queue_pop(&w->out);
    if (w->linked < 0) {
        ASSERT(message.owner == NOBODY);
        return;
    }
    Session *session = &w->sessions[w->linked];
    SessionOut out;
    Slice body = message.type == 'Z' ? (Slice){&message.status, 1} : SLICE("");
    PgPiece piece = {.type = message.type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(session, &w->exchange, &piece, &out);
    if (message.owner == NOBODY) {
        bool unasked = strchr("NSA", message.type) != NULL;
        ASSERT(step == STEP_DROP || unasked || w->exchange.flight.unsure);
    } else {
        ASSERT(message.owner == w->linked);
        ASSERT(step == STEP_FORWARD || w->exchange.flight.unsure);
    }
    if (out.at_rest) {
        check_rest(w);
        w->linked = -1;
    }
}

static const struct {
    char type;
    Slice body;
} messages[] = {
    {'Q', {"select 1", 9}},
    {'Q', {"insert into t values (1)", 25}},
    {'Q', {"select currval('s')", 20}},
    {'P', {"\0select 1\0\0\0", 12}},
    {'P', {"named\0select 1\0\0\0", 17}},
    {'B', {"\0\0\0\0\0\0\0\0", 8}},
    {'B', {"\0\0\0\0\0\0\0\0", 8}},
    {'D', {"S\0", 2}},
    {'D', {"P\0", 2}},
    {'C', {"S\0", 2}},
    {'E', {"\0\0\0\0\0", 5}},
    {'E', {"\0\0\0\0\0", 5}},
    {'S', {"", 0}},
    {'S', {"", 0}},
    {'H', {"", 0}},
    {'d', {"x", 1}},
    {'c', {"", 0}},
    {'f', {"x\0", 2}},
    {'F', {"x", 1}},
};

static void tell(World *w, int client)
{
    size_t which = choose(w, ARRAY_LEN(messages));
    Session *session = &w->sessions[client];
    SessionOut out;
    PgPiece piece = {.type = messages[which].type,
                     .first = true,
                     .last = true,
                     .raw = messages[which].body,
                     .body = messages[which].body};
    if (w->linked >= 0 && w->linked != client) {
        return; /* it would wait */
    }
    Exchange *exchange = w->linked == client ? &w->exchange : NULL;
    SessionStep step = session_client_piece(session, exchange, &piece, &out);
    if (step == STEP_BORROW) {
        ASSERT(exchange == NULL);
        w->linked = client;
        inject(w, session_link(session, &w->exchange, (SqlDialect){0}, choose(w, 2) == 0));
        step = session_client_piece(session, &w->exchange, &piece, &out);
    }
    inject(w, out.inject);
    if (step == STEP_FORWARD) {
        queue_push(&w->in, piece.type, (uint8_t)client, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w; /* large; all of it is set here */
    memset(&w, 0, sizeof(w));
    w.linked = -1;
    w.status = 'I';
    w.data = data;
    w.size = size;
    while (w.size > 0 && !w.dead && w.in.len < QUEUE_MAX / 2 && w.out.len < QUEUE_MAX / 2) {
        switch (choose(&w, 4)) {
        case 0:
            tell(&w, 0);
            break;
        case 1:
            tell(&w, 1);
            break;
        case 2:
            if (w.in.len > 0) {
                serve(&w);
            }
            break;
        default:
            if (w.out.len > 0) {
                hear(&w);
            }
            break;
        }
    }
    return 0;
}
