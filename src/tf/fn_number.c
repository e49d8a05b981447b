/*
 * Functions of numbers and of network addresses.
 */
#include <arpa/inet.h>
#include <math.h>

#include "tf/eval_priv.h"

#define RANGE_MAX 1024 /* Terraform's own limit */

/* ---- numbers -------------------------------------------------------------------------------- */

static const TfValue *result(Call *call, TfNumber number)
{
    return value_number(call->eval->arena, number);
}

static const TfValue *fn_abs(Call *call)
{
    TfNumber number = call->args[0]->number;
    TfNumber negated;
    if (number.real >= 0 || !number_subtract(number_of_int(0), number, &negated)) {
        return call->args[0];
    }
    return result(call, negated);
}

static const TfValue *fn_ceil(Call *call)
{
    TfNumber number = call->args[0]->number;
    return number.exact ? call->args[0] : result(call, number_of_real(ceil(number.real)));
}

static const TfValue *fn_floor(Call *call)
{
    TfNumber number = call->args[0]->number;
    return number.exact ? call->args[0] : result(call, number_of_real(floor(number.real)));
}

/* The argument that no other one is beyond, in the direction of `sign`. */
static const TfValue *extreme(Call *call, int sign)
{
    const TfValue *best = call->args[0];
    for (size_t i = 1; i < call->len; i++) {
        if (number_compare(call->args[i]->number, best->number) * sign > 0) {
            best = call->args[i];
        }
    }
    return best;
}

static const TfValue *fn_max(Call *call)
{
    return extreme(call, 1);
}

static const TfValue *fn_min(Call *call)
{
    return extreme(call, -1);
}

static const TfValue *fn_sum(Call *call)
{
    const TfValue *list = call->args[0];
    TfNumber sum = number_of_int(0);
    if (value_len(list) == 0) {
        return call_fail(call, 0, "the list is empty");
    }
    for (size_t i = 0; i < value_len(list); i++) {
        const TfValue *item = value_at(list, i);
        const TfValue *number = value_to_number(call->eval->arena, item);
        if (number == NULL) {
            return call_fail(call, 0, "element %zu must be a number, not %s", i,
                             value_excerpt(call->eval->arena, item));
        }
        if (!number_add(sum, number->number, &sum)) {
            return call_fail(call, 0, "the sum is too large for a number");
        }
    }
    return result(call, sum);
}

static bool range_bounds(Call *call, TfNumber *ret_start, TfNumber *ret_limit, TfNumber *ret_step)
{
    *ret_start = call->len > 1 ? call->args[0]->number : number_of_int(0);
    *ret_limit = call->args[call->len > 1 ? 1 : 0]->number;
    bool down = number_compare(*ret_limit, *ret_start) < 0;
    *ret_step = call->len == 3 ? call->args[2]->number : number_of_int(down ? -1 : 1);
    if (ret_step->real == 0 || (ret_step->real < 0) != down) {
        if (number_compare(*ret_limit, *ret_start) != 0 || ret_step->real == 0) {
            (void)call_fail(call, 2, "the step must lead from the start to the limit");
            return false;
        }
    }
    return true;
}

static const TfValue *fn_range(Call *call)
{
    Arena *arena = call->eval->arena;
    TfNumber at;
    TfNumber limit;
    TfNumber step;
    if (!range_bounds(call, &at, &limit, &step)) {
        return tf_unknown();
    }
    VEC(const TfValue *) items = {0};
    int sign = step.real < 0 ? 1 : -1;
    while (number_compare(at, limit) == sign) {
        if (items.len == RANGE_MAX) {
            return call_fail(call, SIZE_MAX, "more than %d numbers", RANGE_MAX);
        }
        const TfValue *item = value_number(arena, at);
        arena_vec_push(arena, &items, item);
        if (!number_add(at, step, &at)) {
            break;
        }
    }
    return tf_list(arena, items.items, items.len);
}

/* ---- networks ------------------------------------------------------------------------------- */

typedef unsigned __int128 NetBits;

/* An address and the length of its network prefix, of 32 or 128 bits. */
typedef struct Network {
    int family;
    int bits;
    int prefix;
    NetBits address;
} Network;

static NetBits low_mask(int bits)
{
    return bits >= 128 ? ~(NetBits)0 : ((NetBits)1 << bits) - 1;
}

