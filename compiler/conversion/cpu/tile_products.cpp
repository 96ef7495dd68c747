#include "compiler/conversion/cpu/tile_products.h"

#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = 16;   // rows of a tile, columns of a tile of sums
constexpr int64_t kSteps = 32;  // steps of k in a tile
constexpr int64_t kPair = 2 * kSide;
/// Loops over k of fewer tiles than this are written out.
constexpr int64_t kUnrolled = 4;

Value reinterpret(KernelBuilder& b, Value vector, Type element) {
  auto from = cast<VectorType>(vector.getType());
  int64_t bits = from.getNumElements() * from.getElementTypeBitWidth();
  auto to = VectorType::get({bits / element.getIntOrFloatBitWidth()}, element);
  return vector::BitCastOp::create(b, to, vector);
}

Value interleaved(KernelBuilder& b, Value even, Value odd) {
  auto type = cast<VectorType>(even.getType());
  return vector::InterleaveOp::create(
      b, VectorType::get({2 * type.getNumElements()}, type.getElementType()), even, odd);
}

/// An element of a matrix as indices of its memref.
ValueList at(KernelBuilder& b, const ScratchMatrix& matrix, Value row, Value column) {
  return {b.add(matrix.row, row), b.add(matrix.column, column)};
}

}  // namespace

Value converted(KernelBuilder& b, Value vector, Type element) {
  auto from = cast<VectorType>(vector.getType());
  if (from.getElementType() == element) return vector;
  Type to = VectorType::get(from.getShape(), element);
  if (element.isBF16()) return arith::TruncFOp::create(b, to, vector);
  return arith::ExtFOp::create(b, to, vector);
}

ValueList transposed(KernelBuilder& b, ValueList rows) {
  int64_t side = rows.size();
  for (int64_t block = 1; block < side; block *= 2)
    for (int64_t i = 0; i < side; ++i) {
      if (i & block) continue;
      SmallVector<int64_t> first, second;
      for (int64_t c = 0; c < side; ++c) {
        first.push_back(c & block ? side + (c ^ block) : c);
        second.push_back(c & block ? side + c : c ^ block);
      }
      Value x = rows[i], y = rows[i | block];
      rows[i] = vector::ShuffleOp::create(b, x, y, first);
      rows[i | block] = vector::ShuffleOp::create(b, x, y, second);
    }
  return rows;
}

TileProducts::TileProducts(KernelFunction& f, Type element) : f(f), b(f.b) {
  amx = element.isBF16() && b.target.hasBf16();
  sum = element.isF64() ? Type(b.getF64Type()) : Type(b.getF32Type());
  width = sum.isF64() ? b.target.lanes64() : b.target.lanes();
  f.usesTiles |= amx;
}

int64_t TileProducts::leftBytes(int64_t rows, int64_t depth) const {
  return rows * depth * (amx ? 2 : storageBytes(sum));
}
int64_t TileProducts::rightBytes(int64_t depth, int64_t columns) const {
  return leftBytes(depth, columns);
}
int64_t TileProducts::sumsBytes(int64_t rows, int64_t columns) const {
  return rows * columns * storageBytes(sum);
}

ScratchMatrix TileProducts::matrix(Value offset, int64_t rows, int64_t columns, Type element) {
  auto type = MemRefType::get({rows, columns}, element);
  Value memref = memref::ViewOp::create(b, type, f.threadScratch, offset, ValueRange{});
  return {memref, b.constant(0), b.constant(0)};
}
ScratchMatrix TileProducts::left(Value offset, int64_t rows, int64_t depth) {
  return matrix(offset, rows, depth, amx ? Type(b.getBF16Type()) : sum);
}
ScratchMatrix TileProducts::right(Value offset, int64_t depth, int64_t columns) {
  if (amx) return matrix(offset, depth / 2, 2 * columns, b.getBF16Type());
  return matrix(offset, depth, columns, sum);
}
ScratchMatrix TileProducts::sums(Value offset, int64_t rows, int64_t columns) {
  return matrix(offset, rows, columns, sum);
}
ScratchMatrix TileProducts::fromDepth(ScratchMatrix right, Value k) {
  right.row = b.add(right.row, amx ? b.div(k, 2) : k);
  return right;
}
ScratchMatrix TileProducts::fromRow(ScratchMatrix matrix, Value row) {
  matrix.row = b.add(matrix.row, row);
  return matrix;
}

// Packing

Value TileProducts::loadToken(const TokenRows& source, Value token, Value f0, int64_t count,
                              Value end) {
  Value there = b.sub(b.constant(source.features), f0);
  Value features =
      arith::SelectOp::create(b, b.lessThan(token, end), there, b.constant(0)).getResult();
  Value mask = vector::CreateMaskOp::create(b, VectorType::get({count}, b.getI1Type()),
                                            ValueRange{features});
  Value from = b.add(b.offset(source.base, token, source.stride), f0);
  Value loaded = loadVector(b, source.access, from, 1, count, mask);
  if (source.access.isScalar()) {
    Value zero = b.floatConstant(loaded.getType(), 0.0);
    loaded = arith::SelectOp::create(b, mask, loaded, zero);
  }
  return converted(b, loaded, amx ? Type(b.getBF16Type()) : sum);
}

