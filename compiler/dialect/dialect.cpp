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

}  // namespace weir
