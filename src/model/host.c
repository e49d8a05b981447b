/* What a host of a tier may be called, and where it may stand (docs/hosts.md). Pure. */
#include <stdio.h>

#include "model/model.h"

bool host_name_check(const char *name, Err *err)
{
    size_t len = strlen(name);
    bool good = len > 0 && len < HOST_NAME_SIZE && name[0] != '-';
    for (size_t i = 0; i < len && good; i++) {
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '-';
    }
    return good ||
           err_set(err, ERR_INVALID,
                   "the name of a host is 1 to %d small letters, digits and hyphens, not \"%.40s\"",
                   HOST_NAME_SIZE - 1, name);
}

bool host_zone_check(const char *zone, Err *err)
{
    return (strlen(zone) == 1 && strchr(MODEL_ZONES, zone[0]) != NULL) ||
           err_set(err, ERR_INVALID, "the zone of a host is one of the letters %s, not \"%.40s\"",
                   MODEL_ZONES, zone);
}

/* 0 is "this network", and 224 and up are no hosts' addresses. */
bool host_net_check(const char *net, Err *err)
{
    Slice rest = slice_of(net);
    Slice first = slice_cut(&rest, '.');
    uint64_t high = 0, low = 0;
    char plain[HOST_NET_SIZE];
    bool good = net[0] == '\0' || (str_to_u64(first, &high) && str_to_u64(rest, &low) && high > 0 &&
                                   high < 224 && low <= 255);
    if (good && net[0] != '\0') { /* one form of each, since nets are compared as texts */
        snprintf(plain, sizeof(plain), "%u.%u", (unsigned)high & 0xffU, (unsigned)low & 0xffU);
        good = strcmp(plain, net) == 0;
    }
    return good || err_set(err, ERR_INVALID,
                           "the net of a host is the first two numbers of a /16 that leads to it "
                           "alone, \"10.77\", not \"%.40s\"",
                           net);
}

bool host_net_is_loopback(const char *net)
{
    return strncmp(net, "127.", 4) == 0;
}
