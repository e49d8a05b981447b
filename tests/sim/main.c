/*
 * sim: runs seeds.
 *
 *     sim [--first N] [--seeds N] [--limit-s N] [--kept FILE] [--profile calm|one|storm]
 *         [--kind cluster|group] [--seed N] [--trace] [--without NAME] [--keep-going]
 *
 * First the kept seeds of FILE, then N of them from the first on. A run that fails is run again
 * with its trace, and the end of that is printed with the seed; the exit code is 1. Without
 * --keep-going the first failure ends it. --seed N --trace prints all of a run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define TAIL_LINES 120

static const char *const switch_names[SWITCHES] = {
    "revision",     "claim", "fresh",  "settling", "names", "memory", "reset",
    "incarnations", "first", "hiding", "slots",    "proof", "second", "walsenders",
    "order",        "gate",  "exit",   "reaping",  "right"};

typedef struct Options {
    Setup setup;
    uint64_t first;
    uint64_t seeds;
    int64_t limit_s;
    const char *kept;
    const SimKind *kind; /* NULL: both */
    bool keep_going;
} Options;

typedef struct Sum {
    int64_t runs;
    int64_t failed;
    int64_t events;
    int64_t acks;
    int64_t terms;
    int64_t gap_max;
    int64_t lost;
    int64_t lost_durable;
} Sum;

const char *switch_name(Switch what)
{
    return switch_names[what];
}

/* ---- one run -----------------------------------------------------------------------------------
 */

static void print_tail(const World *w)
{
    int64_t keep = w->setup.keep;
    int64_t begin = w->lines_len > keep ? w->lines_len - keep : 0;
    for (int64_t i = begin; i < w->lines_len; i++) {
        puts(w->lines[i % keep]);
    }
}

static bool run(const Setup *setup, Sum *sum)
{
    World *w = mem_alloc(sizeof(World));
    world_begin(w, setup);
    bool good = world_run(w);
    if (!good && setup->keep > 0) {
        print_tail(w);
        printf("%s seed %llu: %s\n", setup->kind->name, (unsigned long long)setup->seed,
               w->failure);
    }
    if (sum != NULL) {
        sum->runs++;
        sum->failed += good ? 0 : 1;
        sum->events += w->events;
        sum->acks += w->check.acks;
        sum->terms += w->check.terms;
        sum->lost += w->check.lost;
        sum->lost_durable += w->check.lost_durable;
        sum->gap_max = w->check.gap_max > sum->gap_max ? w->check.gap_max : sum->gap_max;
    }
    world_end(w);
    mem_free(w);
    return good;
}

static bool run_one(const Options *options, const SimKind *kind, uint64_t seed, Sum *sum)
{
    Setup setup = options->setup;
    setup.seed = seed;
    setup.kind = kind;
    if (run(&setup, sum)) {
        return true;
    }
    setup.keep = setup.print ? 1 : TAIL_LINES;
    run(&setup, NULL);
    fflush(stdout);
    return false;
}

/* As whatever it is asked for. */
static bool run_seed(const Options *options, const SimKind *kind, uint64_t seed, Sum *sum)
{
    if (kind != NULL) {
        return run_one(options, kind, seed, sum);
    }
    return run_one(options, &cluster_kind, seed, sum) && run_one(options, &group_kind, seed, sum);
}

/* ---- many --------------------------------------------------------------------------------------
 */

static const SimKind *find_kind(Slice name)
{
    return slice_is(name, cluster_kind.name) ? &cluster_kind
           : slice_is(name, group_kind.name) ? &group_kind
                                             : NULL;
}

/* "group 17" is a group's; a number alone is a cluster's. */
static const SimKind *kept_kind(Slice *word)
{
    Slice rest = *word;
    const SimKind *kind = find_kind(slice_cut(&rest, ' '));
    *word = kind != NULL ? slice_trim(rest) : *word;
    return kind != NULL ? kind : &cluster_kind;
}

