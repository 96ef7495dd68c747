// The walk that expands a model (expand.h says what comes out). One Expander expands one model.

#ifndef WEIR_COMPILER_TRANSFORMS_EXPANDER_H_
#define WEIR_COMPILER_TRANSFORMS_EXPANDER_H_

#include <map>

#include "compiler/dialect/model_ops.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/dialect/sizes.h"
#include "compiler/transforms/expand.h"
#include "llvm/ADT/StringMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace weir {

class Expander {
 public:
  Expander(mlir::ModuleOp source, const ExpansionOptions& options)
      : source(source), options(options), builder(source.getContext()) {}

  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> run(ModelOp model);

 private:
  /// One use of a layer, or the model itself. A value of its body is either a constant or is mapped
  /// to a value.
  struct Scope {
    llvm::StringRef name;
    mlir::Operation* definition;
    mlir::ModuleOp home;
    /// What paths begin with: empty, or with a dot at the end.
    std::string prefix;
    mlir::DictionaryAttr options;
    const Scope* caller = nullptr;
    /// Where the layer is used; of no meaning in the model.
    mlir::Location applied;
    mlir::IRMapping mapping{};
    llvm::DenseMap<mlir::Value, mlir::Attribute> constants{};
  };

  /// An argument of the function to be: a parameter or a state. The value stands for it meanwhile.
  struct Argument {
    std::string path;
    std::string init;
    mlir::Value value;
  };

  // Walking (expander.cpp).
  mlir::LogicalResult expandBlock(mlir::Block& block, Scope& scope);
  mlir::LogicalResult expandOp(mlir::Operation* op, Scope& scope);
  mlir::LogicalResult expandConfig(ConfigOp op, Scope& scope);
  mlir::LogicalResult expandDim(DimOp op, Scope& scope);
  mlir::LogicalResult expandCase(CaseOp op, Scope& scope);
  mlir::LogicalResult expandRepeat(RepeatOp op, Scope& scope);
  mlir::LogicalResult expandApply(ApplyOp op, Scope& scope);
  mlir::LogicalResult expandReturn(ReturnOp op, Scope& scope,
                                   llvm::SmallVectorImpl<mlir::Value>& outputs);
  mlir::LogicalResult expandOther(mlir::Operation* op, Scope& scope);
  mlir::FailureOr<LayerOp> findLayer(ApplyOp op, const Scope& scope, mlir::ModuleOp& home);
  mlir::LogicalResult checkOptions(ApplyOp op, LayerOp layer, const Scope& scope,
                                   mlir::DictionaryAttr given);

  // Values (expander.cpp).
  mlir::InFlightDiagnostic error(mlir::Operation* op, const Scope& scope);
  mlir::Location locationOf(mlir::Operation* op, const Scope& scope);
  void forward(mlir::Value from, Scope& fromScope, mlir::Value to, Scope& toScope);
  mlir::LogicalResult prepareOperand(mlir::Operation* op, mlir::Value operand, Scope& scope);
  mlir::FailureOr<llvm::SmallVector<int64_t>> evaluate(mlir::Operation* op, mlir::AffineMap map,
                                                       mlir::ValueRange operands, Scope& scope);

  // Parameters, states and context (expander_arguments.cpp).
  mlir::LogicalResult bind(mlir::Operation* original, mlir::Operation* clone, Scope& scope);
  mlir::LogicalResult bindParameters(ParameterizedOpInterface original,
                                     ParameterizedOpInterface clone, Scope& scope);
  template <typename Declaration>
  mlir::LogicalResult declare(Declaration op, Scope& scope, int64_t leading,
                              llvm::SmallVectorImpl<Argument>& arguments);
  mlir::LogicalResult declareParam(ParamOp op, Scope& scope);
  mlir::LogicalResult declareState(StateOp op, Scope& scope);
  mlir::FailureOr<std::string> addPath(mlir::Operation* op, const Scope& scope,
                                       const llvm::Twine& path);
  std::string finalInit(const Initializer& initializer, llvm::ArrayRef<int64_t> shape);
  mlir::Value placeholder(mlir::Type type, mlir::Location loc);
  void finish(ModelOp model, mlir::func::FuncOp function, llvm::ArrayRef<mlir::Value> outputs);

  mlir::ModuleOp source;
  const ExpansionOptions& options;
  mlir::OpBuilder builder;

  /// Modules of layers, by file, and which file a name was found in.
  std::map<std::string, mlir::OwningOpRef<mlir::ModuleOp>> files;
  std::map<std::string, mlir::ModuleOp> homes;

  mlir::Block placeholders;
  llvm::SmallVector<Argument> parameters, states;
  /// The next value of each state, by its path.
  llvm::StringMap<mlir::Value> nextStates;
  llvm::StringMap<mlir::Location> paths;
  mlir::Value rng, segments, start;
  int64_t numStreams = 0;
  int64_t numOps = 0;
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_EXPANDER_H_
