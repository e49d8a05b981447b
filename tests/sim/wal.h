/* Write-ahead logs, and the data directories that hold them (wal.c). */
#ifndef WEIR_SIM_WAL_H
#define WEIR_SIM_WAL_H

#include "clock.h"
#include "ha/ha.h"

typedef enum RecordKind { RECORD_COMMIT, RECORD_PROBE, RECORD_OTHER } RecordKind;

/* A record of a log, unique in the whole run; its number is also the value that it writes. */
typedef struct WalRecord {
    RecordKind kind;
    int reg;
    uint32_t before; /* the value that it replaced */
    int64_t term;
    bool acked;    /* a client was told */
    bool given_up; /* somebody has allowed that it is lost */
    bool cut;      /* its wait was cut short: who reads it may see it go */
    bool returned; /* a client has read it */
} WalRecord;

typedef struct Fork {
    int tli;
    size_t lsn; /* where it begins */
} Fork;

/* A data directory. A position (LSN) is a count of records. */
typedef struct Data {
    bool whole;       /* false: nothing, or half a copy */
    HaId incarnation; /* made anew with the directory */
    HaData kind;      /* the agent's note */
    bool signal;      /* standby.signal */
    int tli_max;      /* of the history files that it has */
    Fork forks[SIM_FORKS];
    size_t forks_len; /* the last is the timeline of the control file */
    uint32_t *ids;
    size_t len;
    size_t cap;
    size_t flushed;
    uint64_t *bits; /* which records are in it */
    size_t bits_len;
} Data;

void data_done(Data *data);
void data_clear(Data *data);
void data_append(Data *data, uint32_t id);
void data_cut(Data *data, size_t len);
void data_fork(Data *data, int tli);
void data_copy(Data *to, const Data *from, size_t len); /* up to there */
int data_tli(const Data *data);
int data_tli_at(const Data *data, size_t lsn, size_t *ret_end); /* of the record at lsn */
bool data_has(const Data *data, uint32_t id);
uint32_t wal_record_new(World *w, RecordKind kind, int reg, uint32_t before);

#endif
