// What the launches of an entry point compute and move, as their kernels and operands say it.

#ifndef WEIR_COMPILER_DRIVER_BENCH_KERNEL_FACTS_H_
#define WEIR_COMPILER_DRIVER_BENCH_KERNEL_FACTS_H_

#include <string>
#include <vector>

#include "llvm/ADT/StringMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include "compiler/dialect/dispatch_ops.h"

namespace weir::bench {

/// Writes on each launch of the module which function it is in, so that the parts of a step can be
/// told apart once `plan` has inlined them. Runs after kernels have been formed.
void markParts(mlir::ModuleOp module);

/// Of a kernel, whoever launches it.
struct KernelFacts {
  /// Operations of its matrix products, those that it does again included. Of attention that is one
  /// op, without the pairs that a causal mask hides; of products under a mask, with them.
  double flops = 0;
  /// Distinct bytes that it reads of each argument: all of it, or of a table the rows that are
  /// looked up, or of a tensor the slices that are taken.
  std::vector<double> readBytes;
  /// Distinct bytes that it writes: its results, or of a ring the rows.
  double writtenBytes = 0;
};

KernelFacts factsOf(mlir::func::FuncOp kernel);

struct LaunchFacts {
  LaunchOp op;
  std::string kernel;
  /// "forward", "backward", "optimizer", or what else the function it came from is called.
  std::string part;
  /// Where in the model its first op is, such as "layer.0.rnn.to_z"; may be empty.
  std::string place;
  double flops = 0;
  /// Distinct bytes: a tensor that two operands name counts once.
  double readBytes = 0, writtenBytes = 0;

  double bytes() const { return readBytes + writtenBytes; }
};

/// The path that `expand` gave the op or the first of the ops that it was made of; may be empty.
std::string placeOf(mlir::Location location);

/// The launches of an entry point of a planned module, in order.
std::vector<LaunchFacts> launchesOf(mlir::ModuleOp module, llvm::StringRef entry);

/// A tensor that one kernel writes and another one reads.
struct Intermediate {
  /// Places in what launchesOf returned.
  size_t producer = 0, consumer = 0;
  double bytes = 0;
  /// Why the reader doesn't make it itself.
  std::string why;
};

/// The tensors that go through memory between `launches`, one for each launch that reads them.
std::vector<Intermediate> intermediatesOf(const std::vector<LaunchFacts>& launches);

/// Bytes of each variable's memory that the launches read, by the variable's name: of a variable
/// that several launches read, the most that one of them does.
llvm::StringMap<double> variableBytes(mlir::ModuleOp module, llvm::StringRef entry);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_KERNEL_FACTS_H_
