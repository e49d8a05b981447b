/*
 * serve: one host of a tier in one process. It opens the tier's data directory, and runs api,
 * control and agent over its store. It may be killed at any moment; engines and data plane live on,
 * and the next one goes on where it was.
 */
#ifndef WEIR_SERVE_H
#define WEIR_SERVE_H

/*
 * `weir serve --data DIR [--verbose] [--join TOKEN --name NAME --zone ZONE [--net NET]
 * [--no-engines]]`. With a token it joins the token's tier first (docs/hosts.md), where it has not
 * yet. On SIGTERM it ends and leaves everything running (RULES O1, O2); on SIGINT, and when
 * StopTier asks, it stops the tier first. Exit status: 0 the tier was stopped on request, 2 the
 * arguments or the data directory cannot be used (starting again would not help), 1 otherwise.
 */
int serve_main(int argc, char **argv);

/* `weir supervise --data DIR [--adopt PID]`: keeps `weir serve` up; one that runs already is
 * adopted (its socket of the net is our standard input). Ends with 0 when the tier was stopped,
 * with 2 when it cannot be served. */
int supervise_main(int argc, char **argv);

#endif