/// 16 tokens of 32 features, which are 16 words each.
void TileProducts::packPairs(const TokenRows& source, Value first, Value t0, Value f0, Value end,
                             ArrayRef<Packed> targets) {
  ValueList rows;
  for (int64_t i = 0; i < kSide; ++i)
    rows.push_back(loadToken(source, b.add(first, b.add(t0, i)), f0, kSteps, end));
  auto put = [&](Value vector, const Packed& to, Value row, Value column) {
    vector::StoreOp::create(b, vector, to.matrix.memref, at(b, to.matrix, row, column));
  };
  ValueList words;
  for (const Packed& to : targets) {
    if (to.isLeft != to.alongDepth) continue;
    if (!words.empty()) break;
    for (Value row : rows) words.push_back(reinterpret(b, row, b.getI32Type()));
    words = transposed(b, words);
  }
  auto half = VectorType::get({kSide}, b.getI16Type());
  for (const Packed& to : targets)
    for (int64_t i = 0; i < kSide; ++i) {
      if (to.isLeft && !to.alongDepth) {
        put(rows[i], to, b.add(t0, i), f0);
      } else if (to.isLeft) {
        Value high = arith::ShRUIOp::create(b, words[i], b.intConstant(words[i].getType(), kSide));
        for (int64_t odd : {0, 1}) {
          Value bits = arith::TruncIOp::create(b, half, odd ? high : words[i]);
          put(reinterpret(b, bits, b.getBF16Type()), to, b.add(f0, 2 * i + odd), t0);
        }
      } else if (to.alongDepth) {
        if (i % 2 == 0)
          put(interleaved(b, rows[i], rows[i + 1]), to, b.add(b.div(t0, 2), i / 2), b.mul(f0, 2));
      } else {
        put(reinterpret(b, words[i], b.getBF16Type()), to, b.add(b.div(f0, 2), i), b.mul(t0, 2));
      }
    }
}

void TileProducts::packVectors(const TokenRows& source, Value first, Value t0, Value f0, Value end,
                               ArrayRef<Packed> targets) {
  ValueList rows, columns;
  for (int64_t i = 0; i < width; ++i)
    rows.push_back(loadToken(source, b.add(first, b.add(t0, i)), f0, width, end));
  for (const Packed& to : targets) {
    bool tokensAreRows = to.isLeft != to.alongDepth;
    if (!tokensAreRows && columns.empty()) columns = transposed(b, rows);
    for (int64_t i = 0; i < width; ++i) {
      Value row = b.add(tokensAreRows ? t0 : f0, i), column = tokensAreRows ? f0 : t0;
      vector::StoreOp::create(b, tokensAreRows ? rows[i] : columns[i], to.matrix.memref,
                              at(b, to.matrix, row, column));
    }
  }
}

void TileProducts::pack(const TokenRows& source, Value first, int64_t count, Value end,
                        ArrayRef<Packed> targets) {
  b.loop(0, count, amx ? kSide : width, [&](Value t0) {
    b.loop(0, padded(source.features), amx ? kSteps : width, [&](Value f0) {
      if (amx)
        packPairs(source, first, t0, f0, end, targets);
      else
        packVectors(source, first, t0, f0, end, targets);
    });
  });
}

void TileProducts::unpack(ScratchMatrix sums, const TokenRows& target, Value first, int64_t count,
                          Value end, TokenMap ofTokens, FeatureMap ofFeatures) {
  auto maskType = VectorType::get({width}, b.getI1Type());
  b.loop(0, count, width, [&](Value column) {
    Value token = b.add(first, column), rest = b.sub(end, token);
    b.loop(0, target.features, width, [&](Value feature) {
      ValueList vectors;
      for (int64_t i = 0; i < width; ++i)
        vectors.push_back(ofTokens(load(sums, b.add(feature, i), column), column));
      vectors = transposed(b, vectors);
      Value features = b.sub(b.constant(target.features), feature);
      for (int64_t i = 0; i < width; ++i) {
        Value there = b.lessThan(b.constant(i), rest), mine = b.add(token, i);
        Value size = arith::SelectOp::create(b, there, features, b.constant(0));
        Value mask = vector::CreateMaskOp::create(b, maskType, ValueRange{size}), x = vectors[i];
        if (ofFeatures) x = ofFeatures(x, mine, feature, mask);
        Value place = b.add(b.offset(target.base, mine, target.stride), feature);
        storeVector(b, converted(b, x, target.access.element), target.access, place, 1, mask);
      }
    });
  });
}

// Products

void TileProducts::multiply(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right,
                            Extents extents, bool accumulate) {
  if (amx)
    multiplyTiles(sums, left, right, extents, accumulate);
  else
    multiplyRegisters(sums, left, right, extents, accumulate);
}

