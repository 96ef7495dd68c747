#include "compiler/tools/register_all.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"

#include "compiler/conversion/passes.h"
#include "compiler/dialect/dialect.h"
#include "compiler/pipelines/pipelines.h"
#include "compiler/dialect/upstream_vjp.h"
#include "compiler/transforms/passes.h"

namespace weir {

void registerAllDialects(mlir::DialectRegistry& registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  registry.insert<WeirDialect>();
  registerUpstreamVjpModels(registry);
}

void registerAllPasses() {
  mlir::registerAllPasses();
  registerTransformsPasses();
  registerPipelines();
  registerConversionPasses();
}

}  // namespace weir
