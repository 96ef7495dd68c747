// Positions of tokens and the angles that follow from them, as linalg on static tensors.

#ifndef WEIR_COMPILER_DIALECT_POSITIONS_H_
#define WEIR_COMPILER_DIALECT_POSITIONS_H_

#include "compiler/dialect/linalg_builder.h"

namespace weir {

/// Sines and cosines of position * 10000^(-j / half), j < half: tensors of (time, half), or of
/// (batch, time, half) where segments or starts make positions differ from row to row.
struct AngleTables {
  mlir::Value sine, cosine;
  /// The map from (batch, time) and dimension `half` of an iteration space to the tables.
  mlir::AffineMap map(unsigned rank, unsigned batch, unsigned time, unsigned half) const;
  bool perRow = false;
};

/// `segments` (batch x time x i32) and `start` (tensor<i64>, or tensor<batch x i64>) may be null.
/// `element` is f32 or f64.
AngleTables buildAngleTables(LinalgBuilder& l, int64_t batch, int64_t time, int64_t half,
                             mlir::Type element, mlir::Value segments, mlir::Value start);

/// The position of every token, batch x time x f64: start + t, counted from 0 again where the
/// segment changes.
mlir::Value buildPositions(LinalgBuilder& l, int64_t batch, int64_t time, mlir::Value segments,
                           mlir::Value start);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_POSITIONS_H_
