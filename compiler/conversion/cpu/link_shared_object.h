// Links compiled kernels to one ELF shared object, inside of this process.

#ifndef WEIR_COMPILER_CONVERSION_CPU_LINK_SHARED_OBJECT_H_
#define WEIR_COMPILER_CONVERSION_CPU_LINK_SHARED_OBJECT_H_

#include <string>

#include "compiler/conversion/cpu/compile_kernel.h"

namespace weir {

/// The bytes of an ELF .so that exports every kernel's entry point. OpenMP, memcpy and libm stay
/// undefined: the process that loads it provides them. Safe to call from several threads (calls
/// wait for each other: lld is not re-entrant). Errors (with lld's messages) are reported at `loc`.
mlir::FailureOr<std::string> linkSharedObject(llvm::ArrayRef<CompiledKernel> kernels,
                                              mlir::Location loc);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_LINK_SHARED_OBJECT_H_
