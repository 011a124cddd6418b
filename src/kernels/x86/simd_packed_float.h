// SPDX-License-Identifier: Apache-2.0
// Rows of bfloat16 placed as pairs of float32, for products on CPUs without bfloat16 instructions.
// Included inside an anonymous namespace.

void PackRowAsFloats(const void* x, size_t k_size, size_t stride, std::byte* out) {
  const uint16_t* from = static_cast<const uint16_t*>(x);
  for (size_t k = 0; k < k_size; k += 2, out += stride) {
    const uint32_t pair[2] = {uint32_t{from[k]} << 16,
                              k + 1 < k_size ? uint32_t{from[k + 1]} << 16 : 0u};
    __builtin_memcpy(out, pair, sizeof(pair));
  }
}