static bool network_parse(Call *call, Network *ret_network)
{
    Slice rest = call->args[0]->string;
    Slice address = slice_cut(&rest, '/');
    const char *text = arena_slice_str(call->eval->arena, address);
    uint8_t bytes[16];
    Network network = {.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET};
    network.bits = network.family == AF_INET ? 32 : 128;
    uint64_t prefix;
    if (inet_pton(network.family, text, bytes) != 1 || !str_to_u64(rest, &prefix) ||
        prefix > (uint64_t)network.bits) {
        (void)call_fail(call, 0, "a network such as \"10.0.0.0/16\" is needed, not %s",
                        value_excerpt(call->eval->arena, call->args[0]));
        return false;
    }
    for (int i = 0; i < network.bits / 8; i++) {
        network.address = network.address << 8 | bytes[i];
    }
    network.prefix = (int)prefix;
    network.address &= ~low_mask(network.bits - network.prefix);
    *ret_network = network;
    return true;
}

/* The address, with the prefix behind it when `prefix` is not negative. */
static const TfValue *network_text(Call *call, int family, NetBits address, int prefix)
{
    uint8_t bytes[16];
    int len = family == AF_INET ? 4 : 16;
    for (int i = len - 1; i >= 0; i--) {
        bytes[i] = (uint8_t)(address & 0xff);
        address >>= 8;
    }
    char text[INET6_ADDRSTRLEN];
    ASSERT(inet_ntop(family, bytes, text, sizeof(text)) != NULL);
    Arena *arena = call->eval->arena;
    return value_string_of(arena, prefix < 0 ? text : arena_printf(arena, "%s/%d", text, prefix));
}

static const TfValue *fn_cidrhost(Call *call)
{
    Network network;
    if (!network_parse(call, &network)) {
        return tf_unknown();
    }
    int64_t number = call->args[1]->number.integer;
    NetBits mask = low_mask(network.bits - network.prefix);
    NetBits distance = number < 0 ? (NetBits)(-(number + 1)) : (NetBits)number;
    if (distance > mask) {
        return call_fail(call, 1, "the network has no address %lld", (long long)number);
    }
    NetBits host = number < 0 ? mask - distance : distance;
    return network_text(call, network.family, network.address | host, -1);
}

static const TfValue *fn_cidrnetmask(Call *call)
{
    Network network;
    if (!network_parse(call, &network)) {
        return tf_unknown();
    }
    if (network.family != AF_INET) {
        return call_fail(call, 0, "only IPv4 networks have a mask");
    }
    return network_text(call, AF_INET, ~low_mask(32 - network.prefix), -1);
}

static const TfValue *fn_cidrsubnet(Call *call)
{
    Network network;
    if (!network_parse(call, &network)) {
        return tf_unknown();
    }
    int64_t new_bits = call->args[1]->number.integer;
    int64_t number = call->args[2]->number.integer;
    if (new_bits < 0 || new_bits > network.bits - network.prefix) {
        return call_fail(call, 1, "the prefix of %d bits cannot be longer by %lld", network.prefix,
                         (long long)new_bits);
    }
    if (number < 0 || (NetBits)number > low_mask((int)new_bits)) {
        return call_fail(call, 2, "%lld bits cannot hold the number %lld", (long long)new_bits,
                         (long long)number);
    }
    int prefix = network.prefix + (int)new_bits;
    NetBits shifted = prefix == 0 ? 0 : (NetBits)number << (network.bits - prefix);
    return network_text(call, network.family, network.address | shifted, prefix);
}

static const Function functions[] = {
    {"abs", "n", 0, fn_abs},
    {"ceil", "n", 0, fn_ceil},
    {"cidrhost", "si", 0, fn_cidrhost},
    {"cidrnetmask", "s", 0, fn_cidrnetmask},
    {"cidrsubnet", "sii", 0, fn_cidrsubnet},
    {"floor", "n", 0, fn_floor},
    {"max", "n+", 0, fn_max},
    {"min", "n+", 0, fn_min},
    {"range", "nn?n", 0, fn_range},
    {"sum", "l", 0, fn_sum},
};

const FunctionTable number_functions = {functions, ARRAY_LEN(functions)};
