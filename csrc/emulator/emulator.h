/* How the emulated device behaves: the one function that only build/libthimble_cuda_emulated exports. */
#ifndef TH_EMULATOR_H
#define TH_EMULATOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The order in which blocks, and the threads of a block, run. */
enum { TH_EMULATOR_FORWARD = 0, TH_EMULATOR_REVERSE = 1, TH_EMULATOR_RANDOM = 2 };

/** `lazy`: launches and copies wait in their stream until something synchronises with it. `host_pointers`: kernels may be
    given any memory, as on systems whose GPU shares the page tables; the native tests do. */
__attribute__((visibility("default"))) int32_t th_emulator_configure(int32_t order, int32_t seed, int32_t lazy,
                                                                     int32_t host_pointers);

#ifdef __cplusplus
}
#endif
#endif
