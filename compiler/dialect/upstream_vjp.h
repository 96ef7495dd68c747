// Gradients of upstream ops, attached as external models of
// DifferentiableOpInterface.
//
//   mlir::DialectRegistry registry;
//   weir::registerUpstreamVjpModels(registry);
//   mlir::MLIRContext context(registry);
//
// arith and math ops work on scalars and, element by element, on tensors;
// linalg.generic differentiates its region with the same rules (region_vjp.h);
// views and slices of tensors become their transposes.

#ifndef WEIR_COMPILER_DIALECT_UPSTREAM_VJP_H_
#define WEIR_COMPILER_DIALECT_UPSTREAM_VJP_H_

#include "mlir/IR/DialectRegistry.h"

namespace weir {

/// Attaches every model below when its dialect is loaded.
void registerUpstreamVjpModels(mlir::DialectRegistry& registry);

void registerElementwiseVjpModels(mlir::DialectRegistry& registry);  // arith, math
void registerLinalgVjpModels(mlir::DialectRegistry& registry);       // linalg.generic
void registerTensorVjpModels(mlir::DialectRegistry& registry);       // slices, views, concat, splat

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_UPSTREAM_VJP_H_
