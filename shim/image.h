/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be read of an image that a program loads: PTX text, a cubin (ELF), or a fat binary of them. */
#ifndef RUNAI_IMAGE_H
#define RUNAI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the image's globals take of a GPU: of the largest of a fat binary's. 0 where there are none, or where it
   cannot be read: what is compressed, or no image at all. */
uint64_t image_globals(const void *image);
/* A copy of a cubin, to be dropped with munmap; NULL for any other image. */
void *image_copy(const void *image, size_t *size);
/* The same as the first of a file. */
uint64_t image_globals_of_file(const char *path);

#endif
