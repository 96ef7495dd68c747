// weir-opt: runs any pass or pipeline, upstream's or ours, on a file of IR.

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

#include "compiler/tools/register_all.h"

int main(int argc, char** argv) {
  mlir::DialectRegistry registry;
  weir::registerAllDialects(registry);
  weir::registerAllPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Weir's optimizer driver\n", registry));
}
