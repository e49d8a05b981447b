/* The agent's side of data-plane processes (docs/state.md, "Data-plane processes"). Loop thread. */
#ifndef WEIR_AGENT_PLANES_PRIV_H
#define WEIR_AGENT_PLANES_PRIV_H

#include "agent/agent_priv.h"

typedef struct Planes Planes;

NODISCARD bool planes_new(const AgentOptions *options, Planes **ret_planes, Err *err);
void planes_free(Planes *planes); /* leaves the processes running; NULL is fine */
/* Clusters, nodes or hosts have changed: whoever is told of a leader is told of the next one. */
void planes_look(Planes *planes);
/* Asks all of them to finish; call it until it says that none is left. */
bool planes_stop(Planes *planes);

/* A goal's config as the process gets it. In it
 *   "$net.1.7"                              becomes this tier's address,
 *   "$run/x" (a whole string's start)       the runtime directory,
 *   {"$sealed": TEXT, "context": KEY}       the opened secret,
 *   {"$credentials": TEXT, "context": KEY}  {"user": …, "password": …} out of a secret's JSON,
 *   "$server_cert": [names], "$client_cert": NAME  in an object: "cert_pem" and "key_pem" of a
 *                                           certificate issued now (also for localhost where a name
 *                                           is a loopback address),
 *   "$ca"                                   the tier's CA certificate,
 *   "$at.NODE"                              the node's address, on whatever host,
 *   {"$node": NODE, "relay": PART, …}       {"id": …, "socket_dir": …, …} of the node; on another
 *                                           host {"id": …, "host": …, "port": …, "link": …, …}:
 *                                           there its instance's relay is at the host part PART,
 *   {"$leader": CLUSTER, "relay": PART, …}  the same of the node that leads it and lets clients in;
 *                                           null where none does,
 *   {"$member": CLUSTER, "id": NODE, …}     {"id": …, "role": …, "available": …, …} of a
 * replication group's member,
 *   {"$yields": CLUSTER}                    whether its leader is about to hand over.
 * The result holds secrets: wipe what is made of it. */
NODISCARD bool plane_config_expand(const AgentOptions *options, const json_t *config,
                                   json_t **ret_config, Err *err);
/* What stands in the place of its marks at present, certificates and secrets aside: who leads,
 * where nodes are reached, how members are. Another text, another configuration. */
void plane_config_aim(const AgentOptions *options, const json_t *config, Buf *out);

#endif
