/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as the tools take them: digits and a unit b, k, m, g, t (bytes without one). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool parse_size(const char *text, uint64_t *out) {
    static const char units[] = "bkmgt";
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    if (at == text)
        return false;
    if (*at) {
        const char *unit = strchr(units, *at | 0x20);
        if (!unit || at[1] || __builtin_mul_overflow(value, 1ull << (10 * (unit - units)), &value))
            return false;
    }
    *out = value;
    return true;
}
