/*
 * flight: what a server connection still has to answer, in order. From it follows which message of
 * the server answers what, which answers are ours and not the client's, and when the conversation
 * is at rest. Pure bookkeeping, one byte per message in flight.
 *
 * The rules are those of PostgreSQL's tcop/postgres.c: after an error in an extended message
 * everything up to the next Sync is skipped without an answer; while it reads COPY data, Sync and
 * Flush are ignored; stray COPY messages are ignored always.
 */
#ifndef WEIR_PROXY_FLIGHT_PRIV_H
#define WEIR_PROXY_FLIGHT_PRIV_H

#include "wire/wire.h"

/* A power of two. Each answer has at least 5 bytes, so that a full flight is more than PostgreSQL's
 * send buffer of 8 KiB holds back: waiting for room cannot block for ever. */
#define FLIGHT_MAX 2048

/* Zeroed to start. */
typedef struct Flight {
    uint16_t first;
    uint16_t len;
    bool skipping;               /* after an error, and no Sync was sent yet */
    bool copying;                /* the server reads COPY data, whose end was not sent yet */
    bool sync_in_copy;           /* a Sync was sent that it ignores if it reads it in this COPY */
    bool unsure;                 /* the order cannot be known any more */
    uint8_t entries[FLIGHT_MAX]; /* the type of the message; with FLIGHT_OURS where it is ours */
} Flight;

#define FLIGHT_OURS 0x80

/* One of the client's messages "PBDCESQF", or 'c' for both ends of COPY, is sent now. */
void flight_push(Flight *flight, char type, bool ours);
bool flight_is_full(const Flight *flight);
bool flight_is_empty(const Flight *flight); /* nothing more will come unless asked for */

typedef struct FlightAnswer {
    bool ours;       /* not for the client */
    bool ready;      /* a ReadyForQuery */
    bool own_failed; /* what we asked for ourselves failed: give the connection up */
    char failed;     /* the type of the message that an ErrorResponse answers; 0: none */
} FlightAnswer;

/* A message of the server begins. */
FlightAnswer flight_answer(Flight *flight, char type);

#endif
