#include "compiler/dialect/dialect.h"

#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"

#include "compiler/dialect/weir_dialect.cpp.inc"

#include "compiler/dialect/enums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/attributes.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "compiler/dialect/types.cpp.inc"

namespace weir {

using namespace mlir;

#define WEIR_OP_FAMILY(name) void register##name##Ops(WeirDialect& dialect);
#include "compiler/dialect/op_families.inc"
#undef WEIR_OP_FAMILY

void WeirDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/dialect/attributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "compiler/dialect/types.cpp.inc"
      >();
#define WEIR_OP_FAMILY(name) register##name##Ops(*this);
#include "compiler/dialect/op_families.inc"
#undef WEIR_OP_FAMILY
}

LogicalResult TilesAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError, int64_t rows,
                                int64_t columns, int64_t group, int64_t depth, int64_t parts) {
  std::pair<StringRef, int64_t> values[] = {
      {"rows", rows}, {"columns", columns}, {"group", group}, {"depth", depth}, {"parts", parts}};
  for (auto [name, value] : values)
    if (value < 0)
      return emitError() << "'" << name << "' of weir.tiles can't be " << value
                         << ": it is a number of rows, columns, terms or parts, and what is left "
                            "out is chosen";
  return success();
}

LogicalResult WeirDialect::verifyOperationAttribute(Operation* op, NamedAttribute attribute) {
  if (attribute.getName() != kTilesAttr) return success();
  if (!isa<TilesAttr>(attribute.getValue()))
    return op->emitOpError() << "'" << kTilesAttr << "' must be tiles, such as "
                             << "#weir.tiles<rows = 128, group = 512>, not "
                             << attribute.getValue();
  if (!isa<linalg::LinalgOp, linalg::AggregatedOpInterface>(op))
    return op->emitOpError() << "has '" << kTilesAttr << "', but is no product";
  return success();
}

}  // namespace weir
