// Compiles one kernel for the CPU.
//
//   FailureOr<CompiledKernel> kernel = compileKernel(func, IsaLevel::Avx512);
//   FailureOr<std::string> elf = linkSharedObject({*kernel}, func.getLoc());   //
//   link_shared_object.h
//
// A kernel is a function on static tensors made by the dispatch pass (attributes weir.kernel,
// weir.row_rank). Its code is emitted directly as loops on memory and vectors; nothing is
// bufferized. Each kernel is compiled in an MLIRContext and an LLVMContext of its own, so that many
// can be compiled at once.

#ifndef WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_
#define WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_

#include <string>
#include <vector>

#include "compiler/conversion/cpu/lowering_pipeline.h"
#include "compiler/conversion/cpu/target.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

struct CompiledKernel {
  /// Symbol of the entry point `void name(void *const *buffers)`: arguments, results, then shared
  /// scratch and thread scratch if their sizes are not zero. Scalars are passed by address.
  std::string name;
  /// ELF object file.
  std::vector<char> object;
  /// Bytes of scratch memory shared by all threads, and per thread (thread i uses bytes from i *
  /// threadScratchBytes). Both must be aligned to 64 bytes; their contents need not be kept between
  /// calls.
  int64_t sharedScratchBytes = 0;
  int64_t threadScratchBytes = 0;
};

/// Compiles `kernel`, which is not changed. Errors are reported on `kernel`.
mlir::FailureOr<CompiledKernel> compileKernel(mlir::func::FuncOp kernel, IsaLevel level);

/// The kernel's code as text at a level of its lowering.
mlir::FailureOr<std::string> printKernel(mlir::func::FuncOp kernel, IsaLevel level,
                                         KernelText text);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_
