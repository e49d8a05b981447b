/*
 * A command that its node has refused because it has just changed its role: Redis says that nothing
 * was carried out, so it goes to the next node, and its client sees nothing but the time it took.
 * Only where a client waits for this one command alone, outside of transactions; the command is
 * kept until its reply, when it is short.
 */
#include "front/front_priv.h"

#define KEEP_MAX ((size_t)1 << 10)

/* Word for word: a script that says something of the kind may have written before. */
static const char *const refusals[] = {
    "-READONLY You can't write against a read only replica.\r\n",
    ("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
     "replica?)\r\n"),
    "-LOADING Redis is loading the dataset in memory\r\n",
};

void front_again_begin(FrontClient *client)
{
    buf_clear(&client->kept);
    client->keeping = !client->reader && client->kind == COMMAND_OTHER &&
                      client->link == LINK_READY &&
                      front_session_unanswered(&client->session) == 0 &&
                      front_session_can_move(&client->session) && !front_held_any(client);
}

void front_again_keep(FrontClient *client, Slice bytes, bool whole)
{
    if (!client->keeping) {
        return;
    }
    if (client->kept.len + bytes.len > KEEP_MAX) {
        client->keeping = false;
        buf_clear(&client->kept);
        return;
    }
    buf_append_slice(&client->kept, bytes);
    if (whole) {
        client->kept_number = client->session.sent + 1;
        client->keeping = false;
    }
}

static bool is_refusal(Slice reply)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        if (slice_is(reply, refusals[i])) {
            return true;
        }
    }
    return false;
}

/* Behind the time for which a command may be held, the client is told what the node says. */
static bool may_wait(FrontClient *client)
{
    int64_t now = loop_now_ms(client->front->loop);
    if (client->again_until_ms == 0) {
        client->again_until_ms = now + client->front->config->hold_ms;
    }
    return now < client->again_until_ms;
}

bool front_again_take(FrontClient *client, Slice reply)
{
    const FrontSession *session = &client->session;
    bool ours = client->kept.len > 0 && !client->keeping && !client->quitting &&
                !client->resetting && session->sent == client->kept_number &&
                front_session_unanswered(session) == 1 && front_session_can_move(session) &&
                resp_scan_idle(&client->replies) && resp_scan_idle(&client->scan);
    if (!ours || reply.len == 0 || reply.data[0] != '-' || !is_refusal(reply)) {
        client->again_until_ms = 0;
        return false;
    }
    if (!may_wait(client)) {
        client->again_until_ms = 0;
        return false;
    }
    front_link_drop(client);
    front_session_cut(&client->session);
    client->again = true;
    front_client_pause(client, PAUSE_LINK);
    front_link_later(client);
    return true;
}

void front_again_send(FrontClient *client)
{
    client->again = false;
    front_link_forward(client, buf_slice(&client->kept));
    front_session_sent(&client->session, COMMAND_OTHER, NULL);
    if (client->gated) {
        front_session_wrote(&client->session); /* as almost all that is refused */
    }
    client->kept_number = client->session.sent;
}
