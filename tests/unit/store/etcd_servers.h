/* Real members of an etcd of the test's own: on an address of the loopback that follows from our
 * pid, with TLS and client certificates, in a folder that goes with them. */
#ifndef WEIR_TESTS_ETCD_SERVERS_H
#define WEIR_TESTS_ETCD_SERVERS_H

#include "../unit.h"
#include "store/store.h"

#define ETCD_SERVERS_MAX 3

typedef struct EtcdServers {
    int count;
    char *folder;
    char *ca, *cert, *key;                 /* of the clients; the members have one of their own */
    char *endpoints[ETCD_SERVERS_MAX + 1]; /* NULL-terminated */
    pid_t pids[ETCD_SERVERS_MAX];          /* 0: does not run */
    const char *const *flags;              /* further ones; NULL-terminated, or NULL */
} EtcdServers;

/* Whether there is an etcd to start. */
bool etcd_servers_present(void);
/* Makes folder and certificates, and starts all members. */
EtcdServers *etcd_servers_new(int count, const char *const *flags);
void etcd_servers_free(EtcdServers *servers); /* NULL is fine */
void etcd_server_start(EtcdServers *servers, int number);
void etcd_server_signal(EtcdServers *servers, int number, int number_of_signal);
void etcd_server_kill(EtcdServers *servers, int number); /* SIGKILL, and waits for its end */
/* Removes what it has stored; it must not run. */
void etcd_server_wipe(EtcdServers *servers, int number);
/* Which of them leads; asks until there is one. */
int etcd_servers_leader(EtcdServers *servers);
/* POSTs a body to a path of a member, with our certificates; true where it answers 200. */
bool etcd_server_post(EtcdServers *servers, int number, const char *path, const char *body,
                      Buf *reply);
StoreEtcdOptions etcd_servers_options(const EtcdServers *servers, const char *root);

#endif
