/*
 * idle: opens clients by libpq, has each ask once, and holds them until its input ends.
 *
 *   idle -d CONNINFO [-n CLIENTS] [-q SQL]
 *
 * Prints "ready" when all are there.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"

#define CLIENTS_MAX 20000

static PGconn *client_open(const char *conninfo, const char *sql)
{
    PGconn *client = PQconnectdb(conninfo);
    PGresult *result = PQstatus(client) == CONNECTION_OK ? PQexec(client, sql) : NULL;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "idle: %s", PQerrorMessage(client));
        exit(1);
    }
    PQclear(result);
    return client;
}

int main(int argc, char **argv)
{
    const char *conninfo = "";
    const char *sql = "SELECT 1";
    uint64_t count = 100;
    int option;
    while ((option = getopt(argc, argv, "d:n:q:")) != -1) {
        if (option == 'd') {
            conninfo = optarg;
        } else if (option == 'q') {
            sql = optarg;
        } else if (option != 'n' || !str_to_u64(slice_of(optarg), &count) || count > CLIENTS_MAX) {
            fputs("usage: idle -d CONNINFO [-n CLIENTS] [-q SQL]\n", stderr);
            return 2;
        }
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    PGconn **clients = mem_alloc((count + 1) * sizeof(PGconn *));
    for (uint64_t i = 0; i < count; i++) {
        clients[i] = client_open(conninfo, sql);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    for (uint64_t i = 0; i < count; i++) {
        PQfinish(clients[i]);
    }
    mem_free(clients);
    return 0;
}
