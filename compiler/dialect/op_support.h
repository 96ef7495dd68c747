// What the families of sequence ops share in C++: shapes, initial values, costs, verifiers.

#ifndef WEIR_COMPILER_DIALECT_OP_SUPPORT_H_
#define WEIR_COMPILER_DIALECT_OP_SUPPORT_H_

#include <string>

#include "compiler/dialect/cost.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"

namespace weir {

/// `type` with another last dimension; its element type is kept unless one is given.
mlir::RankedTensorType withFeatures(mlir::Type type, int64_t features, mlir::Type element = {});

/// The last dimension of a tensor type.
int64_t featuresOf(mlir::Type type);

/// "uniform(1 / sqrt(fanIn))", what torch.nn.Linear starts with.
std::string linearInit(int64_t fanIn);

/// The init of a parameter that `init` (null: the default) asks for; `linear` becomes a bound by
/// the fan-in.
std::string weightInit(std::optional<llvm::StringRef> init, llvm::StringRef fallback,
                       int64_t fanIn);

/// Reports that a parameter's shape needs a feature size that isn't known, unless `size` is.
mlir::LogicalResult requireStatic(mlir::Operation* op, int64_t size, llvm::StringRef what);

/// All operands read once and all results written once, and `flopsPerResult` for each element of
/// result 0.
Cost streamingCost(mlir::Operation* op, double flopsPerResult);

/// Reports an op that `decompose` met before its shapes or parameters were known.
mlir::LogicalResult requireDecomposable(mlir::Operation* op, bool bound = true);

/// Whether shapes agree where both are known.
bool compatible(mlir::TypeRange inferred, mlir::TypeRange actual);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_OP_SUPPORT_H_
