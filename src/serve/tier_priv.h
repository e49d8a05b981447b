/* The tier as its data directory has it. */
#ifndef WEIR_SERVE_TIER_PRIV_H
#define WEIR_SERVE_TIER_PRIV_H

#include "agent/agent.h"
#include "crypto/crypto.h"
#include "model/model.h"
#include "store/store.h"

#define TIER_FORMAT     1
#define TIER_REGION     "eu-west-1" /* a valid name that is not us-east-1 */
#define TIER_API_PORT   4566
#define ACCESS_KEY_SIZE 21
typedef struct Tier {
    char *data_dir; /* absolute */
    char *run_dir;
    char *id;
    char *region;
    char host[HOST_NAME_SIZE]; /* its name among those of the tier */
    char *join;                /* what it was let in by; NULL: it was there from the beginning */
    char zone[2];              /* the letter; "": it stands for all zones */
    json_t *etcd;              /* where the store is, as DATA/host.json has it; NULL: here */
    bool etcd_begun;           /* this serve has started the member of this host */
    char *move_error;          /* why the store did not move to etcd; NULL: it was not to */
    int64_t created_ms;
    char net_given[HOST_NET_SIZE]; /* DATA/host.json's; "": found by ourselves */
    char net[HOST_NET_SIZE];       /* "127.1" */
    unsigned net_number;
    bool removed; /* the tier does not have this host any more: its name is used up */
    bool first;   /* the lowest net: also at 127.0.0.1 */
    int lock_fd;  /* DATA/weir.lock: one serve per tier */
    int net_fd;   /* the abstract socket that holds the net */
    int mark_fd;  /* and the one that whoever uses the net has, see net.c */
    Store *store;
    uint8_t master_key[AEAD_KEY_SIZE];
    Buf ca_cert_pem;
    Secret ca_key_pem;
    char access_key[ACCESS_KEY_SIZE];
    Secret secret_key;
} Tier;

/* Opens, or makes, the tier in this folder. `net_fd`, which becomes the tier's: a socket that holds
 * its net already, or will; -1: a new one. ERR_CONFLICT: another process has it, or a newer Weir
 * made it; ERR_DENIED: the engines' accounts cannot enter the folder (the message has the command
 * that opens it), or, with `removed` set in *ret_tier, the host was removed from the tier. */
NODISCARD bool tier_open(const char *data_dir, int net_fd, Tier *ret_tier, Err *err);
void tier_close(Tier *tier);
/* Removes the runtime folder, when nothing of the tier runs any more. */
void tier_run_remove(const Tier *tier);

/* The record of the tier itself, made where there is none; the store is open. Again: checked. */
NODISCARD bool tier_record_open(Tier *tier, Err *err);
/* The network and the runtime folder; the tier's id is known. Again: nothing. */
NODISCARD bool tier_place_open(Tier *tier, int net_fd, Err *err);
/* host.c: what DATA/host.json says, and what the other hosts are told of this one. ERR_DENIED from
 * the latter, with `removed` set: the host was removed from its tier. */
NODISCARD bool tier_host_open(Tier *tier, Err *err);
NODISCARD bool tier_host_record(Tier *tier, Err *err);

/* past.c: ERR_DENIED, with `removed` set: the tier has gone on without this host. */
NODISCARD bool tier_past_open(Tier *tier, Err *err);

/* tier_store.c: moves the store first, where that was asked for, and starts the member of etcd on
 * this host, where there is one. */
NODISCARD bool tier_store_begin(Tier *tier, int net_fd, Err *err);
NODISCARD bool tier_store_open(Tier *tier, Err *err);
bool tier_etcd_is_own(const Tier *tier); /* Weir runs it (etcd_own_priv.h) */
/* Stops the member of this host where this serve, which cannot go on, has started it; where nobody
 * asks it, for a move was cut off. */
void tier_etcd_take_back(const Tier *tier);
void tier_etcd_stray_stop(const Tier *tier);
/* The members Store… of JoinHost's answer, the caller's; the store is etcd. */
NODISCARD bool tier_store_share(const Tier *tier, json_t **ret_share, Err *err);

/* Takes the net of the last time where that is possible, else the next free one. */
NODISCARD bool tier_net_open(Tier *tier, int lock_fd, Err *err);

/* Writes DATA/client.json and DATA/ca.pem: what the weir client reads. */
NODISCARD bool tier_publish(const Tier *tier, Err *err);

/* The path of a folder that engines' accounts must be able to enter; pure but for stat(2). */
NODISCARD bool tier_folder_check(const char *path, const char *account, Err *err);

#endif
