/*
 * Commands that wait: for a node, while there is none, and for the next primary, while the one
 * that is there hands over. A client that waits is not read, for hold_ms at most.
 *
 * Between a primary and the next one nobody leads. What the former one still says then of a command
 * that was under way (its answer, or that it refuses it) is worth more than "not known", and what
 * is held may turn out to last: so whoever waits for that stays, and sends nothing more.
 */
#include "front/front_priv.h"

const char *front_unavailable_text(const FrontClient *client)
{
    return client->reader
               ? "LOADING Weir has no node for this at the moment; nothing was carried out"
               : "LOADING Weir has no primary for this at the moment; nothing was carried out";
}

static const char changed[] = "the primary has changed";

static bool client_is_left_behind(const FrontClient *client)
{
    return client->link == LINK_READY && client->at_primary && !client->at->primary;
}

static void client_hold_over(void *user)
{
    FrontClient *client = user;
    if (client_is_left_behind(client)) {
        (void)front_client_link_lost(client, changed);
        return;
    }
    if (client->link == LINK_READY) {
        client->unheld = true;
    } else if (client->again) {
        front_link_drop(client);
        client->again = false;
        front_client_error(client, front_unavailable_text(client));
    } else {
        front_link_drop(client);
        client->refusing = true;
    }
    front_client_resume(client, PAUSE_LINK);
}

static void client_hold(FrontClient *client)
{
    if (!loop_timer_armed(&client->hold)) {
        loop_timer_start(client->front->loop, &client->hold, client->front->config->hold_ms, 0,
                         client_hold_over, client);
    }
    front_client_pause(client, PAUSE_LINK);
}

/* What can only go on where it began is not held: the leader waits for it, for a moment. */
static bool client_is_held(const FrontClient *client)
{
    return client->front->config->hold && !client->reader && !client->unheld &&
           front_session_can_move(&client->session);
}

bool front_link_need(FrontClient *client)
{
    if (client->link == LINK_READY && !client_is_held(client)) {
        return true;
    }
    if (client->link == LINK_NONE) {
        front_link_begin(client);
    }
    client_hold(client);
    return false;
}

void front_client_unhold(FrontClient *client)
{
    client->unheld = false;
    if (client->link == LINK_READY && !client->resetting && (client->paused & PAUSE_LINK) != 0) {
        loop_timer_stop(&client->hold);
        front_client_resume(client, PAUSE_LINK);
    }
}

/* Once, where there is another primary already: what has come in was said before that one had any
 * client. */
static bool client_has_word(FrontClient *client)
{
    bool has = !client->looked && client->back != NULL &&
               front_session_unanswered(&client->session) > 0 && !stream_quiet(client->back);
    client->looked = client->looked || has;
    return has;
}

bool front_client_stays(FrontClient *client)
{
    Front *front = client->front;
    bool waits = front_session_unanswered(&client->session) > 0 || front_held_any(client);
    bool movable = front_session_can_move(&client->session) && !client->held.opaque;
    bool gated = !client->gated || front->config->durable;
    if (!client_is_left_behind(client) || client->at->gone || !waits || !movable || !gated) {
        return false;
    }
    if (!front_has_primary(front)) {
        client_hold(client);
        return true;
    }
    if (!client_has_word(client)) {
        return false;
    }
    front_settle_soon(front);
    return true;
}

void front_client_move(FrontClient *client)
{
    if (client->link == LINK_READY) {
        (void)front_client_link_lost(
            client, client->at_primary ? changed : "the replica has changed its role");
    } else {
        front_link_elsewhere(client);
    }
}

void front_link_later(FrontClient *client)
{
    client->link = LINK_WAITING;
    front_wait(client->front, client);
    client_hold(client);
}

bool front_client_waits_again(const FrontClient *client)
{
    return client->again && client_is_held(client);
}

void front_client_link_ready(FrontClient *client)
{
    loop_timer_stop(&client->hold);
    if (client->again) {
        front_again_send(client);
    }
    front_client_resume(client, PAUSE_LINK);
}
