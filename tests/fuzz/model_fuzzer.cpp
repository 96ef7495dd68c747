// Whatever bytes come, reading them as a module, verifying, expanding and specializing it ends in a
// module or in diagnostics: never in a crash, a hang or an abort.

#include <cstddef>
#include <cstdint>
#include <string>

#include "compiler/dialect/dialect.h"
#include "compiler/transforms/expand.h"
#include "compiler/transforms/specialize.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, math::MathDialect,
                  tensor::TensorDialect, weir::WeirDialect>();
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  ScopedDiagnosticHandler quiet(&context, [](Diagnostic&) { return success(); });
  // MLIR's lexer reads up to a NUL behind the text, as every text that Weir parses has it.
  std::string text(reinterpret_cast<const char*>(data), size);
  // Bytecode is not what a user writes, and its reader is upstream's.
  if (llvm::StringRef(text).starts_with("ML\xefR")) return 0;
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module) return 0;
  weir::ExpansionOptions options;
  options.segments = options.start = size % 2;
  FailureOr<OwningOpRef<ModuleOp>> expanded = weir::expandModel(*module, options);
  if (failed(expanded)) return 0;
  for (auto function : (*expanded)->getOps<func::FuncOp>())
    (void)weir::specializeFunction(function, {2, 3, size % 3 == 0, size % 5 == 0});
  return 0;
}
