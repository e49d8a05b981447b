/*
 * The order of evaluation: a depth-first search along references, without recursion. A reference
 * back to a node that is still open is a cycle; it is reported as a chain, once.
 */
#include "tf/eval_priv.h"

/* The open nodes, each depending on the next. */
typedef NodeList Path;

/* Where the cycle that ends in the path's last node begins. */
static size_t cycle_start(const Path *path, const Node *again)
{
    size_t start = path->len - 1;
    while (path->items[start] != again) {
        start--;
    }
    return start;
}

/* The chain begins with the node that is declared first. */
static size_t cycle_first(const Path *path, size_t start)
{
    size_t first = start;
    for (size_t i = start; i < path->len; i++) {
        TfPos pos = path->items[i]->pos;
        TfPos best = path->items[first]->pos;
        if (pos.file->order < best.file->order ||
            (pos.file->order == best.file->order && pos.offset < best.offset)) {
            first = i;
        }
    }
    return first;
}

static void report_cycle(Loader *loader, const Path *path, const Node *again)
{
    size_t start = cycle_start(path, again);
    size_t len = path->len - start;
    size_t first = cycle_first(path, start);
    bool known = true;
    CLEANUP(buf_done) Buf chain;
    buf_init(&chain, BUF_MAX_DEFAULT);
    for (size_t i = 0; i <= len; i++) {
        Node *node = path->items[start + (first - start + i) % len];
        known = known && node->in_cycle;
        buf_printf(&chain, "%s%s", i > 0 ? " -> " : "", node->address);
    }
    for (size_t i = start; i < path->len; i++) {
        path->items[i]->in_cycle = true;
    }
    if (known) {
        return;
    }
    loader_error(
        loader, path->items[first]->pos,
        len == 1 ? "take the reference to itself out" : "one of these must do without the next",
        "%s: %s", len == 1 ? "it refers to itself" : "these need each other", buf_str(&chain));
}

/* One step of the search at the path's end. */
static void search_step(Loader *loader, Path *path)
{
    Node *node = path->items[path->len - 1];
    if (node->next_dependency == node->depends.len) {
        node->mark = MARK_DONE;
        arena_vec_push(loader->arena, &loader->program->order, node);
        path->len--;
        return;
    }
    Node *next = node->depends.items[node->next_dependency++];
    if (next->mark == MARK_OPEN) {
        report_cycle(loader, path, next);
    } else if (next->mark == MARK_NEW) {
        next->mark = MARK_OPEN;
        arena_vec_push(loader->arena, path, next);
    }
}

void load_order(Loader *loader)
{
    const NodeList *nodes = &loader->program->nodes;
    Path path = {0};
    for (size_t i = 0; i < nodes->len; i++) {
        if (nodes->items[i]->mark != MARK_NEW) {
            continue;
        }
        nodes->items[i]->mark = MARK_OPEN;
        arena_vec_push(loader->arena, &path, nodes->items[i]);
        while (path.len > 0) {
            search_step(loader, &path);
        }
    }
}
