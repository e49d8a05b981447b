/* Messages on their way between the two clients' proxy and the model of a server: queues that never
 * fill up. */
#ifndef WEIR_FUZZ_MODEL_QUEUE_H
#define WEIR_FUZZ_MODEL_QUEUE_H

#include "model_settings.h"
#include "model_token.h"

#define QUEUE_MAX 4096
#define NAME_SIZE 16
#define TEXT_SIZE 96

typedef struct Entry {
    char type;
    uint8_t owner; /* client 0 or 1, or nobody */
    char status;   /* of a 'Z' */
    /* to the server */
    char meant;           /* the type of the client's own message */
    int8_t meant_name;    /* the client's name in it; -1: none */
    int8_t text;          /* of a Parse */
    char name[NAME_SIZE]; /* as the server reads it */
    char sql[TEXT_SIZE];  /* of a Query and a Parse */
    /* from it */
    const char *tag;
    bool asked; /* a DataRow with the settings that were asked for */
    char columns[5];
    bool has_token; /* one of them is the token */
    int token;
    bool temporary;    /* search_path has pg_temp */
    bool cut;          /* a success of a wait that was cut; or, of an 'N', the notice of one */
    bool pins_asked;   /* a DataRow with what pins */
    bool channel;      /* and there is one */
    const char *heard; /* the channel of an 'A'; NULL: something else */
    uint32_t number;   /* of the notification; of a mark, its number */
    ModelSettings settings;
} Entry;

typedef struct Queue {
    Entry entries[QUEUE_MAX];
    size_t first, len;
} Queue;

static inline void queue_put(Queue *queue, Entry entry)
{
    if (queue->len < QUEUE_MAX) {
        queue->entries[(queue->first + queue->len++) % QUEUE_MAX] = entry;
    }
}

static inline void queue_push(Queue *queue, char type, uint8_t owner, char status)
{
    queue_put(queue, (Entry){.type = type, .owner = owner, .status = status});
}

static inline Entry queue_pop(Queue *queue)
{
    Entry entry = queue->entries[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->len--;
    return entry;
}

#endif
