/* What etcd's gateway sends: garbage is refused, and a stream says the same however it is cut.
 * Input: the lines of a watch; the first one is read as a refusal, too. */
#include "store/etcd_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOT SLICE("/w/")

typedef struct Heard {
    uint64_t lines, changes, bytes;
} Heard;

static bool on_line(void *user, Slice text)
{
    Heard *heard = user;
    EtcdMessage message;
    Err err;
    json_t *line = json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL);
    heard->lines++;
    heard->bytes += text.len;
    if (etcd_read_message(line, &message, &err)) {
        for (size_t i = 0; i < json_array_size(message.events); i++) {
            BatchOp op;
            if (etcd_read_event(json_array_get(message.events, i), ROOT, &op, &err)) {
                ASSERT(op.record->mod_revision > 0 && op.record->key_len > 0);
                heard->changes++;
                record_unref(op.record);
            } else {
                ASSERT(err.code == ERR_UNAVAILABLE);
            }
        }
    }
    json_decref(line);
    return true;
}

static Heard hear(Slice stream, size_t cut)
{
    Heard heard = {0};
    Buf rest;
    buf_init(&rest, 4096);
    bool fits = etcd_lines(&rest, slice_from(stream.data, cut), on_line, &heard) &&
                etcd_lines(&rest, slice_skip(stream, cut), on_line, &heard);
    ASSERT(rest.len <= 4096 && fits != rest.overflowed);
    buf_done(&rest);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice stream = slice_from(data, size);
    Heard whole = hear(stream, 0);
    Heard cut = hear(stream, size / 2);
    /* A line may be too long only where it does not come at once. */
    ASSERT(cut.lines <= whole.lines);
    ASSERT(cut.lines < whole.lines || (cut.bytes == whole.bytes && cut.changes == whole.changes));
    Slice rest = stream;
    Slice first = slice_cut(&rest, '\n');
    Err err;
    ASSERT(etcd_judge(500, first, &err) != ETCD_DONE);
    ASSERT(err.code != ERR_NONE);
    return 0;
}
