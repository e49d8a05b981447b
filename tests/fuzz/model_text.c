/* Every text of a user's that src/model reads: formulas, values, windows, ranges, names, ARNs. */
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(Slice text, const char *c_text)
{
    static const FormulaFacts facts = {(int64_t)1 << 34, 2, (int64_t)100 << 30, 5432};
    static const TierFacts tier = {MODEL_ACCOUNT_ID, "eu-west-1", "127.1"};
    static const InstalledVersion installed[] = {{"postgres", "15.18"}, {"redis", "7.0.15"}};
    EngineVersions versions = {installed, ARRAY_LEN(installed), c_text};
    int64_t value;
    ResourceType type;
    Slice name;
    InstanceClass class;
    char version[MODEL_VERSION_SIZE];
    bool ok = formula_is(text);
    ok = formula_eval(text, &facts, &value, NULL) || ok;
    ok = maintenance_window_check(text, NULL) || ok;
    ok = daily_window_check("window", text, 30, NULL) || ok;
    ok = cidr_check(text, false, NULL) || ok;
    ok = cidr_check(text, true, NULL) || ok;
    ok = arn_parse(&tier, text, &type, &name, NULL) || ok;
    ok = instance_class_find(c_text, &class, NULL) || ok;
    ok = engine_version_resolve(&versions, "postgres", "14.5", version, &(bool){false}, NULL) || ok;
    Err err;
    ok = engine_family_resolve(&versions, c_text, &err) != NULL || ok;
    ok = parameter_check(parameter_family_find("postgres15"), "work_mem", c_text, &err) || ok;
    ok = parameter_check(parameter_family_find("postgres15"), "random_page_cost", c_text, &err) ||
         ok;
    for (int i = 0; i < RESOURCE_TYPES; i++) {
        ok = identifier_check((ResourceType)i, "Name", text, NULL) || ok;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) {
        return 0;
    }
    char *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    read_all(slice_from(copy, size), copy);
    mem_free(copy);
    return 0;
}
