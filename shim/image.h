/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the images that a program loads: PTX text, a cubin (ELF), or a fat binary of them. */
#ifndef RUNAI_IMAGE_H
#define RUNAI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the image's globals take on a GPU; for a fat binary those of its largest image. 0 if there are none, or if
   it cannot be read: compressed, or no image at all. */
uint64_t image_globals(const void *image);
/* A copy of a cubin, to be dropped with munmap; NULL for any other image. */
void *image_copy(const void *image, size_t *size);
/* image_globals of a file. */
uint64_t image_globals_of_file(const char *path);

#endif
