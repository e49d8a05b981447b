/* Control's rounds over a memory store, with the agents played by the test. */
#ifndef WEIR_TESTS_UNIT_CONTROL_HARNESS_H
#define WEIR_TESTS_UNIT_CONTROL_HARNESS_H

#include "../unit.h"

#include "control/control.h"

#define GIB ((int64_t)1 << 30)

extern const uint8_t master_key[AEAD_KEY_SIZE];
extern const char instance_spec[]; /* "app" (db-app): Multi-AZ, behind the security group sg-1 */
extern const char replica_spec[];  /* "app-r" (db-r): a read replica of it */

/* One round; whether something is on its way. */
bool round_of(Store *store, const ControlHost *hosts, size_t hosts_len);
bool round_once(Store *store); /* on one host, "local" */

json_t *get(Store *store, const char *key); /* the caller's; NULL: absent */
int64_t revision_of(Store *store, const char *key);
void put(Store *store, const char *key, const char *text);

/* Plays the agent: the node is in this state by exactly its goal, and says so with `more` members.
 */
void see_node_in(Store *store, const char *node, const char *state, const char *more);
void see_node(Store *store, const char *node, const char *incarnation, const char *more);
void see_plane_in(Store *store, const char *plane, const char *state);
void see_plane(Store *store, const char *plane);

void assert_member(Store *store, const char *key, const char *member, const char *expected);
void assert_node(Store *store, const char *node, const char *host, const char *zone);
bool event_said(Store *store, const char *message);
void assert_settled(Store *store); /* one more round writes nothing */

/* With the instance "app" after the first round; and what its agents say once all is well. */
Store *store_with_instance(void);
void make_available(Store *store); /* each time by another run of the engines */

#endif
