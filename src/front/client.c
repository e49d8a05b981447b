/*
 * The client's side. Commands are walked over, not assembled: each is looked at when its name is
 * there, and then forwarded in whatever pieces it comes. Only AUTH, HELLO, SELECT and CLIENT are
 * read. The front answers itself only where no reply of the node is due, so that replies are always
 * in the order of the commands; otherwise it sends the node something that has the same answer.
 */
#include "front/front_priv.h"

#define NAME_BYTES_MAX 512                 /* within these the name of a command is there */
#define KEEP_MAX       ((size_t)192 << 10) /* of a command that is not yet looked at */

static const char noauth[] = "NOAUTH Authentication required.";

/* ---- small parts ------------------------------------------------------------------------------
 */

static void client_put(FrontClient *client, Buf *out)
{
    stream_write(client->stream, buf_slice(out));
    buf_done(out);
}

void front_client_error(FrontClient *client, const char *text)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    resp_put_error(&out, slice_of(text));
    client_put(client, &out);
}

void front_client_simple(FrontClient *client, const char *text)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    resp_put_simple(&out, slice_of(text));
    client_put(client, &out);
}

void front_client_pause(FrontClient *client, FrontPause why)
{
    client->paused |= (unsigned)why;
    stream_pause(client->stream);
}

void front_client_resume(FrontClient *client, FrontPause why)
{
    client->paused &= ~(unsigned)why;
    if (client->paused == 0) {
        stream_resume(client->stream);
    }
}

/* The last of it; its stream is somebody else's by now. */
static void client_free(FrontClient *client)
{
    Front *front = client->front;
    front_link_drop(client);
    loop_timer_stop(&client->hold);
    buf_done(&client->kept);
    list_remove(&front->clients, &client->node);
    front->counts[client->reader]--;
    mem_free(client);
}

void front_client_close(FrontClient *client)
{
    stream_close(client->stream);
    client_free(client);
}

bool front_client_is_idle(const FrontClient *client)
{
    return front_session_is_quiet(&client->session) && resp_scan_idle(&client->scan) &&
           client->paused == 0 && !client->resetting && !front_held_any(client);
}

/* ---- leaving and starting over ----------------------------------------------------------------
 */

/* False: the client is gone. */
static bool client_quit(FrontClient *client, Slice bytes)
{
    if (client->link == LINK_READY) {
        front_link_forward(client, bytes);
        front_session_sent(&client->session, COMMAND_QUIT, NULL);
        client->quitting = true; /* the node answers, and hangs up */
        return true;
    }
    front_client_simple(client, "OK");
    front_client_close(client);
    return false;
}

static void client_begin_anew(FrontClient *client)
{
    client->authenticated = client->front->config->tokens.len == 0;
    client->session = (FrontSession){0};
}

static void client_reset(FrontClient *client, Slice bytes)
{
    if (client->link == LINK_READY) {
        front_link_forward(client, bytes);
        front_session_sent(&client->session, COMMAND_RESET, NULL);
        client->resetting = true;
        front_client_pause(client, PAUSE_LINK);
        return;
    }
    front_link_drop(client);
    client_begin_anew(client);
    front_client_simple(client, "RESET");
}

void front_client_reset_done(FrontClient *client)
{
    client->resetting = false;
    front_link_drop(client);
    client_begin_anew(client);
    front_client_resume(client, PAUSE_LINK);
}

/* The client says nothing more. The node hears of it at once, so that it waits for nobody; what it
 * still answers goes out, and its own end closes the client. */
static void client_end(FrontClient *client)
{
    client->quitting = true;
    stream_end(client->back);
}

/* ---- commands ---------------------------------------------------------------------------------
 */

/* What one step over the input came to. */
typedef enum Step {
    STEP_TOOK, /* the rest has moved on */
    STEP_WAIT, /* for more bytes, or for the link */
    STEP_GONE, /* the client is */
} Step;

/* No command that the front can follow. The node says so itself, behind what it still has to say,
 * and hangs up. */
static Step client_bad(FrontClient *client, Slice *rest, const char *text)
{
    if (client->link == LINK_READY) {
        front_link_forward(client, *rest);
        client_end(client);
        return STEP_TOOK;
    }
    front_client_error(client, text);
    front_client_close(client);
    return STEP_GONE;
}

