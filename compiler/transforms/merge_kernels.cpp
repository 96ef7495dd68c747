// Merges kernels that do the same work.
//
// Equality is that of the printed generic form with names, locations and the values of i64
// constants left out. Where the members of a class disagree on a constant, it becomes an argument
// and each launch passes its own.

#include "llvm/ADT/MapVector.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Threading.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/transforms/merge_kernels_pass.h"

namespace weir {

#define GEN_PASS_DEF_MERGEKERNELS
#include "compiler/transforms/merge_kernels_pass.h.inc"

using namespace mlir;

namespace {

struct Kernel {
  func::FuncOp function;
  /// The i64 constants in the order of a walk, and what they are.
  SmallVector<arith::ConstantOp> constants;
  SmallVector<int64_t> values;
};

Kernel describe(func::FuncOp function) {
  Kernel kernel{function, {}, {}};
  function.walk([&](arith::ConstantOp constant) {
    if (!constant.getType().isInteger(64)) return;
    kernel.constants.push_back(constant);
    kernel.values.push_back(cast<IntegerAttr>(constant.getValue()).getInt());
  });
  return kernel;
}

/// What equal kernels have in common.
std::string keyOf(Kernel& kernel) {
  auto setConstants = [&](function_ref<int64_t(size_t)> value) {
    for (auto [i, constant] : llvm::enumerate(kernel.constants)) {
      constant.setValueAttr(IntegerAttr::get(constant.getType(), value(i)));
    }
  };
  setConstants([](size_t) { return 0; });
  StringAttr name = kernel.function.getSymNameAttr();
  kernel.function.setSymName("kernel");
  std::string key;
  llvm::raw_string_ostream os(key);
  kernel.function->print(
      os, OpPrintingFlags().printGenericOpForm().useLocalScope().enableDebugInfo(false));
  kernel.function.setSymNameAttr(name);
  setConstants([&](size_t i) { return kernel.values[i]; });
  return key;
}

struct MergeKernels : impl::MergeKernelsBase<MergeKernels> {
  using MergeKernelsBase::MergeKernelsBase;

  void runOnOperation() override {
    SmallVector<Kernel> kernels;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kKernelAttr)) kernels.push_back(describe(function));
    std::vector<std::string> keys(kernels.size());
    parallelFor(&getContext(), 0, kernels.size(), [&](size_t i) { keys[i] = keyOf(kernels[i]); });
    llvm::MapVector<StringRef, SmallVector<Kernel>> classes;
    for (auto [key, kernel] : llvm::zip(keys, kernels)) classes[key].push_back(kernel);
    DenseMap<StringAttr, SmallVector<LaunchOp>> launches;
    getOperation().walk(
        [&](LaunchOp launch) { launches[launch.getKernelAttr().getAttr()].push_back(launch); });

    for (auto& [key, members] : classes) {
      if (members.size() > 1) merge(members, launches);
    }
  }

 private:
  static void merge(SmallVectorImpl<Kernel>& members,
                    DenseMap<StringAttr, SmallVector<LaunchOp>>& launches) {
    Kernel& kept = members.front();
    SmallVector<size_t> different;
    for (size_t i = 0; i < kept.values.size(); ++i) {
      if (llvm::any_of(members, [&](Kernel& other) { return other.values[i] != kept.values[i]; })) {
        different.push_back(i);
      }
    }
    for (size_t i : different) {
      arith::ConstantOp constant = kept.constants[i];
      unsigned number = kept.function.getNumArguments();
      (void)kept.function.insertArgument(number, constant.getType(), {}, constant.getLoc());
      constant.replaceAllUsesWith(kept.function.getArgument(number));
      constant.erase();
    }
    for (Kernel& member : members) {
      for (LaunchOp launch : launches[member.function.getSymNameAttr()]) {
        OpBuilder b(launch);
        for (size_t i : different) {
          Value value =
              arith::ConstantOp::create(b, launch.getLoc(), b.getI64IntegerAttr(member.values[i]));
          launch.getOperandsMutable().append(value);
        }
        launch.setKernelAttr(FlatSymbolRefAttr::get(kept.function.getSymNameAttr()));
      }
      if (member.function != kept.function) member.function.erase();
    }
  }
};

}  // namespace
}  // namespace weir
