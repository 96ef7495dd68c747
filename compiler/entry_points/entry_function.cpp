#include "compiler/entry_points/entry_function.h"

#include "compiler/entry_points/arguments.h"

namespace weir {
using namespace mlir;

StringRef nameIn(DictionaryAttr attributes, StringRef name) {
  return stringAttr(attributes.get(name));
}

DictionaryAttr argumentAttributes(func::FuncOp function, unsigned index) {
  DictionaryAttr attributes = function.getArgAttrDict(index);
  return attributes ? attributes : DictionaryAttr::get(function.getContext());
}

DictionaryAttr resultAttributes(func::FuncOp function, unsigned index) {
  DictionaryAttr attributes = function.getResultAttrDict(index);
  return attributes ? attributes : DictionaryAttr::get(function.getContext());
}

std::optional<unsigned> findResult(func::FuncOp function, StringRef attribute, StringRef name) {
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (nameIn(resultAttributes(function, i), attribute) == name) return i;
  return std::nullopt;
}

EntryFunction::EntryFunction(ModuleOp module, StringRef name) : b(module.getContext()) {
  b.setInsertionPointToEnd(module.getBody());
  function = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType({}, {}));
  function->setAttr(kEntryAttr, b.getUnitAttr());
  b.setInsertionPointToStart(function.addEntryBlock());
}

Value EntryFunction::argument(StringRef attribute, StringRef name, Type type) {
  Value& value = arguments[(attribute + " " + name).str()];
  if (value) return value;
  unsigned position = function.getNumArguments();
  DictionaryAttr attributes = b.getDictionaryAttr(b.getNamedAttr(attribute, b.getStringAttr(name)));
  (void)function.insertArgument(position, type, attributes, loc());
  return value = function.getArgument(position);
}

Value EntryFunction::input(StringRef name, Type type) { return argument(kInputAttr, name, type); }
Value EntryFunction::variable(StringRef name, Type type) {
  return argument(kVariableAttr, name, type);
}

FailureOr<ValueRange> EntryFunction::call(
    func::FuncOp callee, llvm::function_ref<Value(unsigned, DictionaryAttr, Type)> argument) {
  SmallVector<Value> operands;
  for (unsigned i = 0; i < callee.getNumArguments(); ++i) {
    DictionaryAttr attributes = argumentAttributes(callee, i);
    Value value = argument(i, attributes, callee.getArgumentTypes()[i]);
    if (!value)
      return callee.emitError() << "takes an argument " << attributes
                                << " that its entry point does not know";
    operands.push_back(value);
  }
  return ValueRange(func::CallOp::create(b, loc(), callee, operands).getResults());
}

void EntryFunction::output(StringRef name, Value value) {
  results.push_back(value);
  resultAttrs.push_back(b.getDictionaryAttr(b.getNamedAttr(kOutputAttr, b.getStringAttr(name))));
}

void EntryFunction::newValue(StringRef variable, Value value) {
  results.push_back(value);
  resultAttrs.push_back(
      b.getDictionaryAttr(b.getNamedAttr(kVariableAttr, b.getStringAttr(variable))));
}

func::FuncOp EntryFunction::finish() {
  func::ReturnOp::create(b, loc(), results);
  function.setFunctionType(
      b.getFunctionType(function.getArgumentTypes(), TypeRange(ValueRange(results))));
  function.setResAttrsAttr(b.getArrayAttr(resultAttrs));
  return function;
}

StringRef batchTensor(DictionaryAttr attributes) {
  if (attributes.contains(kSegmentsAttr)) return "segments";
  StringRef name = nameIn(attributes, kInputAttr);
  return name.empty() || name == "targets" ? name : "tokens";
}

void declareBatch(EntryFunction& entry, func::FuncOp callee,
                  llvm::function_ref<Type(Type)> typeInEntry) {
  for (StringRef wanted : {"tokens", "targets", "segments"})
    for (unsigned i = 0; i < callee.getNumArguments(); ++i)
      if (batchTensor(argumentAttributes(callee, i)) == wanted)
        entry.input(wanted, typeInEntry(callee.getArgumentTypes()[i]));
}

}  // namespace weir
