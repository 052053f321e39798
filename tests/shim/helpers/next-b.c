/* SPDX-License-Identifier: Apache-2.0 */
/* Opened later: not in the scope of what was loaded at start. */
int runai_test_marker(void);
__attribute__((visibility("default"))) int runai_test_marker(void) {
    return 3;
}
