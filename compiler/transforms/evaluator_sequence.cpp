// Gathers and recurrences as their descriptions read.

#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/transforms/evaluator.h"
#include "llvm/ADT/STLExtras.h"

namespace weir {

using namespace mlir;

LogicalResult Evaluator::runGatherRows(GatherRowsOp op, Env& env) {
  const HostTensor table = env.at(op.getTable()), indices = env.at(op.getIndices());
  HostTensor result = HostTensor::zeros(op.getResult().getType().getShape());
  int64_t rows = table.shape[0], width = table.data.size() / rows;
  for (size_t i = 0; i < indices.data.size(); ++i) {
    int64_t row = std::min<int64_t>(std::max<int64_t>(indices.data[i], 0), rows - 1);
    std::copy_n(table.data.begin() + row * width, width, result.data.begin() + i * width);
  }
  env[op.getResult()] = std::move(result);
  return success();
}

LogicalResult Evaluator::runScatterRows(ScatterRowsOp op, Env& env) {
  const HostTensor updates = env.at(op.getUpdates()), indices = env.at(op.getIndices());
  HostTensor result = HostTensor::zeros(op.getResult().getType().getShape());
  int64_t rows = result.shape[0], width = result.data.size() / rows;
  for (size_t i = 0; i < indices.data.size(); ++i) {
    int64_t row = std::min<int64_t>(std::max<int64_t>(indices.data[i], 0), rows - 1);
    for (int64_t d = 0; d < width; ++d) result.data[row * width + d] += updates.data[i * width + d];
  }
  env[op.getResult()] = std::move(result);
  return success();
}

LogicalResult Evaluator::runRecurrence(RecurrenceOp op, Env& env) {
  Block& step = op.getStep().front();
  int64_t batch = env.at(op.getInputs()[0]).shape[0], length = env.at(op.getInputs()[0]).shape[1];
  std::vector<HostTensor> states, outputs;
  for (Value initial : op.getInitial()) states.push_back(env.at(initial));
  for (Value output : op.getOutputs())
    outputs.push_back(HostTensor::zeros(cast<ShapedType>(output.getType()).getShape()));
  for (auto [argument, value] : llvm::zip_equal(op.getCapturedArguments(), op.getCaptured())) {
    HostTensor captured = env.at(value);
    env[argument] = std::move(captured);
  }
  // Calls f(offset in the whole, offset in the slice, size) for the pieces of one time step.
  auto forEachRow = [&](const HostTensor& whole, int64_t t, auto f) {
    int64_t width = whole.data.size() / (batch * length);
    for (int64_t b = 0; b < batch; ++b) f((b * length + t) * width, b * width, width);
  };
  for (int64_t s = 0; s < length; ++s) {
    int64_t t = op.getReverse() ? length - 1 - s : s, before = op.getReverse() ? t + 1 : t - 1;
    for (auto [argument, input] : llvm::zip_equal(op.getInputArguments(), op.getInputs())) {
      const HostTensor whole = env.at(input);
      HostTensor slice = HostTensor::zeros(cast<ShapedType>(argument.getType()).getShape());
      forEachRow(whole, t, [&](int64_t from, int64_t to, int64_t size) {
        std::copy_n(whole.data.begin() + from, size, slice.data.begin() + to);
      });
      env[argument] = std::move(slice);
    }
    if (op.getSegments() && s > 0) {
      const HostTensor& segments = env.at(op.getSegments());
      for (int64_t b = 0; b < batch; ++b) {
        if (segments.data[b * length + t] == segments.data[b * length + before]) continue;
        for (HostTensor& state : states) {
          int64_t width = state.data.size() / batch;
          std::fill_n(state.data.begin() + b * width, width, 0.0);
        }
      }
    }
    for (auto [argument, state] : llvm::zip_equal(op.getStateArguments(), states))
      env[argument] = state;
    if (failed(runBlock(step, env))) return failure();
    auto yields = step.getTerminator()->getOperands();
    for (size_t i = 0; i < outputs.size(); ++i) {
      HostTensor& output = outputs[i];
      const HostTensor& value = env.at(yields[i]);
      forEachRow(output, t, [&](int64_t to, int64_t from, int64_t size) {
        std::copy_n(value.data.begin() + from, size, output.data.begin() + to);
      });
    }
    for (auto [i, state] : llvm::enumerate(states)) state = env.at(yields[outputs.size() + i]);
  }
  for (auto [result, value] : llvm::zip_equal(op.getOutputs(), outputs)) env[result] = value;
  for (auto [result, value] : llvm::zip_equal(op.getFinals(), states)) env[result] = value;
  return success();
}

}  // namespace weir
