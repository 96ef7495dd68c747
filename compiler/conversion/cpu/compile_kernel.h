// Compiles one kernel for the CPU.
//
//   FailureOr<CompiledKernel> kernel = compileKernel(func, IsaLevel::Avx512);
//   FailureOr<std::string> elf = linkSharedObject({*kernel}, func.getLoc());   //
//   link_shared_object.h
//
// A kernel is a function on static tensors made by the dispatch pass (attributes weir.kernel,
// weir.row_rank). Its code is emitted directly as loops on memory and vectors; nothing is
// bufferized. Kernels are compiled in contexts that they don't share with the module they come from
// (a KernelCompiler has one), so that many can be compiled at once.

#ifndef WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_
#define WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_

#include <memory>
#include <string>
#include <vector>

#include "compiler/cache/cache.h"
#include "compiler/conversion/cpu/lowering_pipeline.h"
#include "compiler/conversion/cpu/target.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

struct CompiledKernel {
  /// Symbol of the entry point `void name(void *const *buffers)`: arguments, results, then shared
  /// scratch and thread scratch if their sizes are not zero. Scalars are passed by address.
  std::string name;
  /// What the object calls it: follows from the code, not from the name.
  std::string symbol;
  /// ELF object file.
  std::vector<char> object;
  /// Bytes of scratch memory shared by all threads, and per thread (thread i uses bytes from i *
  /// threadScratchBytes). Both must be aligned to 64 bytes; their contents need not be kept between
  /// calls.
  int64_t sharedScratchBytes = 0;
  int64_t threadScratchBytes = 0;
  bool isFromCache = false;
};

/// Compiles kernels one after the other; for several at once, there have to be several of these.
class KernelCompiler {
 public:
  /// For kernels of `context`, for one level of instruction sets. With a cache, a kernel whose text
  /// but for names and locations was compiled before, by the same build of the compiler, is read
  /// from there.
  KernelCompiler(mlir::MLIRContext& context, IsaLevel level, Cache* cache = nullptr);
  ~KernelCompiler();

  /// `kernel` is not changed. Errors are reported on it.
  mlir::FailureOr<CompiledKernel> compile(mlir::func::FuncOp kernel);

  struct Impl;

 private:
  mlir::MLIRContext& context;
  IsaLevel level;
  Cache* cache;
  std::unique_ptr<Impl> impl;
};

/// A KernelCompiler for one kernel.
mlir::FailureOr<CompiledKernel> compileKernel(mlir::func::FuncOp kernel, IsaLevel level);

/// The kernel's code as text at a level of its lowering.
mlir::FailureOr<std::string> printKernel(mlir::func::FuncOp kernel, IsaLevel level,
                                         KernelText text);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_COMPILE_KERNEL_H_
