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
double optimizerBytes(const runtime::Program& program) {
  double bytes = 0;
  for (const runtime::Variable& variable : program.variables) {
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

Work floorOf(const LoadedModel& loaded, ModuleOp planned, const runtime::Program& program,
             const std::string& entry, double batch, double length, double residuals,
             Precision precision) {
  Work work;
  work.flops = totalCost(costsByKind(loaded.function())).products.evaluate(batch, length);
  const runtime::EntryPoint* point = program.FindEntryPoint(entry);
  for (const runtime::TensorSpec& input : point->inputs)
    work.bytes += static_cast<double>(input.NumBytes());
  if (entry == "train_step") {
    work.flops *= 3;
    work.bytes += 2 * residuals + optimizerBytes(program);
    return work;
  }
  llvm::StringMap<double> read = variableBytes(planned, entry);
  for (const runtime::Variable& variable : program.variables) {
    double bytes = read.lookup(variable.spec.name);
    if (variable.role == runtime::Role::kParameter)
      work.bytes += weightBytes(variable, bytes, precision);
    if (variable.role == runtime::Role::kState || variable.role == runtime::Role::kPrepared)
      work.bytes += bytes;
  }
  return work;
}

}  // namespace weir::bench
