/* Runs a fuzz target over the files of its corpus folder, so that every build checks what fuzzing
 * once found. Usage: replay_NAME FOLDER. Fails when the folder holds no input: a check must check.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", argv[1], entry->d_name);
        Buf buf;
        Err err;
        buf_init(&buf, BUF_MAX_DEFAULT);
        if (!file_read(path, &buf, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        /* An exact copy, so that a sanitizer sees a read past the end. */
        uint8_t *copy = malloc(buf.len > 0 ? buf.len : 1);
        ASSERT(copy != NULL);
        if (buf.len > 0) {
            memcpy(copy, buf.data, buf.len);
        }
        LLVMFuzzerTestOneInput(copy, buf.len);
        free(copy);
        buf_done(&buf);
        count++;
    }
    closedir(dir);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
