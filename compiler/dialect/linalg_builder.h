// Shorthand for linalg on static tensors: what decompositions are written with.
//
//   LinalgBuilder l(b, loc);
//   Value y = l.elementwise({x}, [](ElementwiseBuilder e, ValueRange v) { return e.exp(v[0]); });

#ifndef WEIR_COMPILER_DIALECT_LINALG_BUILDER_H_
#define WEIR_COMPILER_DIALECT_LINALG_BUILDER_H_

#include "compiler/dialect/elementwise_builder.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"

namespace weir {

class LinalgBuilder {
 public:
  using Body = llvm::function_ref<mlir::Value(ElementwiseBuilder e, mlir::ValueRange arguments)>;

  LinalgBuilder(mlir::OpBuilder& builder, mlir::Location loc) : b(builder), loc(loc) {}

  /// A tensor whose values don't matter.
  mlir::Value empty(llvm::ArrayRef<int64_t> shape, mlir::Type element);
  /// A tensor full of `value`.
  mlir::Value filled(double value, llvm::ArrayRef<int64_t> shape, mlir::Type element);
  mlir::Value filledLike(double value, mlir::Value like);

  /// A linalg.generic with one result of the type of `init`; `maps` has one map per input, then the
  /// output's. The body gets the inputs' scalars, then the output's, and gives the new value.
  mlir::Value generic(mlir::ValueRange inputs, mlir::Value init,
                      llvm::ArrayRef<mlir::AffineMap> maps,
                      llvm::ArrayRef<mlir::utils::IteratorType> iterators, Body body);

  /// An elementwise op over `shape`: each input is mapped by its map (dims of `shape` as the
  /// domain).
  mlir::Value elementwise(llvm::ArrayRef<int64_t> shape, mlir::Type element,
                          mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps, Body body);
  /// The same where all inputs have the shape of the first.
  mlir::Value elementwise(mlir::ValueRange inputs, Body body);

  /// Sums (or maximizes) over the dims in `reduced` of the domain `domain`: body(e, inputs) is the
  /// summand.
  mlir::Value sum(llvm::ArrayRef<int64_t> domain, llvm::ArrayRef<unsigned> reduced,
                  mlir::Type element, mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps,
                  Body body);
  mlir::Value maximum(llvm::ArrayRef<int64_t> domain, llvm::ArrayRef<unsigned> reduced,
                      mlir::Type element, mlir::ValueRange inputs,
                      llvm::ArrayRef<mlir::AffineMap> maps, Body body);

  /// A product: out[outDims] = sum over the other dims of lhs[lhsDims] * rhs[rhsDims], in f32 (f64
  /// for f64 operands). Dims number the letters of an einsum.
  mlir::Value contract(mlir::Value lhs, llvm::ArrayRef<unsigned> lhsDims, mlir::Value rhs,
                       llvm::ArrayRef<unsigned> rhsDims, llvm::ArrayRef<unsigned> outDims,
                       unsigned numDims);

  mlir::Value slice(mlir::Value tensor, llvm::ArrayRef<int64_t> offsets,
                    llvm::ArrayRef<int64_t> sizes);
  /// [offset, offset + size) of one dimension.
  mlir::Value sliceDim(mlir::Value tensor, unsigned dim, int64_t offset, int64_t size);
  mlir::Value concat(unsigned dim, mlir::ValueRange tensors);
  mlir::Value reshape(mlir::Value tensor, llvm::ArrayRef<int64_t> shape);
  /// Appends (or prepends) `amount` slices of zeros along `dim`.
  mlir::Value padEnd(mlir::Value tensor, unsigned dim, int64_t amount);

  /// The map from `rank` dims to the dims in `targets`.
  mlir::AffineMap map(unsigned rank, llvm::ArrayRef<unsigned> targets);
  mlir::AffineMap identity(unsigned rank);
  ElementwiseBuilder scalars() { return ElementwiseBuilder(b, loc); }
  mlir::OpBuilder& builder() { return b; }

 private:
  mlir::Value reduce(llvm::ArrayRef<int64_t> domain, llvm::ArrayRef<unsigned> reduced,
                     mlir::Type element, mlir::ValueRange inputs,
                     llvm::ArrayRef<mlir::AffineMap> maps, double neutral, bool isMaximum,
                     Body body);

  mlir::OpBuilder& b;
  mlir::Location loc;
};

/// The shape of a ranked tensor.
llvm::ArrayRef<int64_t> shapeOf(mlir::Value tensor);
/// Whether every operand and result that is a tensor has a static shape; an op is decomposed only
/// then.
bool hasStaticShapes(mlir::Operation* op);
/// f64 for f64, else f32: what sums are accumulated in.
mlir::Type accumulatorType(mlir::Type element);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_LINALG_BUILDER_H_
