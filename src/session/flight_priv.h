/*
 * flight: what a server connection still has to answer, in order. From it follows which message of
 * the server answers what, which answers are ours and not the client's, and when the conversation
 * is at rest. Pure bookkeeping, one byte per message in flight.
 *
 * The rules are those of PostgreSQL's tcop/postgres.c: after an error in an extended message
 * everything up to the next Sync is skipped without an answer; while it reads COPY data, Sync and
 * Flush are ignored; stray COPY messages are ignored always.
 */
#ifndef WEIR_SESSION_FLIGHT_PRIV_H
#define WEIR_SESSION_FLIGHT_PRIV_H

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
    uint8_t entries[FLIGHT_MAX]; /* a number for the type of the message, and the marks below */
} Flight;

enum {
    FLIGHT_OURS = 0x80,   /* the answer is not for the client */
    FLIGHT_TELL = 0x40,   /* ours, but an error is the client's */
    FLIGHT_STANDS = 0x20, /* a Close in the place of a Parse */
    FLIGHT_RECORD = 0x10, /* somebody has a record of what it changes: these are counted */
};

/* One of the client's messages "PBDCESQF", or 'c' for both ends of COPY, is sent now. */
void flight_push(Flight *flight, char type, unsigned marks);
bool flight_is_full(const Flight *flight);
/* What is answered now: the type of the message, 0 where nothing is; and whether it is ours. */
char flight_head(const Flight *flight);
bool flight_is_ours(const Flight *flight);
bool flight_is_empty(const Flight *flight); /* nothing more will come unless asked for */
/* Something of what was sent will be answered, whatever is sent behind it. What the server skips,
 * or reads as COPY data, is not; and where nobody is sure, there may still be an answer. */
bool flight_is_awaited(const Flight *flight);

typedef struct FlightAnswer {
    bool ours;          /* not for the client */
    bool stands;        /* the client is to be told that a Parse succeeded */
    bool ready;         /* a ReadyForQuery */
    char ended;         /* the type of the message whose answer it ends; 0: none */
    bool own_failed;    /* what we asked for ourselves failed: give the connection up */
    bool recorded;      /* a message with a record succeeded */
    unsigned undone;    /* so many with records failed, or are skipped */
    char failed;        /* the type of the message that an ErrorResponse answers; 0: none */
    bool query_skipped; /* what failed is ours, and keeps a Query behind it from being run */
} FlightAnswer;

/* Of whole messages of the server at the front of `data`, those that belong to a request of the
 * client's and say nothing that anybody else has to know: how many bytes. They are answered; each
 * of the others is for flight_answer. `ends`: the ends of statements are among them, where their
 * tags are those of plain reads and writes; *ret_completed: one was. */
size_t flight_pass(Flight *flight, Slice data, bool ends, bool *ret_completed);
/* A message of the server begins. */
void flight_answer(Flight *flight, char type, FlightAnswer *ret_answer);

#endif
