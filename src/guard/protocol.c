/* The text between guard and agent, and of the exit record, which is the line "exited …". Pure. */
#include <signal.h>
#include <stdio.h>

#include "guard/guard_priv.h"

static const char *const state_names[] = {
    [GUARD_RUNNING] = "running",
    [GUARD_STOPPING] = "stopping",
    [GUARD_REAPING] = "reaping",
    [GUARD_EXITED] = "exited",
};

int guard_signal_number(Slice name)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},
                   {"KILL", SIGKILL}, {"TERM", SIGTERM}, {"USR1", SIGUSR1},
                   {"USR2", SIGUSR2}, {"STOP", SIGSTOP}, {"CONT", SIGCONT}};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        if (slice_is(name, signals[i].name)) {
            return signals[i].number;
        }
    }
    return 0;
}

bool guard_modes_parse(Slice text, GuardModes *ret_modes, Err *err)
{
    GuardModes modes = {0};
    Slice rest = text;
    do {
        Slice signal = slice_cut(&rest, ',');
        Slice name = slice_cut(&signal, '=');
        int number = guard_signal_number(signal);
        if (name.len == 0 || name.len >= sizeof(modes.modes[0].name) || number == 0 ||
            slice_is(name, "kill") || modes.len == GUARD_MODES_MAX) {
            return err_set(err, ERR_INVALID,
                           "'%.*s' is not a list like fast=INT,immediate=QUIT of at most %d modes",
                           SLICE_FMT(text), GUARD_MODES_MAX);
        }
        GuardMode *mode = &modes.modes[modes.len++];
        memcpy(mode->name, name.data, name.len);
        mode->signal = number;
    } while (rest.data != NULL);
    *ret_modes = modes;
    return true;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static bool stop_parse(Slice mode, Slice timeout, const GuardModes *modes,
                       GuardRequest *ret_request, Err *err)
{
    int64_t timeout_ms;
    if (!str_to_i64(timeout, &timeout_ms) || timeout_ms < 0) {
        return err_set(err, ERR_INVALID, "stop takes a mode and milliseconds");
    }
    if (slice_is(mode, "kill")) {
        *ret_request = (GuardRequest){.kind = GUARD_REQUEST_KILL};
        return true;
    }
    for (size_t i = 0; i < modes->len; i++) {
        if (slice_is(mode, modes->modes[i].name)) {
            *ret_request = (GuardRequest){.kind = GUARD_REQUEST_STOP,
                                          .signal = modes->modes[i].signal,
                                          .timeout_ms = timeout_ms};
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "no stop mode is called '%.*s'", SLICE_FMT(mode));
}

bool guard_request_parse(Slice line, const GuardModes *modes, GuardRequest *ret_request, Err *err)
{
    Slice rest = line;
    Slice verb = slice_cut(&rest, ' ');
    if (slice_is(verb, "status") && rest.data == NULL) {
        *ret_request = (GuardRequest){.kind = GUARD_REQUEST_STATUS};
        return true;
    }
    if (slice_is(verb, "stop")) {
        Slice mode = slice_cut(&rest, ' ');
        return stop_parse(mode, rest, modes, ret_request, err);
    }
    if (slice_is(verb, "signal")) {
        int number = guard_signal_number(rest);
        *ret_request = (GuardRequest){.kind = GUARD_REQUEST_SIGNAL, .signal = number};
        return number != 0 ||
               err_set(err, ERR_INVALID, "'%.*s' is not a signal's name", SLICE_FMT(rest));
    }
    if (slice_is(verb, "fence")) {
        *ret_request = (GuardRequest){.kind = GUARD_REQUEST_FENCE};
        return (str_to_i64(rest, &ret_request->until_ms) && ret_request->until_ms >= 0) ||
               err_set(err, ERR_INVALID, "fence takes milliseconds of CLOCK_BOOTTIME");
    }
    return err_set(err, ERR_INVALID, "'%.*s' is none of status, stop, signal and fence",
                   SLICE_FMT(verb));
}

/* ---- what the guard says ----------------------------------------------------------------------
 */

void guard_status_format(const GuardStatus *status, Buf *out)
{
    buf_printf(out, "status state=%s engine=%d started_ms=%lld left=%zu\n",
               state_names[status->state], (int)status->engine, (long long)status->started_ms,
               status->left);
}

void guard_exit_format(const GuardExit *end, Buf *out)
{
    buf_printf(out, "exited code=%d signal=%d asked=%s started_ms=%lld ended_ms=%lld error=",
               end->end.exit_code, end->end.signal, end->asked ? "yes" : "no",
               (long long)end->started_ms, (long long)end->ended_ms);
    for (const char *at = end->error; *at != '\0'; at++) {
        buf_append_char(out, *at == '\n' ? ' ' : *at);
    }
    buf_append_char(out, '\n');
}

/* The value of `name=` at the front of *rest, up to the next space. */
static bool field_text(Slice *rest, const char *name, Slice *ret_value)
{
    Slice value = slice_cut(rest, ' ');
    *ret_value = value;
    return slice_is(slice_cut(ret_value, '='), name);
}

static bool field_number(Slice *rest, const char *name, int64_t *ret_value)
{
    Slice value;
    return field_text(rest, name, &value) && str_to_i64(value, ret_value);
}

static bool status_parse(Slice rest, GuardStatus *ret_status)
{
    Slice state;
    int64_t engine, started_ms, left;
    if (!field_text(&rest, "state", &state) || !field_number(&rest, "engine", &engine) ||
        !field_number(&rest, "started_ms", &started_ms) || !field_number(&rest, "left", &left) ||
        rest.data != NULL || engine < 0 || engine > INT32_MAX || left < 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
        if (slice_is(state, state_names[i])) {
            *ret_status = (GuardStatus){(GuardState)i, (pid_t)engine, started_ms, (size_t)left};
            return true;
        }
    }
    return false;
}

static bool exited_parse(Slice rest, GuardExit *ret_exit)
{
    Slice asked;
    int64_t code, signal, started_ms, ended_ms;
    if (!field_number(&rest, "code", &code) || !field_number(&rest, "signal", &signal) ||
        !field_text(&rest, "asked", &asked) || !field_number(&rest, "started_ms", &started_ms) ||
        !field_number(&rest, "ended_ms", &ended_ms) || !slice_is(slice_cut(&rest, '='), "error") ||
        code < -1 || code > 255 || signal < 0 || signal > 127) {
        return false;
    }
    GuardExit end = {.end = {.known = rest.len == 0, (int)code, (int)signal},
                     .asked = slice_is(asked, "yes"),
                     .started_ms = started_ms,
                     .ended_ms = ended_ms};
    snprintf(end.error, sizeof(end.error), "%.*s", SLICE_FMT(rest));
    *ret_exit = end;
    return rest.data != NULL && (end.asked || slice_is(asked, "no"));
}

bool guard_line_parse(Slice line, GuardLine *ret_line, Err *err)
{
    GuardLine result = {0};
    Slice rest = line;
    Slice verb = slice_cut(&rest, ' ');
    bool good = false;
    if (slice_is(verb, "ok")) {
        result.kind = GUARD_LINE_OK;
        good = rest.data == NULL;
    } else if (slice_is(verb, "error")) {
        result.kind = GUARD_LINE_ERROR;
        result.error = rest;
        good = true;
    } else if (slice_is(verb, "status")) {
        result.kind = GUARD_LINE_STATUS;
        good = status_parse(rest, &result.status);
    } else if (slice_is(verb, "exited")) {
        result.kind = GUARD_LINE_EXITED;
        good = exited_parse(rest, &result.end);
    }
    if (!good) {
        return err_set(err, ERR_INVALID, "not a line of a guard: %.*s", SLICE_FMT(line));
    }
    *ret_line = result;
    return true;
}
