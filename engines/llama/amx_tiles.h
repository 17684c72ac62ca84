/* Included before every C and C++ file of llama.cpp. GCC's intrinsic for ldtilecfg names only the first bytes of the
   configuration as read, so the optimiser may drop the stores that fill the rest and the instruction faults
   (https://github.com/ggml-org/llama.cpp/issues/20824). This one names all 64 bytes. */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)))
#endif
