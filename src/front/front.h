/*
 * front: the Redis data plane, a process per replication group. It holds the group's primary and
 * reader endpoint, authenticates clients against the group's tokens, and gives each a connection of
 * its own to the node that its endpoint stands for. docs/front.md has the configuration and what a
 * client sees when nodes change.
 */
#ifndef WEIR_FRONT_H
#define WEIR_FRONT_H

/* `weir front --id ID --run RUN`. Ends when the agent or SIGTERM says so. */
int front_main(int argc, char **argv);

#endif
