// Angles are made in f64 and reduced to (-pi, pi] there: in f32 the sine of an angle of a million
// radians is off by several percent. Only then are they rounded to the element type.

#include "compiler/dialect/positions.h"

#include <cmath>

#include "compiler/dialect/scan_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

AffineMap AngleTables::map(unsigned rank, unsigned batch, unsigned time, unsigned half) const {
  SmallVector<unsigned> targets{time, half};
  if (perRow) targets.insert(targets.begin(), batch);
  return AffineMap::getMultiDimMapWithTargets(rank, targets, sine.getContext());
}

static bool isPerRow(Value start) { return start && !shapeOf(start).empty(); }

Value buildPositions(LinalgBuilder& l, int64_t batch, int64_t time, Value segments, Value start) {
  OpBuilder& b = l.builder();
  Type f64 = b.getF64Type();
  Location loc = segments.getLoc();
  // Counting is a scan with a = b = 1 that the segments reset; it is in f64, where it is exact.
  Value ones = l.filled(1, {batch, time}, f64);
  Value before = l.filled(0, {batch}, f64);
  if (start) {
    before =
        l.elementwise({batch}, f64, start, isPerRow(start) ? l.identity(1) : l.map(1, {}),
                      [&](ElementwiseBuilder e, ValueRange v) { return e.toFloat(v[0], f64); });
  }
  if (time == 1) return l.reshape(before, {batch, 1});
  Type state = RankedTensorType::get({batch}, f64);
  auto scan = ScanOp::create(b, loc, TypeRange{ones.getType(), state}, ValueRange{ones, ones},
                             before, segments, ArrayAttr(), ArrayAttr(), UnitAttr(), IntegerAttr());
  return l.elementwise({scan.getResults()[0]}, [&](ElementwiseBuilder e, ValueRange v) {
    return e.sub(v[0], e.constant(1, f64));
  });
}

AngleTables buildAngleTables(LinalgBuilder& l, int64_t batch, int64_t time, int64_t half,
                             Type element, Value segments, Value start) {
  OpBuilder& b = l.builder();
  Type f64 = b.getF64Type(), i64 = b.getI64Type();
  AngleTables tables;
  tables.perRow = segments || isPerRow(start);
  Value frequencies = l.elementwise({half}, f64, {}, {}, [&](ElementwiseBuilder e, ValueRange) {
    Value j = e.toFloat(e.index(0, i64), f64);
    return e.exp(e.mul(j, e.constant(-std::log(10000.0) / half, f64)));
  });
  // The angle as a fraction of a turn, less its nearest whole number, times 2 pi.
  auto reduced = [&](ElementwiseBuilder e, Value position, Value frequency) {
    Value turns = e.mul(e.mul(position, frequency), e.constant(0.5 / M_PI, f64));
    Value angle = e.mul(e.sub(turns, e.roundEven(turns)), e.constant(2 * M_PI, f64));
    return e.cast(angle, element);
  };
  SmallVector<int64_t> shape{time, half};
  if (tables.perRow) shape.insert(shape.begin(), batch);
  unsigned rank = shape.size();
  Value positions = segments ? buildPositions(l, batch, time, segments, start) : Value();

  SmallVector<Value> inputs{frequencies};
  SmallVector<AffineMap> maps{l.map(rank, {rank - 1})};
  if (positions) {
    inputs.push_back(positions);
    maps.push_back(l.map(rank, {0, 1}));
  } else if (start) {
    inputs.push_back(start);
    maps.push_back(isPerRow(start) ? l.map(rank, {0}) : l.map(rank, {}));
  }
  Value angles =
      l.elementwise(shape, element, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value position;
        if (positions) {
          position = v[1];
        } else {
          Value t = e.index(rank - 2, i64);
          position = e.toFloat(start ? e.addIntegers(t, v[1]) : t, f64);
        }
        return reduced(e, position, v[0]);
      });
  tables.sine =
      l.elementwise({angles}, [](ElementwiseBuilder e, ValueRange v) { return e.sin(v[0]); });
  tables.cosine =
      l.elementwise({angles}, [](ElementwiseBuilder e, ValueRange v) { return e.cos(v[0]); });
  return tables;
}

}  // namespace weir
