/*
 * Data directories: the write-ahead log as an array of records with timelines, and what has been
 * made durable of it. A Data owns its arrays.
 */
#include "sim.h"

uint32_t wal_record_new(World *w, RecordKind kind, int reg, uint32_t value_before)
{
    WalRecord record = {.kind = kind, .reg = reg, .before = value_before};
    vec_push(&w->records, record);
    return (uint32_t)w->records.len - 1;
}

static void bit_set(Data *data, uint32_t id, bool value)
{
    size_t word = id / 64;
    if (word >= data->bits_len) {
        size_t len = word * 2 + 16;
        data->bits = mem_realloc(data->bits, len * sizeof(uint64_t));
        memset(data->bits + data->bits_len, 0, (len - data->bits_len) * sizeof(uint64_t));
        data->bits_len = len;
    }
    uint64_t bit = UINT64_C(1) << (id % 64);
    data->bits[word] = value ? data->bits[word] | bit : data->bits[word] & ~bit;
}

bool data_has(const Data *data, uint32_t id)
{
    return id / 64 < data->bits_len && (data->bits[id / 64] >> (id % 64) & 1) != 0;
}

void data_done(Data *data)
{
    mem_free(data->ids);
    mem_free(data->bits);
    *data = (Data){0};
}

/* Nothing is left but the arrays. */
void data_clear(Data *data)
{
    if (data->bits_len > 0) {
        memset(data->bits, 0, data->bits_len * sizeof(uint64_t));
    }
    *data =
        (Data){.ids = data->ids, .cap = data->cap, .bits = data->bits, .bits_len = data->bits_len};
}

void data_append(Data *data, uint32_t id)
{
    data->ids = vec_grow(data->ids, &data->cap, data->len + 1, sizeof(*data->ids));
    data->ids[data->len++] = id;
    bit_set(data, id, true);
}

void data_cut(Data *data, size_t len)
{
    while (data->len > len) {
        bit_set(data, data->ids[--data->len], false);
    }
    while (data->forks_len > 1 && data->forks[data->forks_len - 1].lsn > len) {
        data->forks_len--;
    }
    data->flushed = data->flushed < len ? data->flushed : len;
}

void data_fork(Data *data, int tli)
{
    ASSERT(data->forks_len < SIM_FORKS);
    data->forks[data->forks_len++] = (Fork){.tli = tli, .lsn = data->len};
    data->tli_max = tli > data->tli_max ? tli : data->tli_max;
}

void data_copy(Data *to, const Data *from, size_t len)
{
    data_clear(to);
    for (size_t i = 0; i < len; i++) {
        data_append(to, from->ids[i]);
    }
    to->flushed = to->len;
    memcpy(to->forks, from->forks, sizeof(to->forks));
    to->forks_len = from->forks_len;
    to->tli_max = from->tli_max;
    data_cut(to, to->len); /* a fork that is not flushed */
}

int data_tli(const Data *data)
{
    return data->forks_len > 0 ? data->forks[data->forks_len - 1].tli : 0;
}

int data_tli_at(const Data *data, size_t lsn, size_t *ret_end)
{
    ASSERT(data->forks_len > 0);
    size_t i = data->forks_len - 1;
    size_t end = data->len;
    while (i > 0 && data->forks[i].lsn > lsn) {
        end = data->forks[i--].lsn;
    }
    *ret_end = end;
    return data->forks[i].tli;
}
