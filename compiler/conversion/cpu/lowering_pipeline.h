// From memref, vector and scf to machine code.

#ifndef WEIR_COMPILER_CONVERSION_CPU_LOWERING_PIPELINE_H_
#define WEIR_COMPILER_CONVERSION_CPU_LOWERING_PIPELINE_H_

#include <vector>

#include "compiler/conversion/cpu/target.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"

namespace weir {

/// On an amx.tile_load: what it reads comes from L2 and should not take the room of other data in
/// L1 (TILELOADDT1).
inline constexpr char kPastL1Attr[] = "weir.past_l1";

/// Text of a kernel at one level of its lowering; `Tiled` is the kernel as it was, with the tiles
/// of its products.
enum class KernelText { Tiled, Emitted, Llvm, LlvmIr, Assembly };

/// Registers the dialects and translations that kernels pass through.
void registerLoweringDialects(mlir::DialectRegistry& registry);
/// Loads those that emitters create ops of.
void loadLoweringDialects(mlir::MLIRContext& context);

/// Lowers modules (functions on memref, vector, scf) of one context to the LLVM dialect. What the
/// passes have to prepare, they prepare once.
class Lowering {
 public:
  Lowering(mlir::MLIRContext& context, CpuTarget target);
  mlir::LogicalResult run(mlir::ModuleOp module, bool usesTiles);

 private:
  mlir::PassManager plain, withTiles;
};

/// Adds `void name(void *const *buffers)`, which calls the lowered function `inner` with pointers
/// loaded from `buffers`, or with `buffers` itself if it takes that. `exclusive[i]` says that
/// nothing else in the kernel points to buffer i.
mlir::LogicalResult addEntryPoint(mlir::ModuleOp module, llvm::StringRef name,
                                  llvm::StringRef inner, llvm::ArrayRef<bool> exclusive,
                                  bool takesAddresses);

/// Code of a lowered module: an ELF object, or its LLVM IR or assembly as text. LLVM's middle end
/// is skipped: the code is vectorized already, and it would double the time of compilation for no
/// speed.
mlir::FailureOr<std::vector<char>> generateCode(mlir::ModuleOp module, CpuTarget target);
mlir::FailureOr<std::string> generateText(mlir::ModuleOp module, CpuTarget target,
                                          KernelText level);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_LOWERING_PIPELINE_H_
