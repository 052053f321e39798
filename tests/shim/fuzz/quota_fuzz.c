/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: the quota file's parser. */
#include "../../../shim/quota.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct quota_file file;
    if (!quota_file_parse(&file, (const char *)data, size) && !file.refused &&
        quota_value_bytes(&file.limit, 1000) > 1000 && !file.limit.is_size)
        abort(); /* a fraction never exceeds its total */
    return 0;
}