static bool run_kept(const Options *options, Sum *sum)
{
    Buf text;
    Err err = {0};
    buf_init(&text, BUF_MAX_DEFAULT);
    if (!file_read(options->kept, &text, &err)) {
        fprintf(stderr, "sim: %s\n", err.message);
        buf_done(&text);
        return false;
    }
    bool good = true;
    Slice rest = buf_slice(&text);
    while (rest.len > 0 && (good || options->keep_going)) {
        Slice line = slice_cut(&rest, '\n');
        Slice word = slice_trim(slice_cut(&line, '#'));
        const SimKind *kind = kept_kind(&word);
        uint64_t seed = 0;
        if (word.len > 0 && str_to_u64(word, &seed)) {
            good = run_seed(options, kind, seed, sum) && good;
        }
    }
    buf_done(&text);
    return good;
}

static bool run_all(const Options *options, Sum *sum)
{
    int64_t began = time_mono_ms();
    bool good = options->kept == NULL || run_kept(options, sum);
    for (uint64_t i = 0; i < options->seeds && (good || options->keep_going); i++) {
        if (options->limit_s > 0 && time_mono_ms() - began > options->limit_s * MS_PER_S) {
            break;
        }
        good = run_seed(options, options->kind, options->first + i, sum) && good;
    }
    int64_t passed_ms = time_mono_ms() - began + 1;
    printf("%lld runs, %lld failed; %lld events (%.1f million a minute), %lld acknowledged writes, "
           "%lld failovers, longest gap of the single faults %lld ms; groups lost %lld writes, "
           "durable ones %lld\n",
           (long long)sum->runs, (long long)sum->failed, (long long)sum->events,
           (double)sum->events * 60e-3 / (double)passed_ms, (long long)sum->acks,
           (long long)sum->terms, (long long)(sum->gap_max / MS), (long long)sum->lost,
           (long long)sum->lost_durable);
    return good;
}

/* ---- options -----------------------------------------------------------------------------------
 */

static int usage(const char *word)
{
    fprintf(stderr, "sim: what is %s? See the head of tests/sim/main.c\n", word);
    return 2;
}

static bool find_switch(const char *name, Setup *setup)
{
    for (size_t i = 0; i < SWITCHES; i++) {
        if (strcmp(switch_names[i], name) == 0) {
            setup->without[i] = true;
            return true;
        }
    }
    return false;
}

static bool find_profile(const char *name, Setup *setup)
{
    static const char *const names[PROFILES] = {"calm", "one", "storm"};
    for (int i = 0; i < PROFILES; i++) {
        if (strcmp(names[i], name) == 0) {
            setup->profile = i;
            return true;
        }
    }
    return false;
}

static bool option_value(Options *options, const char *name, const char *value)
{
    uint64_t number = 0;
    if (strcmp(name, "--without") == 0) {
        return find_switch(value, &options->setup);
    }
    if (strcmp(name, "--profile") == 0) {
        return find_profile(value, &options->setup);
    }
    if (strcmp(name, "--kind") == 0) {
        options->kind = find_kind(slice_of(value));
        return options->kind != NULL;
    }
    if (strcmp(name, "--kept") == 0) {
        options->kept = value;
        return true;
    }
    if (!str_to_u64(slice_of(value), &number)) {
        return false;
    }
    if (strcmp(name, "--first") == 0) {
        options->first = number;
    } else if (strcmp(name, "--seeds") == 0) {
        options->seeds = number;
    } else if (strcmp(name, "--limit-s") == 0) {
        options->limit_s = (int64_t)number;
    } else if (strcmp(name, "--seed") == 0) {
        options->first = number;
        options->seeds = 1;
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    Options options = {.first = 1, .seeds = 100, .setup.profile = -1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            options.setup.print = true;
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            options.keep_going = true;
        } else if (i + 1 == argc || !option_value(&options, argv[i], argv[i + 1])) {
            return usage(argv[i]);
        } else {
            i++;
        }
    }
    Sum sum = {0};
    return run_all(&options, &sum) ? 0 : 1;
}