/// 2 x 2 tiles of sums at a time.
void TileProducts::multiplyTiles(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right,
                                 Extents extents, bool accumulate) {
  auto tileType = amx::TileType::get({kSide, kSteps}, b.getBF16Type());
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  Value zero = b.constant(0);
  b.loop(zero, extents.rows ? extents.rows : b.constant(extents.m), kPair, [&](Value i) {
    b.loop(zero, b.constant(extents.n), kPair, [&](Value j) {
      ValueList places[4], totals;
      for (int t = 0; t < 4; ++t) {
        places[t] = at(b, sums, b.add(i, t / 2 * kSide), b.add(j, t % 2 * kSide));
        if (accumulate)
          totals.push_back(amx::TileLoadOp::create(b, sumType, sums.memref, places[t]));
        else
          totals.push_back(amx::TileZeroOp::create(b, sumType));
      }
      auto step = [&](Value k, ValueRange current) {
        ValueList as, bs, next;
        for (int64_t half : {0, 1}) {
          as.push_back(amx::TileLoadOp::create(b, tileType, left.memref,
                                               at(b, left, b.add(i, half * kSide), k)));
          bs.push_back(
              amx::TileLoadOp::create(b, tileType, right.memref,
                                      at(b, right, b.div(k, 2), b.mul(b.add(j, half * kSide), 2))));
        }
        for (int t = 0; t < 4; ++t)
          next.push_back(amx::TileMulFOp::create(b, sumType, as[t / 2], bs[t % 2], current[t]));
        return next;
      };
      if (!extents.depth && extents.k <= kUnrolled * kSteps) {
        for (int64_t k = 0; k < extents.k; k += kSteps) totals = step(b.constant(k), totals);
      } else {
        Value depth = extents.depth ? extents.depth : b.constant(extents.k);
        totals = b.loop(zero, depth, kSteps, totals, step);
      }
      for (int t = 0; t < 4; ++t) amx::TileStoreOp::create(b, sums.memref, places[t], totals[t]);
    });
  });
}

/// As many rows and vectors of sums at a time as registers hold.
void TileProducts::multiplyRegisters(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right,
                                     Extents extents, bool accumulate) {
  constexpr int64_t vectors = CpuTarget::kTileVectors;
  auto type = VectorType::get({width}, sum);
  auto tile = [&](Value i, Value j, int64_t rows) {
    ValueList totals;
    auto place = [&](int64_t t) {
      return at(b, sums, b.add(i, t / vectors), b.add(j, t % vectors * width));
    };
    for (int64_t t = 0; t < rows * vectors; ++t)
      totals.push_back(accumulate ? Value(vector::LoadOp::create(b, type, sums.memref, place(t)))
                                  : b.floatConstant(type, 0.0));
    totals =
        b.loop(b.constant(0), b.constant(extents.k), 1, totals, [&](Value k, ValueRange current) {
          ValueList bs, next;
          for (int64_t v = 0; v < vectors; ++v)
            bs.push_back(vector::LoadOp::create(b, type, right.memref,
                                                at(b, right, k, b.add(j, v * width))));
          for (int64_t r = 0; r < rows; ++r) {
            Value x = memref::LoadOp::create(b, left.memref, at(b, left, b.add(i, r), k));
            x = b.splat(x, width);
            for (int64_t v = 0; v < vectors; ++v)
              next.push_back(math::FmaOp::create(b, x, bs[v], current[r * vectors + v]));
          }
          return next;
        });
    for (int64_t t = 0; t < rows * vectors; ++t)
      vector::StoreOp::create(b, totals[t], sums.memref, place(t));
  };
  int64_t rows = b.target.tileRows(), whole = extents.m / rows * rows;
  b.loop(0, extents.n, vectors * width, [&](Value j) {
    if (whole) b.loop(0, whole, rows, [&](Value i) { tile(i, j, rows); });
    if (whole < extents.m) tile(b.constant(whole), j, extents.m - whole);
  });
}

// Elements

Value TileProducts::load(ScratchMatrix sums, Value row, Value column) {
  return vector::LoadOp::create(b, VectorType::get({width}, sum), sums.memref,
                                at(b, sums, row, column));
}

void TileProducts::store(Value vector, ScratchMatrix sums, Value row, Value column) {
  vector::StoreOp::create(b, vector, sums.memref, at(b, sums, row, column));
}

void TileProducts::storeLeft(Value even, Value odd, ScratchMatrix left, Value row, Value column) {
  Type element = amx ? Type(b.getBF16Type()) : sum;
  for (Value vector : {even, odd}) {
    vector::StoreOp::create(b, converted(b, vector, element), left.memref,
                            at(b, left, row, column));
    row = b.add(row, 1);
  }
}

void TileProducts::storeRight(Value even, Value odd, ScratchMatrix right, Value depth,
                              Value column) {
  if (!amx) return storeLeft(even, odd, right, depth, column);
  Type element = b.getBF16Type();
  vector::StoreOp::create(b,
                          interleaved(b, converted(b, even, element), converted(b, odd, element)),
                          right.memref, at(b, right, b.div(depth, 2), b.mul(column, 2)));
}

}  // namespace weir
