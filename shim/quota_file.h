/* SPDX-License-Identifier: Apache-2.0 */
/* The quota of this container, as the quota file says. */
#ifndef RUNAI_QUOTA_FILE_H
#define RUNAI_QUOTA_FILE_H

#include "quota.h"

/* The private directory: where librunai.so was loaded from. */
const char *quota_directory(void);
/* Called before the first GPU use: waits for the quota; false, and a line on stderr, if there is none. */
bool quota_wait(void);
/* True when there is a quota; never waits. */
bool quota_known(void);
/* Reads the file again: always, or at most once a second. True when a second has passed (so others may do their
   once-a-second work). */
void quota_reread(void);
bool quota_tick(void);
/* Will the next quota_tick read the file? */
bool quota_is_due(void);
/* Counts changes; limits computed under an older number are out of date. */
uint32_t quota_generation(void);
/* The value for a device. */
struct quota_value quota_for(const unsigned char uuid[16], const unsigned char gpu[16]);

#endif
