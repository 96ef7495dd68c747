// weir.scan and weir.scan_vjp as their descriptions read, point by point.

#include <optional>

#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "compiler/transforms/evaluator.h"
#include "llvm/ADT/STLExtras.h"

namespace weir {

using namespace mlir;

namespace {

/// What the two ops have in common: the walk over time.
struct Walk {
  SmallVector<int64_t> sizes;   // of the iteration space
  SmallVector<int64_t> points;  // the same with one step of time
  unsigned timeDim;
  bool reverse;
  std::optional<HostTensor> segments;

  int64_t length() const { return sizes[timeDim]; }
  int64_t at(int64_t step) const { return reverse ? length() - 1 - step : step; }
  /// Whether the step at t starts from nothing because another segment came before it.
  bool cut(ArrayRef<int64_t> index, int64_t t) const {
    int64_t before = reverse ? t + 1 : t - 1;
    if (!segments || before < 0 || before >= length()) return false;
    return segments->data[segments->offset({index[0], t})] !=
           segments->data[segments->offset({index[0], before})];
  }
  SmallVector<int64_t> state(ArrayRef<int64_t> index) const {
    SmallVector<int64_t> result(index);
    result.erase(result.begin() + timeDim);
    return result;
  }
};

template <typename OpT>
Walk walkOf(OpT op, Evaluator::Env& env) {
  Walk walk;
  walk.sizes = op.getIterationSizes();
  walk.points = walk.sizes;
  walk.timeDim = op.getTimeDim();
  walk.points[walk.timeDim] = 1;
  walk.reverse = op.getReverse();
  if (op.getSegments()) walk.segments = env.at(op.getSegments());
  return walk;
}

SmallVector<int64_t> select(AffineMap map, ArrayRef<int64_t> index) {
  SmallVector<int64_t> result;
  for (AffineExpr expr : map.getResults())
    result.push_back(index[cast<AffineDimExpr>(expr).getPosition()]);
  return result;
}

}  // namespace

FailureOr<SmallVector<double>> Evaluator::runRegion(Region& region, ArrayRef<double> arguments,
                                                    Env& env) {
  Block& block = region.front();
  for (auto [argument, value] : llvm::zip_equal(block.getArguments(), arguments))
    env[argument] = {{}, {value}};
  if (failed(runBlock(block, env))) return failure();
  SmallVector<double> results;
  for (Value value : block.getTerminator()->getOperands()) results.push_back(env.at(value).data[0]);
  return results;
}

LogicalResult Evaluator::runScan(ScanOp op, Env& env) {
  op.materializeRegions();
  Walk walk = walkOf(op, env);
  SmallVector<AffineMap> maps = op.getMaps();
  unsigned inputs = op.getInputs().size(), outputs = op.getNumOutputs();
  std::vector<HostTensor> results;
  for (Type type : op->getResultTypes())
    results.push_back(HostTensor::zeros(cast<ShapedType>(type).getShape()));
  HostTensor& h = results[outputs];
  if (op.getInitial()) h = env.at(op.getInitial());
  int64_t chunk = op.getChunk().value_or(0);
  LogicalResult status = success();
  for (int64_t step = 0; step < walk.length(); ++step) {
    int64_t t = walk.at(step);
    forEachIndex(walk.points, [&](ArrayRef<int64_t> point) {
      if (failed(status)) return;
      SmallVector<int64_t> index(point), state = walk.state(point);
      index[walk.timeDim] = t;
      double& value = h.data[h.offset(state)];
      bool entersChunk =
          chunk && (walk.reverse ? (t + 1) % chunk == 0 || t + 1 == walk.length() : t % chunk == 0);
      if (entersChunk) {
        SmallVector<int64_t> at{t / chunk};
        at.append(state);
        results.back().data[results.back().offset(at)] = value;
      }
      SmallVector<double> x;
      for (unsigned i = 0; i < inputs; ++i) {
        const HostTensor& input = env.at(op.getInputs()[i]);
        x.push_back(input.data[input.offset(select(maps[i], index))]);
      }
      auto ab = runRegion(op.getPrologue(), x, env);
      if (failed(ab)) return void(status = failure());
      value = (walk.cut(index, t) ? 0.0 : (*ab)[0] * value) + (*ab)[1];
      x.insert(x.begin(), value);
      auto y = runRegion(op.getEpilogue(), x, env);
      if (failed(y)) return void(status = failure());
      for (unsigned o = 0; o < outputs; ++o)
        results[o].data[results[o].offset(select(maps[inputs + o], index))] += (*y)[o];
    });
  }
  for (auto [result, value] : llvm::zip_equal(op.getResults(), results)) env[result] = value;
  return status;
}

LogicalResult Evaluator::runScanVjp(ScanVjpOp op, Env& env) {
  Walk walk = walkOf(op, env);
  SmallVector<AffineMap> maps = op.getMaps();
  unsigned inputs = op.getInputs().size(), outputs = op.getCotangents().size();
  SmallVector<unsigned> differentiated = op.getDifferentiatedInputs();
  std::vector<HostTensor> results;
  for (Type type : op->getResultTypes())
    results.push_back(HostTensor::zeros(cast<ShapedType>(type).getShape()));
  const HostTensor states = env.at(op.getChunkStates());
  int64_t chunk = op.getChunk();
  LogicalResult status = success();
  // lambda: the cotangent of h_t from the steps after t, already multiplied by a_{t+1}.
  HostTensor lambda = HostTensor::zeros(walk.state(walk.sizes));
  if (op.getFinalCotangent()) lambda = env.at(op.getFinalCotangent());
  auto inputsAt = [&](ArrayRef<int64_t> index) {
    SmallVector<double> x;
    for (unsigned i = 0; i < inputs; ++i) {
      const HostTensor& input = env.at(op.getInputs()[i]);
      x.push_back(input.data[input.offset(select(maps[i], index))]);
    }
    return x;
  };
  for (int64_t step = walk.length() - 1; step >= 0; --step) {
    int64_t t = walk.at(step);
    forEachIndex(walk.points, [&](ArrayRef<int64_t> point) {
      if (failed(status)) return;
      SmallVector<int64_t> index(point), state = walk.state(point);
      // Recompute from the state that entered the chunk up to h_t.
      int64_t first =
          walk.reverse ? std::min((t / chunk + 1) * chunk, walk.length()) - 1 : t / chunk * chunk;
      SmallVector<int64_t> at{t / chunk};
      at.append(state);
      double h = states.data[states.offset(at)], before = h, a = 0.0;
      for (int64_t u = first;; u += walk.reverse ? -1 : 1) {
        index[walk.timeDim] = u;
        auto ab = runRegion(op.getPrologue(), inputsAt(index), env);
        if (failed(ab)) return void(status = failure());
        before = h;
        a = walk.cut(index, u) ? 0.0 : (*ab)[0];
        h = a * before + (*ab)[1];
        if (u == t) break;
      }
      SmallVector<double> x = inputsAt(index), arguments = x;
      arguments.insert(arguments.begin(), h);
      for (unsigned o = 0; o < outputs; ++o) {
        const HostTensor& dy = env.at(op.getCotangents()[o]);
        arguments.push_back(dy.data[dy.offset(select(maps[inputs + o], index))]);
      }
      auto epilogue = runRegion(op.getAdjointEpilogue(), arguments, env);
      if (failed(epilogue)) return void(status = failure());
      double& carried = lambda.data[lambda.offset(state)];
      double db = (*epilogue)[0] + carried, da = walk.cut(index, t) ? 0.0 : db * before;
      x.append({da, db});
      auto prologue = runRegion(op.getAdjointPrologue(), x, env);
      if (failed(prologue)) return void(status = failure());
      for (auto [position, input] : llvm::enumerate(differentiated)) {
        HostTensor& gradient = results[position];
        gradient.data[gradient.offset(select(maps[input], index))] +=
            (*epilogue)[1 + position] + (*prologue)[position];
      }
      carried = a * db;
    });
  }
  if (op.getInitial()) results.back() = lambda;
  for (auto [result, value] : llvm::zip_equal(op.getResults(), results)) env[result] = value;
  return status;
}

}  // namespace weir
