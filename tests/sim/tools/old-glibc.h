/* SPDX-License-Identifier: Apache-2.0 */
/* The tools are bind-mounted into containers whose glibc may be as old as 2.17: ask for the versions it has. */
#pragma once

#if defined(__x86_64__)
#define OLD "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLD "GLIBC_2.17"
#endif

__asm__(".symver dlopen,dlopen@" OLD "\n.symver dlsym,dlsym@" OLD "\n.symver dlerror,dlerror@" OLD);
