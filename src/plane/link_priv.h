/*
 * link: a connection between two processes of the succession, with a queue for what the other one
 * has not read yet. Who it leads to is its role; what a message means is succession.c's.
 */
#ifndef WEIR_PLANE_LINK_PRIV_H
#define WEIR_PLANE_LINK_PRIV_H

#include "plane/succession_priv.h"

typedef enum LinkRole {
    LINK_NEW,     /* it came in by the door, and has not said what it wants */
    LINK_HEIR,    /* it was offered the place */
    LINK_JOINING, /* a leaving process that tells what it holds */
    LINK_DOWN,    /* a leaving process; we serve */
    LINK_UP,      /* the process that serves; we are leaving */
    LINK_DEAD,    /* freed at the end of the turn */
} LinkRole;

typedef struct LinkPacket {
    char *text;
    size_t len;
    int fds[SUCCESSION_SOCKETS]; /* its own */
    size_t fd_count;
} LinkPacket;

struct SuccessionLink {
    ListNode node; /* in succession->links */
    Succession *succession;
    LinkRole role;
    uint32_t generation; /* of who is there; 0: not known */
    int fd;
    LoopFd *watch;
    LoopTimer timer;
    json_t *books; /* of JOINING */
    size_t books_due;
    VEC(LinkPacket) queue;
};

typedef void LinkMessageFn(SuccessionLink *link, const json_t *message, const int *fds, size_t len);
typedef void LinkLostFn(SuccessionLink *link);

struct Succession {
    Loop *loop;
    const SuccessionHandlers *handlers;
    void *user;
    enum {
        SUCCESSION_HEIR,
        SUCCESSION_SERVING,
        SUCCESSION_COMMITTED, /* the heir may take the seat */
        SUCCESSION_LEAVING,
        SUCCESSION_ALONE,     /* leaving, and looking for who serves */
        SUCCESSION_RETURNING, /* has the seat, and waits for what other leaving ones hold */
        SUCCESSION_STOPPED,
    } state;
    bool left; /* and its process knows */
    uint32_t generation;
    char *door; /* its name */
    int door_fd;
    LoopFd *door_watch;
    int seat_fd;
    bool seat_is_file;
    List links;
    LoopDefer sweep;
    LoopTimer timer;   /* of an heir, or of one that is alone */
    int config_fd;     /* for leaving processes that join later; -1: there are none */
    VEC(uint32_t) kin; /* generations that are to join */
    LoopTimer kin_timer;
    int64_t return_late_ms; /* of RETURNING: it waits no longer */
    /* of an heir */
    int offer_fd; /* to the serving process */
    uint32_t offer_generation;
    json_t *names;
    int sockets[SUCCESSION_SOCKETS];
    size_t socket_count;
    SuccessionLink *before; /* whose place was taken, until it has been told */
};

/* Takes the descriptor. */
SuccessionLink *link_new(Succession *succession, int fd, LinkRole role);
void link_free(SuccessionLink *link);
/* Ends it; its memory stays to the end of the turn. */
void link_cut(SuccessionLink *link);
/* Takes the message; descriptors are copied. */
void link_send(SuccessionLink *link, json_t *message, const int *fds, size_t len);
/* The same, now or never: copies of a descriptor may not be closed where it is locked. */
NODISCARD bool link_send_now(SuccessionLink *link, json_t *message, const int *fds, size_t len,
                             Err *err);
void links_sweep(void *succession);

/* One of them; NULL: there is none. */
SuccessionLink *link_of_role(const Succession *succession, LinkRole role);

/* succession.c; heir.c is what a process does before it serves */
#define SUCCESSION_PROTOCOL 1
#define SUCCESSION_OFFER_MS 5000
uint32_t succession_generation_after(uint32_t generation);
/* Whoever has the seat may put its door where an earlier process left one. */
void succession_door_open(Succession *succession);
void succession_door_watch(Succession *succession);
void succession_door_unwatch(Succession *succession);
void succession_take_message(SuccessionLink *link, const json_t *message, const int *fds,
                             size_t len);
void succession_link_lost(SuccessionLink *link);
/* It has the seat again. Before anything is given to anybody, it is to know what others hold. */
void succession_return(Succession *succession);

/* offer.c: what an heir asks for, that it is ready, that it serves */
void succession_offer_asked(SuccessionLink *link, const json_t *message);
void succession_offer_ready(SuccessionLink *link);
void succession_offer_served(SuccessionLink *link);

/* kin.c */
/* These processes, by their books, are to join. */
void succession_kin_expect(Succession *succession, const json_t *books);
/* RETURNING: all that live are to join, and SERVING follows, soon at the latest. */
void succession_kin_return(Succession *succession);
/* A leaving process has come, and tells what it holds. */
void succession_kin_join(SuccessionLink *link, const json_t *message);
void succession_kin_book(SuccessionLink *link, json_t *book);
/* The configuration holds secrets, and is kept as long as there is somebody to read it. */
void succession_config_forget(Succession *succession);

#endif
