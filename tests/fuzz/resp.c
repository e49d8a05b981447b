/* RESP: the scan gives the same values however its input is cut, and agrees with the readers of
 * whole values and commands. The first byte of the input is the cut. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Story {
    uint64_t hash;
    size_t bytes;
    bool bad;
} Story;

static void story_add(Story *story, uint64_t value)
{
    story->hash = (story->hash ^ value) * 0x100000001b3ull;
}

static void feed(RespScan *scan, Slice in, Story *story)
{
    while (in.len > 0 && !story->bad) {
        size_t used = 0;
        WireResult result = resp_scan(scan, in, &used);
        story->bad = result == WIRE_BAD;
        ASSERT(story->bad || used > 0);
        ASSERT(result != WIRE_MORE || used == in.len);
        if (result == WIRE_DONE) {
            ASSERT(resp_scan_idle(scan) && scan->kept_len <= RESP_KEPT_MAX);
            story_add(story, (uint64_t)(unsigned char)scan->type);
            story_add(story, (uint64_t)scan->count);
            for (uint32_t i = 0; i < scan->kept_len; i++) {
                story_add(story, (unsigned char)scan->kept[i]);
            }
            story_add(story, story->bytes + used);
        }
        story->bytes += story->bad ? 0 : used;
        in = slice_skip(in, used);
    }
}

static void check_scan(Slice in, size_t cut, bool requests)
{
    Story whole = {0};
    Story split = {0};
    RespScan scan = {.requests = requests};
    feed(&scan, in, &whole);
    scan = (RespScan){.requests = requests};
    feed(&scan, (Slice){in.data, cut}, &split);
    feed(&scan, slice_skip(in, cut), &split);
    ASSERT(whole.bad == split.bad && whole.hash == split.hash);
    ASSERT(whole.bad || whole.bytes == split.bytes);
}

static void check_command(Slice in, size_t cut)
{
    Slice args[4];
    RespCommand whole;
    RespCommand part;
    WireResult of_whole = resp_command_read(in, args, 4, &whole);
    WireResult of_part = resp_command_read((Slice){in.data, cut}, args, 4, &part);
    ASSERT(of_part == WIRE_MORE || of_part == of_whole);
    if (of_whole != WIRE_DONE) {
        return;
    }
    ASSERT(of_part != WIRE_DONE || (part.len == whole.len && part.arg_count == whole.arg_count));
    RespScan scan = {.requests = true};
    size_t used;
    ASSERT(resp_scan(&scan, in, &used) == WIRE_DONE && used == whole.len);
    for (size_t i = 0; whole.inlined && i < whole.arg_count && i < 4; i++) {
        char *out = mem_alloc(args[i].len + 1);
        ASSERT(resp_inline_unquote(args[i], out) <= args[i].len);
        mem_free(out);
    }
}

/* Reads one value with its items; `budget` bounds the work. */
static WireResult read_deep(Slice *in, int *budget)
{
    int64_t due[RESP_DEPTH_MAX + 1] = {1};
    size_t depth = 0;
    while (*budget > 0) {
        *budget -= 1;
        RespValue value;
        WireResult result = resp_value_read(in, &value);
        if (result != WIRE_DONE) {
            return result;
        }
        bool pairs = value.type == '%' || value.type == '|';
        int64_t items = pairs ? 2 * value.count : value.count;
        due[depth] -= value.type == '|' ? 0 : 1;
        if (items > 0 && depth == RESP_DEPTH_MAX) {
            return WIRE_BAD;
        }
        if (items > 0) {
            due[++depth] = items;
        }
        while (due[depth] == 0) {
            if (depth == 0) {
                return WIRE_DONE;
            }
            depth--;
        }
    }
    return WIRE_MORE;
}

static void check_value(Slice in, size_t cut)
{
    int budget = 1000;
    Slice whole_rest = in;
    WireResult of_whole = read_deep(&whole_rest, &budget);
    budget = 1000;
    Slice part_rest = {in.data, cut};
    WireResult of_part = read_deep(&part_rest, &budget);
    ASSERT(of_part == WIRE_MORE || of_part == of_whole);
    if (of_whole == WIRE_DONE) {
        RespScan scan = {0};
        size_t used;
        ASSERT(resp_scan(&scan, in, &used) == WIRE_DONE && used == in.len - whole_rest.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    Slice in = slice_from(data + 1, size - 1);
    size_t cut = data[0] % (in.len + 1);
    check_scan(in, cut, false);
    check_scan(in, cut, true);
    check_command(in, cut);
    check_value(in, cut);
    return 0;
}
