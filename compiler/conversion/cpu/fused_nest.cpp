#include "compiler/conversion/cpu/fused_nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

FusedNest::FusedNest(KernelBuilder& b, Block& body, const IRMapping& captured)
    : b(b), body(body), builder(b.getContext()) {
  builder.setInsertionPointToEnd(&body);
  nest.captured = &captured;
  nest.body = &body;
}

void FusedNest::addValue(Value value, const Access& access) {
  values[value] = body.addArgument(access.element, b.getLoc());
  nest.inputs.push_back(access);
}

void FusedNest::addStep(linalg::GenericOp op, const LoopNest& own, const Place& place,
                        bool accumulates) {
  for (OpOperand* operand : op.getDpsInputOperands()) {
    Value argument = op.getMatchingBlockArgument(operand);
    if (Value here = values.lookup(place.rootOf(operand->get()))) {
      map.map(argument, here);
      continue;
    }
    Read read{operand->get(), op.getMatchingIndexingMap(operand), place.start, Value()};
    auto known = llvm::find_if(reads, [&](const Read& other) {
      return other.value == read.value && other.map == read.map && other.start == read.start;
    });
    if (known == reads.end()) {
      read.argument = body.addArgument(argument.getType(), b.getLoc());
      nest.inputs.push_back(place.access(own.inputs[operand->getOperandNumber()]));
      reads.push_back(read);
      known = reads.end() - 1;
    }
    map.map(argument, known->argument);
  }
  if (accumulates)
    for (auto [sum, output] : llvm::zip(op.getRegionOutputArgs(), own.outputs)) {
      map.map(sum, body.addArgument(sum.getType(), b.getLoc()));
      nest.inputs.push_back(place.access(output.access));
    }
  for (Operation& inner : op.getBody()->without_terminator()) {
    Operation* copy = builder.clone(inner, map);
    auto index = dyn_cast<linalg::IndexOp>(copy);
    if (!index || static_cast<int64_t>(index.getDim()) != place.dim || place.start == 0) continue;
    Value start = arith::ConstantIndexOp::create(builder, b.getLoc(), place.start);
    map.map(inner.getResult(0),
            Value(arith::SubIOp::create(builder, b.getLoc(), index.getResult(), start)));
  }
  for (auto [i, yielded] : llvm::enumerate(op.getBody()->getTerminator()->getOperands()))
    values[op.getResult(i)] = map.lookupOrDefault(yielded);
}

void FusedNest::store(Value value, const Access& access) {
  stores.emplace_back(access, values.lookup(value));
}

LoopNest FusedNest::finish(ArrayRef<LoopDim> dims) {
  SmallVector<Value> results;
  for (auto& [access, value] : stores) {
    body.addArgument(access.element, b.getLoc());
    nest.outputs.push_back({access, std::nullopt});
    results.push_back(value);
  }
  linalg::YieldOp::create(builder, b.getLoc(), results);
  nest.dims.assign(dims.begin(), dims.end());
  return nest;
}

}  // namespace weir
