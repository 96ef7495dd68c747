// Writes an entry point: a function whose arguments are inputs and variables, asked for by name as
// they are needed, and whose body calls the functions made from a model.

#ifndef WEIR_COMPILER_ENTRY_POINTS_ENTRY_FUNCTION_H_
#define WEIR_COMPILER_ENTRY_POINTS_ENTRY_FUNCTION_H_

#include <functional>
#include <optional>
#include <string>

#include "llvm/ADT/StringMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace weir {

class EntryFunction {
 public:
  EntryFunction(mlir::ModuleOp module, llvm::StringRef name);

  mlir::OpBuilder& builder() { return b; }
  mlir::Location loc() { return function.getLoc(); }

  /// The argument for an input or a variable of that name; made at the first call.
  mlir::Value input(llvm::StringRef name, mlir::Type type);
  mlir::Value variable(llvm::StringRef name, mlir::Type type);

  /// Calls `callee`, asking `argument` for each of its arguments (null: a diagnostic).
  mlir::FailureOr<mlir::ValueRange> call(
      mlir::func::FuncOp callee,
      llvm::function_ref<mlir::Value(unsigned index, mlir::DictionaryAttr attributes,
                                     mlir::Type type)>
          argument);

  void output(llvm::StringRef name, mlir::Value value);
  void newValue(llvm::StringRef variable, mlir::Value value);

  /// Ends the function with its results.
  mlir::func::FuncOp finish();

 private:
  mlir::Value argument(llvm::StringRef attribute, llvm::StringRef name, mlir::Type type);

  mlir::OpBuilder b;
  mlir::func::FuncOp function;
  llvm::StringMap<mlir::Value> arguments;
  llvm::SmallVector<mlir::Value> results;
  llvm::SmallVector<mlir::Attribute> resultAttrs;
};

/// The string attribute `name` in a dictionary, or "".
llvm::StringRef nameIn(mlir::DictionaryAttr attributes, llvm::StringRef name);

/// The entry point's name for an argument that the task fills ("" for other arguments): whatever
/// the model calls its input, it is the tokens.
llvm::StringRef batchTensor(mlir::DictionaryAttr attributes);

/// Declares the tensors of a batch in the task's order, which arguments of `callee` don't have.
void declareBatch(EntryFunction& entry, mlir::func::FuncOp callee,
                  llvm::function_ref<mlir::Type(mlir::Type)> typeInEntry);

/// The index of the result of `function` whose attribute `attribute` is `name`.
std::optional<unsigned> findResult(mlir::func::FuncOp function, llvm::StringRef attribute,
                                   llvm::StringRef name);

/// The attributes of an argument or of a result; never null.
mlir::DictionaryAttr argumentAttributes(mlir::func::FuncOp function, unsigned index);
mlir::DictionaryAttr resultAttributes(mlir::func::FuncOp function, unsigned index);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_ENTRY_FUNCTION_H_
