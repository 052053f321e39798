/* SPDX-License-Identifier: Apache-2.0 */
/* Prototypes of all hooks, under the names that programs know. */
#ifndef RUNAI_HOOKS_H
#define RUNAI_HOOKS_H

#include "real.h"

#define HOOK(library, name, presence, since, area, returns, parameters) EXPORT returns name parameters;
#define CALL(library, name, returns, parameters)
#include "hooks.def"
#undef HOOK
#undef CALL

#endif
