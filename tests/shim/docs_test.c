/* SPDX-License-Identifier: Apache-2.0 */
/* docs/shim.md has the table that hooks.def makes. */
#include "harness.h"

#include <stdlib.h>

TEST(The_documentation_lists_the_hooks) {
    EXPECT_EQUAL(system("sh " TABLE " | while IFS= read -r line; do grep -qxF -e \"$line\" " DOCS " || exit 1; done"),
                 0);
}
