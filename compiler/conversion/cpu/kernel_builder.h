// A builder with the index arithmetic and loops that every CPU emitter needs.

#ifndef WEIR_COMPILER_CONVERSION_CPU_KERNEL_BUILDER_H_
#define WEIR_COMPILER_CONVERSION_CPU_KERNEL_BUILDER_H_

#include "compiler/conversion/cpu/target.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weir {

using ValueList = llvm::SmallVector<mlir::Value>;

class KernelBuilder : public mlir::ImplicitLocOpBuilder {
 public:
  KernelBuilder(mlir::Location loc, mlir::OpBuilder& builder, CpuTarget target)
      : mlir::ImplicitLocOpBuilder(loc, builder), target(target) {}

  const CpuTarget target;

  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value add(mlir::Value a, int64_t b) { return add(a, constant(b)); }
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, int64_t b) { return mul(a, constant(b)); }
  mlir::Value div(mlir::Value a, int64_t b);
  mlir::Value rem(mlir::Value a, int64_t b);
  mlir::Value minimum(mlir::Value a, mlir::Value b);
  mlir::Value maximum(mlir::Value a, mlir::Value b);
  /// base + a * stride.
  mlir::Value offset(mlir::Value base, mlir::Value a, int64_t stride);

  mlir::Value splat(mlir::Value scalar, int64_t lanes);
  /// A constant of `type` (a float, integer or index type, or a vector of one).
  mlir::Value floatConstant(mlir::Type type, double value);
  mlir::Value intConstant(mlir::Type type, int64_t value);
  /// An f32 constant given by its bits.
  mlir::Value f32Bits(mlir::Type type, uint32_t bits);

  void loop(mlir::Value from, mlir::Value to, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  void loop(int64_t from, int64_t to, int64_t step, llvm::function_ref<void(mlir::Value)> body) {
    loop(constant(from), constant(to), step, body);
  }
  ValueList loop(mlir::Value from, mlir::Value to, int64_t step, mlir::ValueRange inits,
                 llvm::function_ref<ValueList(mlir::Value, mlir::ValueRange)> body);
  /// for i in [0, count): in parallel if `parallel`, which costs about 2 us per loop.
  void parallelLoop(int64_t count, bool parallel, llvm::function_ref<void(mlir::Value)> body);
  /// Stores past the caches are seen by other threads in no order: a fence comes after them, at the
  /// end of a thread's share of a parallel loop and of the kernel.
  void noteStreamedStore() { fenceNeeded = true; }
  void fenceStreamedStores();
  enum class Cache { First, Second };
  /// Fetches the line of element `at` of `memref` to the first cache, or only to the second.
  void prefetch(mlir::Value memref, mlir::Value at, Cache cache = Cache::First,
                bool isWrite = false);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  mlir::Value lessThan(mlir::Value a, mlir::Value b);

  /// Typed window on a buffer of bytes.
  mlir::Value view(mlir::Value bytes, mlir::Value byteOffset, int64_t elements, mlir::Type element);

 private:
  bool fenceNeeded = false;
};

/// Whether the index `value` is certainly a multiple of `factor`.
bool isMultipleOf(mlir::Value value, int64_t factor);

/// The type that elements of `type` have in memory: i1 takes a byte, and bf16 moves as i16 (LLVM
/// would convert the lanes one by one where a CPU has no bf16).
mlir::Type storageType(mlir::Type type);
/// Bytes of one element of `type` in memory.
int64_t storageBytes(mlir::Type type);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_KERNEL_BUILDER_H_
