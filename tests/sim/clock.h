/*
 * Virtual time: processes, events, messages and chance (world.c), and the switches that take a rule
 * out (--without).
 *
 * Time is in microseconds. An event belongs to a process (Proc), or to nobody: where the process
 * has ended meanwhile the event is dropped, where it is stopped the event waits for it to go on.
 */
#ifndef WEIR_SIM_CLOCK_H
#define WEIR_SIM_CLOCK_H

#include "base/base.h"

#define SIM_NODES     3
#define SIM_HOSTS     3
#define SIM_PLACES    (SIM_HOSTS + 1) /* hosts, and the store */
#define SIM_STORE     SIM_HOSTS
#define SIM_PROXIES   3
#define SIM_CLIENTS   5
#define SIM_REGISTERS 3
#define SIM_FORKS     64
#define SIM_SENDERS   8
#define SIM_HELD      16 /* requests that wait in a proxy: one of each client, and more to spare */
#define SIM_WAITERS   64
#define SIM_TEXT      256

#define MS            1000LL
#define S             1000000LL

typedef struct World World;
typedef struct Event Event;
typedef void EventFn(World *w, const Event *event);

/* ---- switches: what is taken out --------------------------------------------------------------
 */

typedef enum Switch {
    WITHOUT_REVISION,     /* F1: compare-and-swap on the term only */
    WITHOUT_CLAIM,        /* F2: no write of its own before a start, a promotion, a takeover */
    WITHOUT_FRESH,        /* F2: no write of its own before weaker names */
    WITHOUT_SETTLING,     /* F2: an unknown outcome is settled by a read */
    WITHOUT_NAMES_RECORD, /* F2: the names at a start are those of the file left behind */
    WITHOUT_MEMORY,       /* F3: the store forgets its last writes when it is away */
    WITHOUT_RESET,        /* F3: a copy of the store is taken as it is */
    WITHOUT_INCARNATIONS, /* F4: a data directory made anew keeps its name */
    WITHOUT_FIRST,        /* F4: ANY 1 in the place of FIRST n */
    WITHOUT_HIDING,       /* F4: somebody else streams under a standby's name */
    WITHOUT_SLOTS,        /* F4: two walsenders of one name */
    WITHOUT_PROOF,        /* F5: binding is read off the view */
    WITHOUT_SECOND,       /* F5: one CHECKPOINT only */
    WITHOUT_WALSENDERS,   /* F5: old walsenders are not ended */
    WITHOUT_ORDER,        /* F5: what is to be flushed is noted before the proof */
    WITHOUT_GATE,         /* F6 */
    WITHOUT_EXIT,         /* F7: restart_after_crash = on */
    WITHOUT_REAPING,      /* F8: ended is when the postmaster is */
    WITHOUT_RIGHT,        /* F9: proxies answer without a right to, guards have no deadline */
    SWITCHES,
} Switch;

const char *switch_name(Switch what);

/* What kind of run it is. */
typedef enum Profile { PROFILE_CALM, PROFILE_SINGLE, PROFILE_STORM, PROFILES } Profile;

/* What may be late. */
typedef enum Late {
    LATE_STORE, /* writes to it; also how often one comes twice, or its answer is lost */
    LATE_WATCH,
    LATE_AGENT, /* between what it decides and what it does */
    LATE_CHECKPOINTER,
    LATE_SENDER,
    LATE_OTHER,
    LATES,
} Late;

/* ---- time -------------------------------------------------------------------------------------
 */

typedef struct Proc {
    uint64_t gen; /* of this life; another one has another number */
    int64_t paused_until;
} Proc;

struct Event {
    int64_t at;
    uint64_t seq;
    EventFn *fn;
    Proc *proc; /* whose it is; NULL: nobody's */
    uint64_t gen;
    int from; /* a message: where it comes from, and where to; -1: none */
    int to;
    int64_t a;
    int64_t b;
    void *data; /* freed behind the call */
};

int64_t roll(World *w, int64_t low, int64_t high); /* low <= … <= high */
bool chance(World *w, int permille);
/* Most often short, now and then long. */
int64_t roll_late(World *w, Late what, int64_t short_us, int64_t long_us);
void later(World *w, int64_t delay_us, EventFn *fn, int64_t a, int64_t b);
void later_in(World *w, Proc *proc, int64_t delay_us, EventFn *fn, int64_t a, int64_t b);
/* A message between places, to a process (or NULL). It arrives when the way is free. */
void send_to(World *w, int from, int to, Proc *proc, EventFn *fn, int64_t a, int64_t b, void *data);
void send_late(World *w, int64_t us, int from, int to, Proc *proc, EventFn *fn, int64_t a,
               int64_t b, void *data); /* it is sent, or on its way, for so much longer */
void proc_begin(World *w, Proc *proc); /* another life */
void proc_pause(World *w, Proc *proc, int64_t until);
bool proc_paused(const World *w, const Proc *proc);
PRINTF_LIKE(2, 3) void trace(World *w, const char *format, ...);
PRINTF_LIKE(2, 3) void fail(World *w, const char *format, ...); /* the run is over */
bool world_run(World *w);                                       /* until it is over */

#endif
