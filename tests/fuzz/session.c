/*
 * Two clients share one server connection; the input decides who does what. The server is a model
 * of PostgreSQL's main loop (tcop/postgres.c): what it skips, ignores and answers, and which
 * statements it has by name. Checked: each answer reaches the client whose message it answers and
 * nobody else, the proxy's own are dropped, a connection that is said to be at rest has nothing in
 * it, whatever was sent; and a client that binds, describes or prepares a name meets what it would
 * meet on a connection of its own.
 */
#include "proxy/session_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUE_MAX 4096
#define NOBODY    2 /* the proxy itself, or no message in particular */
#define NAME_SIZE 16
#define HAS_MAX   64 /* statements on the server */
#define NAMES     2  /* of a client: "a" and "b" */
#define SET_MAX   2
#define NO_TEXT   (-1)

typedef struct Entry {
    char type;
    uint8_t owner; /* client 0 or 1, or NOBODY */
    char status;   /* of a 'Z' */
    /* to the server */
    char meant;           /* the type of the client's own message */
    int8_t meant_name;    /* the client's name in it; -1: none */
    int8_t text;          /* of a Parse */
    bool all;             /* DISCARD ALL */
    char name[NAME_SIZE]; /* as the server reads it */
} Entry;

typedef struct Has {
    char name[NAME_SIZE];
    int8_t text;
} Has;

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
    Has has[HAS_MAX];
    size_t has_len;
    int8_t own[2][NAMES]; /* what each client's names would stand for on a connection of its own */
    bool doubt;           /* something failed that a later batch in flight counted on */
    StatementTable *table;
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
    if (queue->len < QUEUE_MAX) {
        queue->entries[(queue->first + queue->len++) % QUEUE_MAX] = entry;
    }
}

static void queue_push(Queue *queue, char type, uint8_t owner, char status)
{
    queue_put(queue, (Entry){.type = type, .owner = owner, .status = status});
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
    w->doubt = true; /* until everything in flight is over */
    if (w->status == 'T') {
        w->status = 'E';
    }
    say(w, "E", owner);
    w->skip = extended;
}

