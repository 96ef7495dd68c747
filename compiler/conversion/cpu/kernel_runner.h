// Compiles kernels from text and calls them: for tests and benchmarks.

#ifndef WEIR_COMPILER_CONVERSION_CPU_KERNEL_RUNNER_H_
#define WEIR_COMPILER_CONVERSION_CPU_KERNEL_RUNNER_H_

#include <memory>
#include <string>
#include <vector>

#include "compiler/conversion/cpu/compile_kernel.h"

namespace weir {

/// A kernel that can be called.
class LoadedKernel {
 public:
  /// Compiles the first function of `text`. Returns null and prints diagnostics on errors.
  static std::unique_ptr<LoadedKernel> create(const std::string& text, IsaLevel level);
  ~LoadedKernel();

  /// Calls the kernel with `buffers` (arguments, then results) on `threads` threads. Scratch memory
  /// is filled with NaN first.
  void run(std::vector<void*> buffers, int threads = 2);
  /// As run, without filling scratch memory: for benchmarks.
  void runAgain(const std::vector<void*>& buffers);

  CompiledKernel kernel;

 private:
  int file = -1;
  void* library = nullptr;
  void (*entry)(void* const*) = nullptr;
  std::vector<char> shared, thread;
};

/// Highest level that this machine has.
IsaLevel hostLevel();

/// Assembly text of the first function of `text`.
std::string assemblyOf(const std::string& text, IsaLevel level);
/// The first function of `text` with the tiles of its products.
std::string tiledTextOf(const std::string& text, IsaLevel level);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_KERNEL_RUNNER_H_
