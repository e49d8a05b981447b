/* Faults on purpose: chaos.c has them by name, and those of processes and disks. */
#ifndef WEIR_SERVE_CHAOS_PRIV_H
#define WEIR_SERVE_CHAOS_PRIV_H

#include "serve/serve_priv.h"

typedef struct Victim {
    const Tier *tier;
    const char *node;
    char *root; /* its folder */
} Victim;

typedef bool FaultFn(const Victim *victim, size_t *ret_processes, Err *err);

/* chaos_link.c. ERR_DENIED, ERR_UNAVAILABLE: what for, and what to do. */
NODISCARD bool chaos_cut_link(const Victim *victim, size_t *ret_processes, Err *err);
NODISCARD bool chaos_mend_link(const Victim *victim, size_t *ret_processes, Err *err);

#endif