/* Outside of a transaction only. */
static void serve_discard(World *w, uint8_t owner)
{
    if (w->status != 'I') {
        fail(w, owner, false);
    } else {
        w->has_len = 0;
        memset(w->own[owner], NO_TEXT, sizeof(w->own[owner]));
        w->doubt = w->doubt || w->in.len > 0; /* a pipeline that went on counted on them */
        queue_put(&w->out, (Entry){.type = 'C', .owner = owner, .all = true});
    }
    say(w, "Z", owner);
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

/* ---- names on the server -----------------------------------------------------------------------
 */

static Has *has_find(World *w, const char *name)
{
    for (size_t i = 0; i < w->has_len; i++) {
        if (strcmp(w->has[i].name, name) == 0) {
            return &w->has[i];
        }
    }
    return NULL;
}

static void has_remove(World *w, const char *name)
{
    Has *has = has_find(w, name);
    if (has != NULL) {
        *has = w->has[--w->has_len];
    }
}

/* The client's own namespace follows what it meant, and the two must agree. False: the server finds
 * a mistake. */
static bool names_follow(World *w, const Entry *message)
{
    Has *has = message->name[0] != '\0' ? has_find(w, message->name) : NULL;
    int8_t *own = message->meant_name >= 0 && message->owner != NOBODY
                      ? &w->own[message->owner][message->meant_name]
                      : NULL;
    bool works = true;
    if (message->type == 'P' && message->name[0] != '\0') {
        works = has == NULL;
        if (works) {
            ASSERT(w->has_len < HAS_MAX);
            has = &w->has[w->has_len++];
            *has = (Has){.text = message->text};
            memcpy(has->name, message->name, NAME_SIZE);
        }
    } else if ((message->type == 'B' || message->type == 'D') && message->name[0] != '\0') {
        works = has != NULL;
    } else if (message->type == 'C' && message->name[0] != '\0') {
        has_remove(w, message->name);
    }
    if (own == NULL) {
        return works;
    }
    if (message->meant == 'P') {
        ASSERT(w->doubt || works == (*own == NO_TEXT));
        *own = works ? message->text : *own;
    } else if (message->meant == 'C') {
        *own = NO_TEXT;
    } else {
        ASSERT(w->doubt || works == (*own != NO_TEXT));
        ASSERT(w->doubt || !works || has->text == *own);
    }
    return works;
}

static void serve_extended(World *w, Entry message)
{
    static const char *const describes[] = {"tT", "tn", "T", "n"};
    w->open = true;
    bool ours_told = message.owner == NOBODY && message.type == 'P';
    if ((message.owner != NOBODY || ours_told) && choose(w, 8) == 0) {
        fail(w, message.owner, true);
    } else if (!names_follow(w, &message)) {
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
        if (message.all) {
            serve_discard(w, message.owner);
        } else {
            serve_query(w, message.owner);
        }
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

/* Puts a message of the wire on the way to the server. */
static void send_message(World *w, const PgPiece *piece, Entry meant)
{
    PgParse parse;
    PgBind bind;
    PgTarget target;
    Slice name = {0};
    Entry entry = meant;
    entry.type = piece->type;
    if (piece->type == 'P' && pg_get_parse(piece->body, &parse)) {
        name = parse.statement;
        entry.text =
            parse.query.len > 0 ? (int8_t)(parse.query.data[parse.query.len - 1] - '0') : 9;
    } else if (piece->type == 'B' && pg_get_bind(piece->body, &bind)) {
        name = bind.statement;
    } else if ((piece->type == 'D' || piece->type == 'C') && pg_get_target(piece->body, &target)) {
        name = target.kind == 'S' ? target.name : (Slice){0};
    }
    ASSERT(name.len < NAME_SIZE);
    memset(entry.name, 0, sizeof(entry.name));
    if (name.len > 0) {
        memcpy(entry.name, name.data, name.len);
    }
    queue_put(&w->in, entry);
}

static void send_bytes(World *w, Slice bytes, Entry meant)
{
    PgPolicy policy = {0};
    while (bytes.len > 0) {
        PgFramer framer = {0};
        PgPiece piece;
        ASSERT(pg_framer_next(&framer, &policy, bytes, &piece) == WIRE_DONE);
        send_message(w, &piece, meant);
        bytes = slice_skip(bytes, piece.raw.len);
    }
}

static void send_before(World *w, const SessionOut *out)
{
    for (size_t i = 0; i < out->before_len; i++) {
        send_bytes(w, out->before[i], (Entry){.owner = NOBODY, .meant_name = -1});
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
    Slice body = message.type == 'Z' ? (Slice){&message.status, 1}
                 : message.all       ? SLICE("DISCARD ALL\0")
                                     : SLICE("");
    PgPiece piece = {.type = message.type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(session, &w->exchange, &piece, &out);
    if (message.owner == NOBODY) {
        bool unasked = strchr("NSA", message.type) != NULL;
        ASSERT(step == STEP_DROP || unasked || message.type == 'E' || w->exchange.flight.unsure);
    } else {
        ASSERT(message.owner == w->linked);
        ASSERT(step == STEP_FORWARD || w->exchange.flight.unsure);
    }
    if (out.at_rest) {
        check_rest(w);
        w->linked = -1;
        if (w->exchange.strays.len > 0) { /* another connection takes its place */
            w->has_len = 0;
            exchange_done(&w->exchange);
            exchange_init(&w->exchange, w->table);
            w->exchange.prepared.max = SET_MAX;
        }
    }
    w->doubt = w->exchange.flight.unsure || (w->doubt && (w->in.len > 0 || w->out.len > 0));
}

static const struct {
    char type;
    int8_t name;
    bool all;
    Slice body;
} messages[] = {
    {'Q', -1, false, {"select 1", 9}},
    {'Q', -1, false, {"insert into t values (1)", 25}},
    {'Q', -1, false, {"select currval('s')", 20}},
    {'Q', -1, true, {"discard all", 12}},
    {'P', -1, false, {"\0select 1\0\0\0", 12}},
    {'P', 0, false, {"a\0select 1\0\0\0", 13}},
    {'P', 0, false, {"a\0select 2\0\0\0", 13}},
    {'P', 1, false, {"b\0select 2\0\0\0", 13}},
    {'P', 1, false, {"b\0select 3\0\0\0", 13}},
    {'B', -1, false, {"\0\0\0\0\0\0\0\0", 8}},
    {'B', 0, false, {"\0a\0\0\0\0\0\0\0", 9}},
    {'B', 1, false, {"p\0b\0\0\0\0\0\0\0", 10}},
    {'D', -1, false, {"S\0", 2}},
    {'D', 0, false, {"Sa\0", 3}},
    {'D', -1, false, {"P\0", 2}},
    {'C', -1, false, {"S\0", 2}},
    {'C', 0, false, {"Sa\0", 3}},
    {'C', 1, false, {"Sb\0", 3}},
    {'E', -1, false, {"\0\0\0\0\0", 5}},
    {'E', -1, false, {"\0\0\0\0\0", 5}},
    {'S', -1, false, {"", 0}},
    {'S', -1, false, {"", 0}},
    {'H', -1, false, {"", 0}},
    {'d', -1, false, {"x", 1}},
    {'c', -1, false, {"", 0}},
    {'f', -1, false, {"x\0", 2}},
    {'F', -1, false, {"x", 1}},
};

static SessionStep give(World *w, int client, const PgPiece *piece, SessionOut *out)
{
    Session *session = &w->sessions[client];
    Exchange *exchange = w->linked == client ? &w->exchange : NULL;
    SessionStep step = session_client_piece(session, exchange, piece, out);
    if (step == STEP_BORROW) {
        ASSERT(exchange == NULL);
        w->linked = client;
        session_link(session, &w->exchange, (SqlDialect){0}, choose(w, 2) == 0, out);
        send_before(w, out);
        step = session_client_piece(session, &w->exchange, piece, out);
    }
    return step;
}

static void tell(World *w, int client)
{
    size_t which = choose(w, ARRAY_LEN(messages));
    if (w->linked >= 0 && w->linked != client) {
        return; /* it would wait */
    }
    Buf bytes;
    Buf wire;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    PgPiece piece;
    SessionOut out;
    buf_init(&bytes, BUF_MAX_DEFAULT);
    buf_init(&wire, BUF_MAX_DEFAULT);
    size_t mark = pg_put_begin(&bytes, messages[which].type);
    buf_append_slice(&bytes, messages[which].body);
    pg_put_end(&bytes, mark);
    ASSERT(pg_framer_next(&framer, &policy, buf_slice(&bytes), &piece) == WIRE_DONE);
    SessionStep step = give(w, client, &piece, &out);
    send_before(w, &out);
    if (step == STEP_FORWARD) {
        buf_append_slice(&wire, out.head);
        buf_append_slice(&wire, slice_skip(piece.raw, out.replaced));
        send_bytes(w, buf_slice(&wire),
                   (Entry){.owner = (uint8_t)client,
                           .meant = messages[which].type,
                           .meant_name = messages[which].name,
                           .text = messages[which].type == 'P' && messages[which].name >= 0
                                       ? (int8_t)(messages[which].body.data[9] - '0')
                                       : 0,
                           .all = messages[which].all});
    }
    buf_done(&bytes);
    buf_done(&wire);
}

static void world_done(World *w)
{
    exchange_done(&w->exchange);
    session_done(&w->sessions[0]);
    session_done(&w->sessions[1]);
    statement_table_free(w->table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w; /* large; all of it is set here */
    memset(&w, 0, sizeof(w));
    memset(w.own, NO_TEXT, sizeof(w.own));
    w.table = statement_table_new();
    exchange_init(&w.exchange, w.table);
    w.exchange.prepared.max = SET_MAX;
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
    world_done(&w);
    return 0;
}
