/* A tier for tests of plan and apply: the real API over a memory store, and a stand-in for control
 * that makes available whatever was asked for. */
#ifndef WEIR_TESTS_UNIT_CLI_FIXTURE_H
#define WEIR_TESTS_UNIT_CLI_FIXTURE_H

#include <pthread.h>

#include "../api/harness.h"

#include "cli/apply/apply_priv.h"

typedef struct Fixture {
    Harness *harness;
    Arena *arena; /* of everything that a test keeps */
    pthread_mutex_t lock;
    Buf log;          /* "CreateDBInstance app-db\n" for each call that changes the tier */
    const char *held; /* this resource stays as it is; NULL: none */
    const char *fail_operation; /* this one is answered with … */
    const char *fail_code;
    const char *fail_message;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

Caller fixture_caller(Fixture *fixture);
/* One turn of control: what was asked for is there, what was to go is gone. */
void fixture_control(Fixture *fixture);

/* The texts of main.tf with the schema of the kinds. Fails the test where it does not load. */
TfProgram *fixture_load(Fixture *fixture, const char *text);
/* Loads and plans. False: `out` holds the diagnostics. Otherwise the plan as people see it. */
bool fixture_plan(Fixture *fixture, const char *text, Plan *plan, Buf *out);
void assert_plan(Fixture *fixture, const char *text, const char *shown);
void assert_no_changes(Fixture *fixture, const char *text);
/* Plans and applies. Appends to `out` what progress says, in the order of its end, and the
 * diagnostics. */
bool fixture_apply(Fixture *fixture, const char *text, Buf *out);
/* The same, which must succeed. */
void assert_applies(Fixture *fixture, const char *text);
/* What changed the tier since the log was cleared. */
void assert_log(Fixture *fixture, const char *log);
char *fixture_read_file(Fixture *fixture, const char *name); /* of the repository */

#endif
