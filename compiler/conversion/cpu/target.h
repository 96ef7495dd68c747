// What the emitters must know about the CPU they write for.
//
// All figures are fixed per instruction-set level (never measured on the running machine), so that
// the split of work and with it the order of floating-point sums depends on shapes and level only.

#ifndef WEIR_COMPILER_CONVERSION_CPU_TARGET_H_
#define WEIR_COMPILER_CONVERSION_CPU_TARGET_H_

#include <cstdint>
#include <string>

namespace weir {

/// Instruction-set levels that a program carries code for. `Amx` adds bf16 matrix tiles to AVX-512.
enum class IsaLevel { Avx2, Avx512, Amx };

struct CpuTarget {
  IsaLevel level = IsaLevel::Avx512;

  /// Lanes of a vector of f32. Regions run on this many lanes whatever the element type; LLVM
  /// splits wider ones.
  int64_t lanes() const { return level == IsaLevel::Avx2 ? 8 : 16; }
  /// Lanes for 64-bit elements.
  int64_t lanes64() const { return lanes() / 2; }
  /// Rows and vectors per row of the register tile of products: 14 x 2 of 32 registers, 6 x 2
  /// of 16.
  int64_t tileRows() const { return level == IsaLevel::Avx2 ? 6 : 14; }
  static constexpr int64_t kTileVectors = 2;
  bool hasBf16() const { return level == IsaLevel::Amx; }

  /// Bytes that the values of a block of rows may fill: half of a 2 MB L2 cache.
  static constexpr int64_t kTileBytes = 1 << 20;
  /// Workers that work is split for at least. A fixed number keeps results independent of the
  /// thread count.
  static constexpr int64_t kWorkers = 8;

  std::string cpu() const;
  std::string features() const;
  /// Name of the level in files: "avx2", "avx512" or "amx".
  std::string name() const;
};

inline int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t roundUp(int64_t a, int64_t b) { return divideUp(a, b) * b; }

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_TARGET_H_
