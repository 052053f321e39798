/* SPDX-License-Identifier: Apache-2.0 */
/* A library of some program, with a function that happens to have the name of one of the driver's. */
int cuInit(unsigned flags);
__attribute__((visibility("default"))) int cuInit(unsigned flags) {
    return 4711 + (int)flags;
}
