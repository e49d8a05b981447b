/*
 * proxy: the PostgreSQL data plane. `weir proxy --id ID --run RUN` serves one aws_db_proxy (a pool
 * in transaction mode) or one instance endpoint (a relay, one server connection per client). What
 * it is told, what it reports and how it behaves is in docs/proxy.md. `weir proxy --config FILE` is
 * the same without an agent, in front of any PostgreSQL. `weir proxy explain` serves nobody: it
 * says what a pool would do with statements.
 */
#ifndef WEIR_PROXY_H
#define WEIR_PROXY_H

/* Runs until it is told to stop, or has explained; the exit code (err_exit_code). */
int proxy_main(int argc, char **argv);

#endif
