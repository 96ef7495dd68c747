#include "compiler/entry_points/prepare.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/transforms/op_kinds.h"
#include "runtime/program/program.h"

namespace weir {
using namespace mlir;
using runtime::kPreparedVariables;
using runtime::kPrepareEntry;

namespace {

/// What a function computes from its parameters alone.
class ParameterWork {
 public:
  explicit ParameterWork(func::FuncOp function) : body(function.getBody().front()) {
    for (BlockArgument argument : body.getArguments())
      if (!nameOf(argument).empty()) bytes[argument] = byteSize(argument.getType());
    for (Operation& op : body.without_terminator()) consider(op);
    for (Operation& op : llvm::reverse(body.without_terminator()))
      if (moved.contains(&op) && isRead(op) && !isWorthKeeping(op)) moved.erase(&op);
  }

  /// Values of moved ops that others read, in order.
  SmallVector<Value> results() const {
    SmallVector<Value> values;
    for (Operation& op : body.without_terminator())
      if (moved.contains(&op) && dependsOnParameters(op))
        for (Value result : op.getResults())
          if (isRead(result)) values.push_back(result);
    return values;
  }

  static StringRef nameOf(BlockArgument argument) {
    auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
    return nameIn(argumentAttributes(function, argument.getArgNumber()), kParamAttr);
  }

 private:
  void consider(Operation& op) {
    if (!isMemoryEffectFree(&op) || op.getNumResults() == 0) return;
    llvm::SetVector<Value> reads(op.operand_begin(), op.operand_end());
    getUsedValuesDefinedAbove(op.getRegions(), reads);
    int64_t from = 0;
    for (Value value : reads) {
      auto known = bytes.find(value);
      if (known == bytes.end()) return;
      from += known->second;
    }
    for (Value result : op.getResults()) bytes[result] = from;
    moved.insert(&op);
  }

  bool dependsOnParameters(Operation& op) const { return bytes.lookup(op.getResult(0)) > 0; }
  bool isRead(Value value) const {
    return llvm::any_of(value.getUsers(), [&](Operation* user) {
      return !moved.contains(body.findAncestorOpInBlock(*user));
    });
  }
  bool isRead(Operation& op) const {
    return llvm::any_of(op.getResults(), [&](Value result) { return isRead(result); });
  }

  /// Views cost nothing where they are read; what is larger than the parameters it comes from takes
  /// longer to read than to compute.
  bool isWorthKeeping(Operation& op) const {
    if (!dependsOnParameters(op)) return true;
    int64_t size = 0;
    for (Value result : op.getResults()) {
      if (!isa<RankedTensorType>(result.getType())) return false;
      size += byteSize(result.getType());
    }
    return !isView(&op) && size <= bytes.lookup(op.getResult(0));
  }

  Block& body;
  /// Bytes of the parameters that a value is made of; 0 for constants.
  DenseMap<Value, int64_t> bytes;
  DenseSet<Operation*> moved;
};

/// The entry point while it is written.
class Preparation {
 public:
  explicit Preparation(ModuleOp module) : entry(module, kPrepareEntry) {}

  /// The variable that holds `value`, which a function computes from parameters.
  StringRef variableOf(Value value) {
    Value prepared = cloned(value);
    std::string& name = names[prepared];
    if (name.empty()) {
      name = (kPreparedVariables + Twine(names.size() - 1)).str();
      entry.newValue(name, prepared);
    }
    return name;
  }

  func::FuncOp finish() { return entry.finish(); }

 private:
  Value cloned(Value value) {
    if (Value known = mapping.lookupOrNull(value)) return known;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      Value variable = entry.variable(ParameterWork::nameOf(argument), value.getType());
      mapping.map(value, variable);
      return variable;
    }
    Operation* op = value.getDefiningOp();
    llvm::SetVector<Value> reads(op->operand_begin(), op->operand_end());
    getUsedValuesDefinedAbove(op->getRegions(), reads);
    for (Value read : reads) cloned(read);
    Operation* copy = entry.builder().clone(*op, mapping);
    // The functions of a stream differ in the number of tokens and want the same of parameters.
    for (Operation& other : *copy->getBlock()) {
      if (&other == copy || !OperationEquivalence::isEquivalentTo(
                                copy, &other, OperationEquivalence::IgnoreLocations))
        continue;
      copy->erase();
      copy = &other;
      break;
    }
    for (auto [result, same] : llvm::zip(op->getResults(), copy->getResults()))
      mapping.map(result, same);
    return mapping.lookup(value);
  }

  EntryFunction entry;
  IRMapping mapping;
  llvm::MapVector<Value, std::string> names;
};

}  // namespace

func::FuncOp addPrepareEntry(ModuleOp module, ArrayRef<func::FuncOp> functions) {
  SmallVector<std::pair<func::FuncOp, SmallVector<Value>>> work;
  for (func::FuncOp function : functions)
    if (SmallVector<Value> values = ParameterWork(function).results(); !values.empty())
      work.emplace_back(function, std::move(values));
  if (work.empty()) return {};
  Preparation preparation(module);
  for (auto& [function, values] : work)
    for (Value value : values) {
      Builder b(module.getContext());
      StringAttr name = b.getStringAttr(preparation.variableOf(value));
      unsigned position = function.getNumArguments();
      (void)function.insertArgument(position, value.getType(),
                                    b.getDictionaryAttr(b.getNamedAttr(kPreparedAttr, name)),
                                    value.getLoc());
      value.replaceAllUsesWith(function.getArgument(position));
    }
  return preparation.finish();
}

void prepareInUpdate(func::FuncOp prepare, func::FuncOp update) {
  MLIRContext* context = update.getContext();
  StringAttr paramName = StringAttr::get(context, kParamAttr);
  auto attributes = [&](StringAttr key, StringRef name) {
    return DictionaryAttr::get(context, NamedAttribute(key, StringAttr::get(context, name)));
  };
  Operation* end = update.front().getTerminator();
  IRMapping mapping;
  for (BlockArgument argument : prepare.getArguments()) {
    StringRef name = nameIn(argumentAttributes(prepare, argument.getArgNumber()), kVariableAttr);
    Value value;
    if (std::optional<unsigned> updated = findResult(update, kParamAttr, name)) {
      value = end->getOperand(*updated);
    } else {  // one that isn't trained
      unsigned position = update.getNumArguments();
      (void)update.insertArgument(position, argument.getType(), attributes(paramName, name),
                                  argument.getLoc());
      value = update.getArgument(position);
    }
    mapping.map(argument, value);
  }
  OpBuilder b(end);
  for (Operation& op : prepare.front().without_terminator()) b.clone(op, mapping);
  StringAttr preparedName = StringAttr::get(context, kPreparedAttr);
  for (auto [i, value] : llvm::enumerate(prepare.front().getTerminator()->getOperands())) {
    unsigned position = update.getNumResults();
    StringRef name = nameIn(resultAttributes(prepare, i), kVariableAttr);
    (void)update.insertResult(position, value.getType(), attributes(preparedName, name));
    end->insertOperands(position, mapping.lookup(value));
  }
}

}  // namespace weir
