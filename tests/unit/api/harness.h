/* An API over a memory store, and steps against it: each is a signed request through the client's
 * own codecs. JSON in steps is written with single quotes. */
#ifndef WEIR_TESTS_UNIT_API_HARNESS_H
#define WEIR_TESTS_UNIT_API_HARNESS_H

#include "../unit.h"

#include "api/api.h"

#define HARNESS_REGION "eu-west-1"
#define HARNESS_KEY    "WEIRTESTKEY"

typedef struct Harness {
    Store *store;
    Api *api;
    Secret secret_key;
    int64_t now_ms;
    const char *log_text; /* of every node; NULL: no logs */
    int stops;
    const char *access_key; /* of whoever signs; NULL: HARNESS_KEY */
    const char *signs_with; /* their secret; NULL: the owner's */
    bool tls;               /* how requests come */
    const char *share;      /* what the store is shared by; NULL: not yet */
    json_t *silent;         /* by host, for how many ms; NULL: all are alive */
    /* Kept between steps: "$NAME" in a step's input stands for it. */
    json_t *variables;
} Harness;

int harness_setup(void **state);
int harness_teardown(void **state);

typedef struct Step {
    const char *operation; /* "rds:CreateDBInstance" */
    const char *input;     /* NULL: {} */
    const char *fault;     /* the code; NULL: it succeeds */
    const char *expect;    /* success: what must be in the output; fault: part of the message */
} Step;

/* Objects must hold at least the members expected, lists must be as long. "*" fits any string. */
bool json_holds(const json_t *actual, const json_t *expected);

void run_step(Harness *harness, const Step *step);
void run_steps(Harness *harness, const Step *steps, size_t len);
#define RUN_STEPS(harness, steps) run_steps((harness), (steps), ARRAY_LEN(steps))

/* One call; the output or the fault. The caller owns *ret_output. */
bool harness_call(Harness *harness, const char *operation, const char *input, json_t **ret_output,
                  AwsFault *ret_fault);
/* The same, as raw as it goes on the wire. `invocation` may be NULL. */
void harness_send(Harness *harness, const char *operation, const char *input,
                  const char *invocation, ApiReply *reply);
/* A request signed with this key and secret for this region. */
void harness_send_raw(Harness *harness, const char *service, const char *body,
                      const char *content_type, const char *target, const char *secret_key,
                      const char *region, ApiReply *reply);

json_t *harness_json(const char *text);                 /* from the single-quoted form */
json_t *harness_get(Harness *harness, const char *key); /* NULL: absent; a new reference */
void harness_put(Harness *harness, const char *key, const char *value); /* single-quoted */
/* Keeps a string of an output under a name. `path` is "A.B.0.C". */
void harness_keep(Harness *harness, const char *name, const json_t *output, const char *path);
const json_t *json_at(const json_t *value, const char *path); /* NULL: nothing there */

#endif
