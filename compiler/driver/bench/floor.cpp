#include "compiler/driver/bench/floor.h"

#include "compiler/driver/bench/kernel_facts.h"
#include "compiler/driver/costs.h"
#include "compiler/transforms/op_kinds.h"

namespace weir::bench {

using namespace mlir;

namespace {

/// Bytes of a variable that products read, at the width they read it in: matrices are rounded in
/// bf16.
double weightBytes(const runtime::Variable& variable, double bytes, Precision precision) {
  bool isRounded = precision == Precision::Bf16 && variable.spec.shape.size() >= 2;
  return isRounded ? bytes / 2 : bytes;
}

/// What an optimizer's step must move: parameters and its state read and written, gradients read.
double optimizerBytes(const std::vector<runtime::Variable>& variables) {
  double bytes = 0;
  for (const runtime::Variable& variable : variables) {
    auto size = static_cast<double>(variable.spec.NumBytes());
    if (variable.role == runtime::Role::kParameter) bytes += 3 * size;
    if (variable.role == runtime::Role::kOptimizer) bytes += 2 * size;
  }
  return bytes;
}

}  // namespace

double residualBytes(ModuleOp module) {
  double bytes = 0;
  for (auto function : module.getOps<func::FuncOp>())
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      if (function.getResultAttr(i, "weir.residual"))
        bytes += static_cast<double>(byteSize(function.getResultTypes()[i]));
  return bytes;
}

Work floorOf(const FloorSubject& subject) {
  Work work;
  work.flops = totalCost(costsByKind(subject.loaded.function()))
                   .products.evaluate(subject.batch, subject.length);
  for (const runtime::TensorSpec& input : subject.inputs)
    work.bytes += static_cast<double>(input.NumBytes());
  if (subject.entry == "train_step") {
    work.flops *= 3;
    work.bytes += 2 * subject.residuals + optimizerBytes(subject.variables);
    return work;
  }
  llvm::StringMap<double> read = variableBytes(subject.planned, subject.entry);
  for (const runtime::Variable& variable : subject.variables) {
    double bytes = read.lookup(variable.spec.name);
    if (variable.role == runtime::Role::kParameter)
      work.bytes += weightBytes(variable, bytes, subject.precision);
    if (variable.role == runtime::Role::kState || variable.role == runtime::Role::kPrepared)
      work.bytes += bytes;
  }
  return work;
}

}  // namespace weir::bench
