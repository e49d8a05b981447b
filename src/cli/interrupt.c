/*
 * Signals that end a command, held back: whoever has something to take back or to say first looks
 * for them in between. A second one is held back like the first.
 */
#include "cli/cli_priv.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

void interrupt_hold(sigset_t *ret_held)
{
    sigemptyset(ret_held);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(ret_held, signals[i]);
        }
    }
    sigprocmask(SIG_BLOCK, ret_held, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool interrupt_waits(void)
{
    sigset_t pending;
    bool waits = false;
    if (sigpending(&pending) == 0) {
        for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
            waits = waits || sigismember(&pending, signals[i]) == 1;
        }
    }
    return waits;
}
