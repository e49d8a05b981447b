/*
 * Peers whose host has vanished: without a word, so that nobody ever tells us. An idle connection
 * is probed by the system (net_tune). Where bytes are under way the system tries for a quarter of
 * an hour, and asks nobody; TCP_USER_TIMEOUT would end that, but takes whoever does not read for so
 * long for dead, too, though the host acknowledges each question. So those to which something was
 * sent are looked at once a second: what is not acknowledged, and since when nothing was.
 *
 * A stream is in the list from a send until nothing is under way any more; an idle one costs
 * nothing.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "loop/stream_priv.h"

#define LOOKS_PER_TURN 1024
#define NEXT_LOOKS_MS  10 /* where there are more than that */

static void silence_look(void *user);

void stream_await(Stream *stream)
{
    Loop *loop = stream->watch.loop;
    if (stream->awaited.next != NULL || stream->silence_s == 0) {
        return;
    }
    stream->asked_ms = 0;
    list_push_back(&loop->awaited, &stream->awaited);
    if (!loop_timer_armed(&loop->silence)) {
        loop_timer_start(loop, &loop->silence, STREAM_SILENCE_LOOK_MS, 0, silence_look, loop);
    }
}

static void fail_silent(Stream *stream)
{
    Err err;
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_set(&err, ERR_TIMEOUT, "%s has acknowledged nothing for %u s", name, stream->silence_s);
    stream_fail(stream, &err);
}

/* Whether something is under way, or waits for a peer that does not read. */
static bool look(Stream *stream, int64_t now_ms)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    if (getsockopt(stream->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        return false;
    }
    if (info.tcpi_unacked == 0 && info.tcpi_probes == 0) {
        stream->asked_ms = 0;
        return info.tcpi_notsent_bytes > 0;
    }
    if (stream->asked_ms == 0) {
        stream->asked_ms = now_ms;
    }
    int64_t heard_ms = now_ms - (int64_t)info.tcpi_last_ack_recv;
    int64_t since_ms = heard_ms > stream->asked_ms ? heard_ms : stream->asked_ms;
    if (now_ms - since_ms >= (int64_t)stream->silence_s * MS_PER_S) {
        fail_silent(stream);
        return false;
    }
    return true;
}

static void silence_look(void *user)
{
    Loop *loop = user;
    size_t all = loop->awaited.len;
    size_t looks = all < LOOKS_PER_TURN ? all : LOOKS_PER_TURN;
    for (size_t i = 0; i < looks && loop->awaited.len > 0; i++) {
        Stream *stream = CONTAINER_OF(list_pop_front(&loop->awaited), Stream, awaited);
        if (look(stream, loop_now_ms(loop))) {
            list_push_back(&loop->awaited, &stream->awaited);
        }
    }
    if (loop->awaited.len > 0) {
        int64_t next_ms = looks < all ? NEXT_LOOKS_MS : STREAM_SILENCE_LOOK_MS;
        loop_timer_start(loop, &loop->silence, next_ms, 0, silence_look, loop);
    }
}
