// Kernels of one product as text: for tests and sweeps.

#ifndef WEIR_COMPILER_CONVERSION_CPU_PRODUCT_CASE_H_
#define WEIR_COMPILER_CONVERSION_CPU_PRODUCT_CASE_H_

#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/conversion/cpu/test_util.h"
#include "compiler/conversion/cpu/tile_model.h"

namespace weir {

/// C[m, n] = sum_k A B. With leftAlongK, A is stored as (m, k), else as (k, m); with rightAlongK B
/// as (n, k), else as (k, n).
struct ProductCase {
  int64_t m = 0, n = 0, k = 0;
  bool leftAlongK = true, rightAlongK = true;
  /// bf16 rather than f32 operands.
  bool narrow = false;
  /// With an op that shares its rows: silu, to the operands' type.
  bool withActivation = false;

  std::string element() const { return narrow ? "bf16" : "f32"; }

  TiledProduct shape(IsaLevel level) const {
    TiledProduct p;
    p.m = m, p.n = n, p.k = k;
    p.level = level;
    p.matrixTiles = level == IsaLevel::Amx && (narrow || repaysMatrixTiles(m, n, k));
    p.packedBytes = narrow && p.matrixTiles ? 2 : p.matrixTiles ? 6 : 4;
    p.multiplications = narrow || !p.matrixTiles ? 1 : 6;
    p.leftBytes = p.rightBytes = narrow ? 2 : 4;
    p.leftAlongK = leftAlongK, p.rightAlongK = rightAlongK;
    p.splittable = !withActivation;
    p.copiesLeft = copiesLeft(!narrow, (leftAlongK ? k : m) * p.leftBytes);
    return p;
  }
};

inline std::string tilesText(const Tiling& t) {
  std::ostringstream text;
  std::pair<const char*, int64_t> values[] = {{"rows", t.rows},
                                              {"columns", t.columns},
                                              {"group", t.group},
                                              {"depth", t.depth},
                                              {"parts", t.parts}};
  for (auto [name, value] : values)
    if (value) text << (text.tellp() > 0 ? ", " : "") << name << " = " << value;
  return text.str();
}

/// The kernel; with `tiles`, the attribute that its product has.
inline std::string kernelText(const ProductCase& c, const std::string& tiles = "") {
  auto tensor = [](int64_t x, int64_t y, const std::string& element) {
    return "tensor<" + std::to_string(x) + "x" + std::to_string(y) + "x" + element + ">";
  };
  std::string type = c.element(),
              a = c.leftAlongK ? tensor(c.m, c.k, type) : tensor(c.k, c.m, type),
              b = c.rightAlongK ? tensor(c.n, c.k, type) : tensor(c.k, c.n, type),
              sums = tensor(c.m, c.n, "f32"),
              out = tensor(c.m, c.n, c.withActivation ? type : "f32");
  std::ostringstream text;
  text << "func.func @k(%a: " << a << ", %b: " << b << ") -> " << out
       << " attributes {weir.kernel, weir.row_rank = " << (c.withActivation ? 1 : 0)
       << " : i64} {\n%z = arith.constant 0.0 : f32\n%e = tensor.empty() : " << sums
       << "\n%f = linalg.fill ins(%z : f32) outs(%e : " << sums << ") -> " << sums
       << "\n%r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> "
       << (c.leftAlongK ? "(m, k)" : "(k, m)") << ">, affine_map<(m, n, k) -> "
       << (c.rightAlongK ? "(n, k)" : "(k, n)")
       << ">, affine_map<(m, n, k) -> (m, n)>], iterator_types = [\"parallel\", \"parallel\", "
          "\"reduction\"]} ins(%a, %b : "
       << a << ", " << b << ") outs(%f : " << sums << ")";
  if (!tiles.empty()) text << " attrs = {weir.tiles = #weir.tiles<" << tiles << ">}";
  text << " {\n^bb0(%x: " << type << ", %y: " << type << ", %o: f32):\n";
  if (c.narrow)
    text << "%xe = arith.extf %x : bf16 to f32\n%ye = arith.extf %y : bf16 to f32\n"
         << "%p = arith.mulf %xe, %ye : f32\n";
  else
    text << "%p = arith.mulf %x, %y : f32\n";
  text << "%s = arith.addf %o, %p : f32\nlinalg.yield %s : f32\n} -> " << sums << "\n";
  if (!c.withActivation) {
    text << "return %r : " << sums << "\n}\n";
    return text.str();
  }
  text << "%g = tensor.empty() : " << out
       << "\n%h = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) "
          "-> (m, n)>], iterator_types = [\"parallel\", \"parallel\"]} ins(%r : "
       << sums << ") outs(%g : " << out << ") {\n^bb0(%x: f32, %o: " << type
       << "):\n%one = arith.constant 1.0 : f32\n%n = arith.negf %x : f32\n%x1 = math.exp %n : f32\n"
          "%d = arith.addf %x1, %one : f32\n%q = arith.divf %x, %d : f32\n";
  if (c.narrow) text << "%t = arith.truncf %q : f32 to bf16\n";
  text << "linalg.yield " << (c.narrow ? "%t : bf16" : "%q : f32") << "\n} -> " << out
       << "\nreturn %h : " << out << "\n}\n";
  return text.str();
}

/// Numbers in [-1, 1) as f32, or as bf16 in the first half of the buffer.
inline std::vector<float> operandValues(bool narrow, int64_t count, uint64_t seed) {
  std::vector<float> values = randomValues(count, seed);
  if (!narrow) return values;
  std::vector<uint16_t> halves(2 * count);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    halves[i] = bits >> 16;
  }
  std::memcpy(values.data(), halves.data(), 4 * count);
  return values;
}

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_PRODUCT_CASE_H_