/* The next `len` bytes belong to the command that is under way. */
static void client_take(FrontClient *client, Slice *rest, size_t len, bool whole)
{
    if (client->fate == FATE_PASS) {
        front_again_keep(client, slice_from(rest->data, len), whole);
        front_link_forward(client, slice_from(rest->data, len));
        if (whole) {
            front_session_sent(&client->session, client->kind, NULL);
            if (client->writes) {
                front_session_wrote(&client->session);
            }
        }
    } else if (whole) {
        front_client_error(client, client->refusal);
    }
    *rest = slice_skip(*rest, len);
}

static Step client_step_within(FrontClient *client, Slice *rest)
{
    size_t len;
    WireResult result = resp_scan(&client->scan, *rest, &len);
    if (result == WIRE_BAD) {
        return client_bad(client, rest, "ERR Protocol error");
    }
    client_take(client, rest, len, result == WIRE_DONE);
    return STEP_TOOK;
}

/* A command that is there as a whole, and is the front's to handle. */
static Step client_step_own(FrontClient *client, Slice *rest, FrontCommandKind kind, size_t len)
{
    Slice bytes = slice_from(rest->data, len);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FrontCommand command;
    FrontLogin login;
    if (!front_command_read(bytes, kind, arena, &command)) {
        return client_bad(client, rest, "ERR Protocol error");
    }
    front_login_parse(&command, &login);
    if (kind == COMMAND_AUTH) {
        front_client_auth(client, &login);
    } else if (kind == COMMAND_HELLO) {
        if (!front_client_hello(client, &command, &login)) {
            return STEP_WAIT;
        }
    } else if (kind == COMMAND_QUIT) {
        if (!client_quit(client, bytes)) {
            return STEP_GONE;
        }
    } else if (kind == COMMAND_RESET) {
        client_reset(client, bytes);
    } else {
        front_link_forward(client, bytes);
        front_session_sent(&client->session, kind, &command);
    }
    *rest = slice_skip(*rest, len);
    return STEP_TOOK;
}

static bool is_for_the_front(FrontCommandKind kind)
{
    return front_command_is_read(kind) || kind == COMMAND_QUIT || kind == COMMAND_RESET;
}

/* Those that an unknown client may use as well. */
static bool is_for_anybody(FrontCommandKind kind)
{
    return kind == COMMAND_AUTH || kind == COMMAND_HELLO || kind == COMMAND_QUIT ||
           kind == COMMAND_RESET;
}

/* Within a transaction nothing is written before its end. That counts always, for one may have been
 * begun in a way that is not known here (an inline command in quotes); and where replies are not
 * counted, none may have been begun. */
static bool client_writes(const FrontClient *client, FrontCommandKind kind, const RespScan *scan)
{
    const FrontSession *session = &client->session;
    if (kind == COMMAND_MULTI_END) {
        return true;
    }
    return kind != COMMAND_MULTI && (!session->multi || session->streaming) &&
           front_table_writes(front_gate_table(client->at), slice_from(scan->kept, scan->kept_len));
}

/* A command begins, and its name is known; `whole` tells whether it is all there. */
static Step client_step_begin(FrontClient *client, Slice *rest, const RespScan *scan, size_t len,
                              bool whole)
{
    FrontCommandKind kind = front_command_kind(slice_from(scan->kept, scan->kept_len));
    if ((kind == COMMAND_MULTI || kind == COMMAND_MULTI_END) &&
        !front_command_is_bare(scan, slice_from(rest->data, len))) {
        kind = COMMAND_OTHER;
    }
    bool anybody = is_for_anybody(kind);
    bool unknown = !client->authenticated && !anybody;
    if (kind == COMMAND_HTTP) {
        front_client_close(client);
        return STEP_GONE;
    }
    if (unknown || (client->refusing && !anybody)) {
        client->fate = FATE_REFUSE;
        client->refusal = unknown ? noauth : front_unavailable_text(client);
    } else if (is_for_the_front(kind) && !whole) {
        return rest->len < COMMAND_BYTES_MAX
                   ? STEP_WAIT
                   : client_bad(client, rest, "ERR Protocol error: too big");
    } else if (!anybody && !front_link_need(client)) {
        return STEP_WAIT;
    } else if (is_for_the_front(kind)) {
        return client_step_own(client, rest, kind, len);
    } else {
        client->fate = FATE_PASS;
        client->kind = kind;
        client->writes = client->gated && client_writes(client, kind, scan);
        front_again_begin(client);
    }
    client->scan = *scan;
    client_take(client, rest, len, whole);
    return STEP_TOOK;
}

