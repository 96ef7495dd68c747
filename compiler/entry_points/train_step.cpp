#include "compiler/entry_points/train_step.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/entry_points/model_functions.h"
#include "compiler/entry_points/prepare.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {
using namespace mlir;

namespace {

using Values = SmallVector<Value>;

class TrainStep {
 public:
  TrainStep(ModuleOp module, int64_t accumulate, int64_t windows)
      : accumulate(accumulate),
        windows(windows),
        forward(module.lookupSymbol<func::FuncOp>("train_forward")),
        backward(module.lookupSymbol<func::FuncOp>("train_backward")),
        accumulator(module.lookupSymbol<func::FuncOp>("train_accumulate")),
        optimizer(module.lookupSymbol<func::FuncOp>("train_optimizer")),
        gradientResults(parameterGradients(module)),
        entry(module, "train_step"),
        l(entry.builder(), entry.loc()) {}

  LogicalResult build() {
    declareInputs();
    for (int64_t group = 0; group < accumulate; ++group)
      if (failed(trainGroup(group))) return failure();
    if (accumulate > 1)
      loss = l.elementwise({loss}, [&](ElementwiseBuilder e, ValueRange v) {
        return e.mul(v[0], e.constantLike(1.0 / accumulate, v[0]));
      });
    entry.output("loss", loss);
    entry.output("correct", correct);
    if (failed(update())) return failure();
    entry.finish();
    return success();
  }

 private:
  /// One window on its way forward.
  struct Window {
    int64_t number;                 // the batch of the step
    llvm::StringMap<Value> states;  // what it began with
    Values results;
  };

  int64_t batches() const { return accumulate * windows; }
  void declareInputs();
  Value common(const Window& window, DictionaryAttr attributes, Type type);
  LogicalResult trainGroup(int64_t group);
  LogicalResult readForward(Window& window);
  LogicalResult goBack(const Window& window, Value scale);
  LogicalResult addGradients(ValueRange results);
  LogicalResult update();

  Type widened(Type type) const {
    SmallVector<int64_t> shape(cast<RankedTensorType>(type).getShape());
    if (shape.empty()) return type;
    shape[0] *= batches();
    return RankedTensorType::get(shape, cast<RankedTensorType>(type).getElementType());
  }
  Type rngType() { return RankedTensorType::get({2}, entry.builder().getI64Type()); }
  Value add(Value sum, Value value) {
    if (!sum) return value;
    return l.elementwise({sum, value},
                         [](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], v[1]); });
  }
  Value output(const Window& window, StringRef name) {
    return window.results[*findResult(forward, kOutputAttr, name)];
  }

  int64_t accumulate, windows;
  func::FuncOp forward, backward, accumulator, optimizer;
  SmallVector<unsigned> gradientResults;  // of backward: those of parameters
  EntryFunction entry;
  LinalgBuilder l;
  llvm::StringMap<Value> states;           // the latest; empty where nothing is carried
  llvm::StringMap<Value> stateCotangents;  // of what the window at hand ended with
  Values gradients;
  Value loss, correct;
};

void TrainStep::declareInputs() {
  declareBatch(entry, forward, [&](Type type) { return widened(type); });
  for (unsigned i = 0; i < forward.getNumArguments(); ++i)
    if (StringRef name = nameIn(argumentAttributes(forward, i), kStateAttr); !name.empty())
      states[name] = entry.variable(stateVariable(name), forward.getArgumentTypes()[i]);
}

/// What forward and backward take alike.
Value TrainStep::common(const Window& window, DictionaryAttr attributes, Type type) {
  if (attributes.contains(kRngAttr)) {
    Value rng = entry.variable(kRngVariable, rngType());
    if (batches() == 1) return rng;
    // (seed, step) of a batch: each of the batches of a step draws other numbers.
    Type i64 = entry.builder().getI64Type();
    return l.elementwise({2}, i64, rng, l.identity(1), [&](ElementwiseBuilder e, ValueRange v) {
      Value scaled = e.addIntegers(e.mulIntegers(v[0], e.integer(batches(), i64)),
                                   e.integer(window.number, i64));
      return e.select(e.equal(e.index(0, i64), e.integer(1, i64)), scaled, v[0]);
    });
  }
  if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
    return entry.variable(name, type);
  if (StringRef name = nameIn(attributes, kPreparedAttr); !name.empty())
    return entry.variable(name, type);
  if (StringRef name = batchTensor(attributes); !name.empty()) {
    Value rows = entry.input(name, widened(type));
    int64_t size = shapeOf(rows)[0] / batches();
    return batches() == 1 ? rows : l.sliceDim(rows, 0, window.number * size, size);
  }
  if (StringRef name = nameIn(attributes, kStateAttr); !name.empty())
    return window.states.lookup(name);
  return {};
}

LogicalResult TrainStep::readForward(Window& window) {
  FailureOr<ValueRange> results =
      entry.call(forward, [&](unsigned, DictionaryAttr attributes, Type type) {
        return common(window, attributes, type);
      });
  if (failed(results)) return failure();
  window.results.assign(results->begin(), results->end());
  for (auto [i, result] : llvm::enumerate(window.results))
    if (StringRef name = nameIn(resultAttributes(forward, i), kStateAttr); !name.empty())
      states[name] = result;
  return success();
}

