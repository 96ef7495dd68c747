// weir-lsp-server: diagnostics, definitions and completion for .mlir files in an editor.

#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

#include "compiler/tools/register_all.h"

int main(int argc, char** argv) {
  mlir::DialectRegistry registry;
  weir::registerAllDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
