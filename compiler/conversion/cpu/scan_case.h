// Kernels of scans as text: for tests and benchmarks.

#ifndef WEIR_COMPILER_CONVERSION_CPU_SCAN_CASE_H_
#define WEIR_COMPILER_CONVERSION_CPU_SCAN_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/conversion/cpu/test_util.h"

namespace weir {

struct ScanCase {
  int64_t batch = 1, time = 1, features = 1, states = 1, chunk = 1;
  bool reverse = false, segments = false;
  /// bf16 rather than f32 sequences.
  bool narrow = false;

  int64_t chunks() const { return (time + chunk - 1) / chunk; }

  /// `text` for this case. $B, $T, $D, $N, $K and $C are its batch, time, features, states, chunk
  /// and chunks. $S, $L and $H are the types of a sequence of features, of a state of that shape
  /// and of those that enter chunks; $M is the map of a sequence. $G, $R and $I are the clauses and
  /// the type that the case has for segments (`%ids`) and direction. $E is the element of
  /// sequences, $X and $Y are the ops that make f32 of it and back.
  std::string kernel(std::string text) const {
    std::string element = narrow ? "bf16" : "f32";
    const std::pair<std::string, std::string> parts[] = {
        {"$S", "tensor<$Bx$Tx$Dx" + element + ">"},
        {"$L", "tensor<$Bx$Dxf32>"},
        {"$H", "tensor<$Cx$Bx$Dxf32>"},
        {"$M", "affine_map<(b, t, d) -> (b, t, d)>"},
        {"$G", segments ? "segments(%ids) " : ""},
        {"$R", reverse ? "reverse " : ""},
        {"$I", segments ? ", tensor<$Bx$Txi32>" : ""},
        {"$E", element},
        {"$X", narrow ? "arith.extf" : "arith.bitcast"},
        {"$Y", narrow ? "arith.truncf" : "arith.bitcast"}};
    for (const auto& [name, value] : parts) text = replaced(text, name, value);
    return fill(
        text,
        {{'B', batch}, {'T', time}, {'D', features}, {'N', states}, {'K', chunk}, {'C', chunks()}});
  }
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_SCAN_CASE_H_