/// Takes the gradients of one window. `scale` is the cotangent of its summed loss; null where
/// backward begins with the mean.
LogicalResult TrainStep::goBack(const Window& window, Value scale) {
  auto cotangent = [&](StringRef name, Type type) -> Value {
    if (name == "loss_sum") return scale;
    if (Value known = stateCotangents.lookup(name)) return known;
    auto tensor = cast<RankedTensorType>(type);  // after the last window
    return l.filled(0, tensor.getShape(), tensor.getElementType());
  };
  FailureOr<ValueRange> results =
      entry.call(backward, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
        if (StringRef name = nameIn(attributes, "weir.cotangent"); !name.empty())
          return cotangent(name, type);
        Attribute residual = attributes.get("weir.residual");
        if (!residual) return common(window, attributes, type);
        for (unsigned i = 0; i < forward.getNumResults(); ++i)
          if (resultAttributes(forward, i).get("weir.residual") == residual)
            return window.results[i];
        return {};
      });
  if (failed(results)) return failure();
  stateCotangents.clear();
  for (unsigned i = 0; i < backward.getNumResults(); ++i)
    if (!llvm::is_contained(gradientResults, i))
      stateCotangents[nameIn(resultAttributes(backward, i), kGradientAttr)] = (*results)[i];
  return addGradients(*results);
}

LogicalResult TrainStep::addGradients(ValueRange results) {
  Values own;
  for (unsigned index : gradientResults) own.push_back(results[index]);
  if (gradients.empty()) {
    gradients = own;
    return success();
  }
  FailureOr<ValueRange> sums =
      entry.call(accumulator, [&](unsigned index, DictionaryAttr, Type) -> Value {
        return index < gradients.size() ? gradients[index] : own[index - gradients.size()];
      });
  if (failed(sums)) return failure();
  gradients.assign(sums->begin(), sums->end());
  return success();
}

LogicalResult TrainStep::trainGroup(int64_t group) {
  SmallVector<Window> members;
  Value sum, count;
  for (int64_t i = 0; i < windows; ++i) {
    Window window{group * windows + i, states, {}};
    if (failed(readForward(window))) return failure();
    correct = add(correct, output(window, "correct"));
    if (windows > 1) {
      sum = add(sum, output(window, "loss_sum"));
      count = add(count, output(window, "count"));
    }
    members.push_back(std::move(window));
  }
  if (windows == 1) {
    loss = add(loss, output(members[0], "loss"));
    return goBack(members[0], {});
  }
  // Of the mean over all targets of the group.
  Value scale = l.elementwise({count}, [](ElementwiseBuilder e, ValueRange v) {
    Value one = e.constantLike(1, v[0]);
    return e.div(one, e.maximum(v[0], one));
  });
  loss = add(loss, l.elementwise({sum, count}, [](ElementwiseBuilder e, ValueRange v) {
    return e.div(v[0], e.maximum(v[1], e.constantLike(1, v[1])));
  }));
  stateCotangents.clear();
  for (const Window& window : llvm::reverse(members))
    if (failed(goBack(window, scale))) return failure();
  return success();
}

LogicalResult TrainStep::update() {
  FailureOr<ValueRange> updated =
      entry.call(optimizer, [&](unsigned index, DictionaryAttr attributes, Type type) -> Value {
        if (index < gradients.size()) return gradients[index];
        if (attributes.contains(kRngAttr)) return entry.variable(kRngVariable, rngType());
        if (nameIn(attributes, kOutputAttr) == "loss") return loss;
        for (StringRef attribute : {StringRef(kParamAttr), StringRef(kVariableAttr)})
          if (StringRef name = nameIn(attributes, attribute); !name.empty())
            return entry.variable(name, type);
        return {};
      });
  if (failed(updated)) return failure();
  Value finite;
  for (unsigned i = 0; i < optimizer.getNumResults(); ++i) {
    DictionaryAttr attributes = resultAttributes(optimizer, i);
    Value value = (*updated)[i];
    if (attributes.contains(kRngAttr)) {
      entry.newValue(kRngVariable, value);
    } else if (StringRef name = nameIn(attributes, kParamAttr); !name.empty()) {
      entry.newValue(name, value);
    } else if (StringRef name = nameIn(attributes, kPreparedAttr); !name.empty()) {
      entry.newValue(name, value);
    } else if (StringRef name = nameIn(attributes, kVariableAttr); !name.empty()) {
      entry.newValue(name, value);
    } else {
      StringRef output = nameIn(attributes, kOutputAttr);
      if (output == "finite") finite = value;
      entry.output(output, value);
    }
  }
  for (unsigned i = 0; i < forward.getNumResults(); ++i) {
    StringRef name = nameIn(resultAttributes(forward, i), kStateAttr);
    if (name.empty()) continue;
    Value last = states.lookup(name), first = entry.variable(stateVariable(name), last.getType());
    if (last == first) continue;
    auto type = cast<RankedTensorType>(last.getType());
    unsigned rank = type.getRank();
    entry.newValue(stateVariable(name),
                   l.elementwise(type.getShape(), type.getElementType(), {last, first, finite},
                                 {l.identity(rank), l.identity(rank), l.map(rank, {})},
                                 [](ElementwiseBuilder e, ValueRange v) {
                                   return e.select(e.atLeast(v[2], e.constantLike(1, v[2])), v[0],
                                                   v[1]);
                                 }));
  }
  return success();
}

}  // namespace

LogicalResult addTrainStep(ModuleOp module, int64_t accumulate, int64_t windows) {
  return TrainStep(module, accumulate, windows).build();
}

}  // namespace weir