static Step client_step(FrontClient *client, Slice *rest)
{
    if (!resp_scan_idle(&client->scan)) {
        return client_step_within(client, rest);
    }
    RespScan scan = client->scan;
    size_t len;
    WireResult result = resp_scan(&scan, *rest, &len);
    if (result == WIRE_BAD) {
        return client_bad(client, rest, "ERR Protocol error");
    }
    bool empty = scan.type == '*' ? scan.count <= 0 : scan.kept_len == 0;
    if (result == WIRE_DONE && empty) {
        *rest = slice_skip(*rest, len); /* nothing is answered to it */
        return STEP_TOOK;
    }
    bool named = rest->len >= NAME_BYTES_MAX && rest->data[0] == '*';
    if (result == WIRE_MORE && !named) {
        return STEP_WAIT; /* an inline command is short, and is looked at as a whole */
    }
    return client_step_begin(client, rest, &scan, len, result == WIRE_DONE);
}

static size_t client_on_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    FrontClient *client = user;
    Slice rest = data;
    Step step = STEP_TOOK;
    client->last_ms = loop_now_ms(client->front->loop);
    while (step == STEP_TOOK && rest.len > 0 && !client->resetting) {
        if (client->quitting) {
            return data.len;
        }
        step = client_step(client, &rest);
    }
    if (step == STEP_GONE) {
        return data.len;
    }
    if (client->refusing && resp_scan_idle(&client->scan)) {
        client->refusing = false; /* what came in meanwhile is answered */
    }
    return data.len - rest.len;
}

/* ---- the link's news --------------------------------------------------------------------------
 */

/* What the client has no reply to. One that it had an error for, and whose reply had begun, does
 * not count. */
static uint64_t link_unanswered(const FrontClient *client)
{
    bool told = client->reply_fate == REPLY_SKIP && !resp_scan_idle(&client->replies);
    uint64_t unanswered = front_session_unanswered(&client->session);
    return front_held_whole(client) + unanswered - (told && unanswered > 0 ? 1 : 0);
}

bool front_client_link_lost(FrontClient *client, const char *why)
{
    bool half_told = !resp_scan_idle(&client->replies) && client->reply_fate == REPLY_PASS;
    bool movable = front_session_can_move(&client->session) && !client->held.opaque;
    uint64_t unanswered = link_unanswered(client);
    front_link_drop(client);
    if (client->quitting || half_told) {
        front_client_close(client);
        return false;
    }
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("UNAVAILABLE Weir: %s; whether this was carried out is not known", why);
    for (; unanswered > 0; unanswered--) {
        front_client_error(client, text);
    }
    if (!movable || client->resetting) {
        front_client_close(client); /* whoever waits for no reply gets none: it would be taken for
                                       the next command's */
        return false;
    }
    front_session_cut(&client->session);
    if (!resp_scan_idle(&client->scan)) {
        client->fate = FATE_REFUSE; /* the node has not got all of it */
        client->refusal = front_unavailable_text(client);
    }
    front_client_resume(client, PAUSE_FLOW);
    front_client_resume(client, PAUSE_LINK); /* what was held looks for another node */
    return true;
}

/* ---- the stream -------------------------------------------------------------------------------
 */

static void client_on_eof(void *user, Stream *stream, Slice rest)
{
    (void)stream;
    (void)rest;
    FrontClient *client = user;
    if (client->link != LINK_READY) {
        front_client_close(client);
        return;
    }
    client_end(client);
}

static void client_on_drained(void *user, Stream *stream)
{
    (void)stream;
    FrontClient *client = user;
    if (client->back != NULL && client->held.bytes.len <= HELD_HIGH) {
        stream_resume(client->back);
    }
}

static void client_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    if (err != NULL) {
        log_debug(FRONT_MODULE, "a client is gone: %s", err->message);
    }
    client_free(user);
}

void front_client_new(Front *front, bool reader, TlsContext *tls, int fd)
{
    static const StreamHandlers handlers = {
        .on_read = client_on_read,
        .on_eof = client_on_eof,
        .on_drained = client_on_drained,
        .on_closed = client_on_closed,
    };
    FrontClient *client = mem_alloc(sizeof(FrontClient));
    StreamOptions options = {
        .handlers = &handlers, .user = client, .tls = tls, .keep_max = KEEP_MAX};
    client->front = front;
    client->reader = reader;
    client->scan.requests = true;
    buf_init(&client->kept, COMMAND_BYTES_MAX);
    client->authenticated = front->config->tokens.len == 0;
    client->last_ms = loop_now_ms(front->loop);
    client->stream = stream_adopt(front->loop, fd, &options);
    list_push_back(&front->clients, &client->node);
    front->counts[reader]++;
}
