#include "compiler/dialect/upstream_vjp.h"

namespace weir {

void registerUpstreamVjpModels(mlir::DialectRegistry& registry) {
  registerElementwiseVjpModels(registry);
  registerLinalgVjpModels(registry);
  registerTensorVjpModels(registry);
}

}  // namespace weir
