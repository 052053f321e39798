/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: whatever a container writes into the ledger's memory. */
#include "../../../shim/ledger.h"
#include "../../../shim/quota_file.h"

#include <stdlib.h>
#include <string.h>

const char *quota_directory(void) {
    return "/nonexistent"; /* memory of our own: the same layout */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const unsigned char uuid[16] = {1};
    unsigned char *bytes = (unsigned char *)ledger_file();
    /* Pairs of a position and a value, so that a small input reaches everywhere. */
    for (size_t i = 0; i + 3 <= size; i += 3)
        bytes[(data[i] << 8 | data[i + 1]) % sizeof(struct ledger_file)] = data[i + 2];
    int device = ledger_device(uuid);
    struct ledger_row *row = ledger_claim(device, 42);
    struct ledger_sum sum = ledger_sum(device);
    ledger_reclaim(device, row);
    if (device >= LEDGER_DEVICES || (row && (row < ledger_file()->rows || row >= ledger_file()->rows + LEDGER_ROWS)) ||
        (sum.settled > 0 && device < 0))
        abort();
    return 0;
}
