/*
 * Replies that a client of a durable group does not get yet: that to a write, until a round of the
 * gate has shown that a replica has it, and whatever came behind it, so that replies stay in order.
 * Where no replica has it in time, each of them becomes an error. A reply that has come in part is
 * held like a whole one; the rest of it follows the part.
 */
#include "front/front_priv.h"

bool front_held_any(const FrontClient *client)
{
    return client->held.parts_len > 0;
}

uint64_t front_held_whole(const FrontClient *client)
{
    uint64_t whole = 0;
    for (size_t i = 0; i < client->held.parts_len; i++) {
        whole += client->held.parts[i].whole;
    }
    return whole;
}

static void held_leave(FrontHeld *held)
{
    list_remove(front_gate_clients(held->gate), &held->node);
    held->gate = NULL;
    held->parts_len = 0;
    held->opaque = false;
    buf_done(&held->bytes);
}

void front_held_drop(FrontClient *client)
{
    if (front_held_any(client)) {
        held_leave(&client->held);
    }
}

/* ---- holding ----------------------------------------------------------------------------------
 */

/* The part for what comes now. The rest of a reply goes with its beginning: the node had carried
 * out all of it then, and of what has begun to go out nothing can be taken back. */
static FrontHeldPart *held_part(FrontClient *client, bool begins)
{
    FrontHeld *held = &client->held;
    FrontGate *gate = client->at->gate;
    if (!begins && held->parts_len > 0) {
        return &held->parts[held->parts_len - 1];
    }
    uint64_t round = front_gate_ask(gate);
    if (held->parts_len == 0) {
        held->gate = gate;
        buf_init(&held->bytes, HELD_BYTES_MAX);
        list_push_back(front_gate_clients(gate), &held->node);
    } else if (held->parts[held->parts_len - 1].round == round) {
        return &held->parts[held->parts_len - 1];
    }
    if (held->parts_len == ARRAY_LEN(held->parts)) { /* the round of the first came to nothing */
        held->parts[0].round = held->parts[1].round;
        held->parts[0].len += held->parts[1].len;
        held->parts[0].whole += held->parts[1].whole;
        held->parts_len = 1;
    }
    FrontHeldPart *part = &held->parts[held->parts_len++];
    *part = (FrontHeldPart){.round = round, .since_ms = loop_now_ms(client->front->loop)};
    return part;
}

static void held_add(FrontClient *client, Slice bytes, bool begins, bool whole)
{
    FrontHeldPart *part = held_part(client, begins);
    buf_append_slice(&client->held.bytes, bytes);
    ASSERT(!client->held.bytes.overflowed); /* its node is paused long before */
    part->len += bytes.len;
    part->whole += whole ? 1 : 0;
}

void front_held_take(FrontClient *client, Slice piece, bool begins, bool ends)
{
    const FrontSession *session = &client->session;
    const RespScan *reply = &client->replies;
    bool counted = !session->streaming && reply->type != '>';
    if (begins) {
        bool hold = front_held_any(client) || front_session_acknowledges(session, reply);
        client->reply_fate = hold ? REPLY_HOLD : REPLY_PASS;
    }
    switch (client->reply_fate) {
    case REPLY_PASS:
        stream_write_ref(client->stream, piece);
        break;
    case REPLY_HOLD:
        client->held.opaque = client->held.opaque || !counted;
        held_add(client, piece, begins, ends && counted);
        break;
    case REPLY_SKIP:
        break;
    }
}

/* ---- letting go -------------------------------------------------------------------------------
 */

static bool held_over(FrontClient *client)
{
    if (client->reply_fate == REPLY_HOLD) {
        client->reply_fate = REPLY_PASS; /* what has begun to go out goes on so */
    }
    if (client->ended) {
        front_client_close(client);
        return false;
    }
    if (client->reset_had) {
        front_client_reset_done(client);
        return true;
    }
    if (stream_pending(client->stream) <= FLOW_HIGH) {
        stream_resume(client->back);
    }
    return true;
}

bool front_held_release(FrontClient *client, uint64_t round)
{
    FrontHeld *held = &client->held;
    while (held->parts_len > 0 && held->parts[0].round <= round) {
        size_t len = held->parts[0].len;
        stream_write(client->stream, slice_from(held->bytes.data, len));
        buf_consume(&held->bytes, len);
        held->parts[0] = held->parts[1];
        held->parts_len--;
    }
    if (held->parts_len > 0) {
        return true;
    }
    held_leave(held);
    return held_over(client);
}

bool front_held_fail(FrontClient *client)
{
    bool part = client->reply_fate == REPLY_HOLD && !resp_scan_idle(&client->replies);
    uint64_t errors = front_held_whole(client) + (part ? 1 : 0);
    if (client->held.opaque) {
        front_client_close(client); /* it cannot be told in the place of what */
        return false;
    }
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("UNAVAILABLE Weir: no replica has confirmed this within %lld ms; it may "
                   "have been carried out, and may not last",
                   (long long)client->front->config->durable_ms);
    held_leave(&client->held);
    for (; errors > 0; errors--) {
        front_client_error(client, text);
    }
    if (part) {
        client->reply_fate = REPLY_SKIP;
    }
    return held_over(client);
}
