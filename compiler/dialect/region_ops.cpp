#include "compiler/dialect/region_ops.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#define GET_OP_CLASSES
#include "compiler/dialect/region_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerRegionOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/region_ops.cpp.inc"
      >();
}

ParseResult parseOptionalRegion(OpAsmParser& parser, StringRef keyword, Region& region) {
  if (failed(parser.parseOptionalKeyword(keyword))) return success();
  return parser.parseRegion(region);
}

void printOptionalRegion(OpAsmPrinter& printer, Operation*, StringRef keyword, Region& region) {
  if (region.empty()) return;
  printer << " " << keyword << " ";
  printer.printRegion(region);
}

}  // namespace weir
