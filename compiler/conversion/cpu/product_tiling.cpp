// The tiles of a product: what its op asks for, or what the model chooses.

#include "compiler/conversion/cpu/matrix_packing.h"
#include "compiler/conversion/cpu/product.h"
#include "compiler/dialect/dialect.h"

namespace weir {

using namespace mlir;

namespace {

Tiling tilingOf(TilesAttr tiles) {
  if (!tiles) return {};
  return {tiles.getRows(), tiles.getColumns(), tiles.getGroup(), tiles.getDepth(),
          tiles.getParts()};
}

}  // namespace

TiledProduct describe(const Product& p, const CpuTarget& target) {
  TiledProduct shape;
  shape.m = p.extent(p.m), shape.n = p.extent(p.n), shape.k = p.extent(p.k);
  const Access &left = p.nest.inputs[0], &right = p.nest.inputs[1];
  for (size_t d : p.outer) {
    if (!p.nest.dims[d].reduction) shape.copies = std::max(shape.copies, p.extent(d));
    shape.fixedRight &= right.strides[d] == 0;
  }
  shape.splittable = p.outer.empty();
  int64_t stride = std::max(std::abs(left.strides[p.m]), std::abs(left.strides[p.k]));
  shape.copiesLeft = copiesLeft(left.element == p.compute, stride * storageBytes(left.element));
  shape.level = target.level;
  shape.matrixTiles = p.matrixTiles;
  if (p.matrixTiles) {
    int64_t parts = std::max(partsOf(left.element), partsOf(right.element));
    shape.packedBytes = 2 * parts;
    // Both operands in three parts: six products of parts (matrix_tiles.cpp).
    shape.multiplications = left.element == right.element ? parts * (parts + 1) / 2 : parts;
  } else {
    shape.packedBytes = storageBytes(p.compute);
  }
  shape.leftBytes = storageBytes(left.element);
  shape.rightBytes = storageBytes(right.element);
  shape.sumBytes = storageBytes(p.nest.outputs[0].access.element);
  shape.leftAlongK = std::abs(left.strides[p.k]) <= std::abs(left.strides[p.m]);
  shape.rightAlongK = std::abs(right.strides[p.k]) <= std::abs(right.strides[p.n]);
  return shape;
}

Tiling askedTiling(Operation* op) {
  return op ? tilingOf(op->getAttrOfType<TilesAttr>(kTilesAttr)) : Tiling();
}

void recordTiling(Operation* op, const Tiling& t) {
  if (op)
    op->setAttr(kTilesAttr,
                TilesAttr::get(op->getContext(), t.rows, t.columns, t.group, t.depth, t.parts));
}

void decideBlockTiling(const CpuTarget& target, Product& p) {
  TiledProduct shape = describe(p, target);
  shape.splittable = false;
  Operation* op = p.nest.op;
  Tiling asked = askedTiling(op);
  asked.rows = shape.m, asked.columns = shape.n, asked.parts = 1;
  p.tiling = chooseTiling(shape, asked);
  Tiling recorded = p.tiling;
  if (!p.nest.dims[p.m].row) recorded.rows = 0;
  recordTiling(op, recorded);
}

LogicalResult decideTiling(const CpuTarget& target, Product& p) {
  TiledProduct shape = describe(p, target);
  Operation* op = p.nest.op;
  Tiling asked = askedTiling(op);
  if (asked.parts > mostParts(shape)) {
    InFlightDiagnostic error = op->emitOpError("asks for sums in ")
                               << asked.parts << " parts, but ";
    if (shape.splittable)
      return error << "a sum of " << shape.k << " terms has " << mostParts(shape) << " at most";
    return error << "it is a product of more than two dimensions, whose sums are not split: leave "
                    "'parts' out of weir.tiles";
  }
  Tiling chosen = chooseTiling(shape, asked);
  int64_t bytes = scratchBytes(shape, chosen);
  if (bytes > kMostScratchBytes && op && asked != Tiling())
    return op->emitOpError("asks for tiles that need ")
           << (bytes >> 20) << " MiB of scratch memory, of " << (kMostScratchBytes >> 20)
           << ": ask for fewer rows, columns or parts in weir.tiles";
  p.tiling = chosen;
  recordTiling(op, chosen);
  return success();
}

}  // namespace weir
