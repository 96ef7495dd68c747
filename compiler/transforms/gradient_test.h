// What tests of gradients share: an objective as text, its gradients against central differences in
// f64 on the interpreter of evaluator.h, and the halves that weir-partition makes against the
// whole.

#ifndef WEIR_COMPILER_TRANSFORMS_GRADIENT_TEST_H_
#define WEIR_COMPILER_TRANSFORMS_GRADIENT_TEST_H_

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/upstream_vjp.h"
#include "compiler/transforms/evaluator.h"
#include "gtest/gtest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/transforms/decompose_pass.h"
#include "compiler/transforms/differentiate_pass.h"
#include "compiler/transforms/partition_pass.h"

namespace weir {

using namespace mlir;  // NOLINT: tests only (style: allow)

class GradientTest : public ::testing::Test {
 protected:
  GradientTest() {
    DialectRegistry registry;
    registry.insert<WeirDialect, arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                    math::MathDialect, tensor::TensorDialect>();
    registerUpstreamVjpModels(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  OwningOpRef<ModuleOp> parse(const std::string& text) {
    return parseSourceString<ModuleOp>(text, &context);
  }

  HostTensor random(Type type, double low, double high) {
    auto shaped = dyn_cast<ShapedType>(type);
    HostTensor result = HostTensor::zeros(shaped ? shaped.getShape() : ArrayRef<int64_t>());
    std::uniform_real_distribution<double> uniform(low, high);
    for (double& value : result.data) value = uniform(generator);
    return result;
  }

  /// Differentiates @f of `text` and compares every gradient with central differences of its first
  /// result. The function's arguments are drawn from [low, high].
  void check(const std::string& text, double low = -1.0, double high = 1.0) {
    OwningOpRef<ModuleOp> original = parse(text), joint = parse(text);
    ASSERT_TRUE(original);
    PassManager decompose(&context);
    decompose.addNestedPass<func::FuncOp>(createDecompose());
    ASSERT_TRUE(succeeded(decompose.run(*original)));
    PassManager passes(&context);
    passes.addNestedPass<func::FuncOp>(createDifferentiate());
    ASSERT_TRUE(succeeded(passes.run(*joint)));
    auto f = *original->getOps<func::FuncOp>().begin();
    auto g = *joint->getOps<func::FuncOp>().begin();
    std::vector<HostTensor> arguments;
    for (Type type : f.getArgumentTypes()) arguments.push_back(random(type, low, high));
    // The evaluator knows few ops: both are decomposed, the joint function in a copy.
    OwningOpRef<ModuleOp> simple = joint->clone();
    ASSERT_TRUE(succeeded(decompose.run(*simple)));
    auto results = Evaluator().run(*simple->getOps<func::FuncOp>().begin(), arguments);
    ASSERT_TRUE(succeeded(results));
    unsigned compared = 0;
    for (unsigned r = f.getNumResults(); r < g.getNumResults(); ++r) {
      auto name = g.getResultAttrOfType<StringAttr>(r, "weir.gradient");
      ASSERT_TRUE(name);
      unsigned a = 0;
      while (f.getArgAttrOfType<StringAttr>(a, "weir.param") != name) ++a;
      for (size_t i = 0; i < arguments[a].data.size(); ++i) {
        double value = arguments[a].data[i], step = 1e-5;
        arguments[a].data[i] = value + step;
        double above = (*Evaluator().run(f, arguments))[0].data[0];
        arguments[a].data[i] = value - step;
        double below = (*Evaluator().run(f, arguments))[0].data[0];
        arguments[a].data[i] = value;
        double expected = (above - below) / (2.0 * step);
        EXPECT_NEAR((*results)[r].data[i], expected, 1e-7 * std::max(1.0, std::fabs(expected)))
            << "gradient of " << name.str() << " at element " << i;
        ++compared;
      }
    }
    EXPECT_GT(compared, 0u);
    checkPartition(*joint, f, arguments, *results);
  }

  /// The two functions after weir-partition compute what the joint one does.
  void checkPartition(ModuleOp joint, func::FuncOp f, ArrayRef<HostTensor> arguments,
                      const std::vector<HostTensor>& expected) {
    for (const char* recompute : {"none", "cheap"}) {
      OwningOpRef<ModuleOp> copy = joint.clone();
      PassManager passes(&context);
      PartitionOptions options;
      options.recompute = recompute;
      passes.addPass(createPartition(options));
      passes.addNestedPass<func::FuncOp>(createDecompose());
      ASSERT_TRUE(succeeded(passes.run(*copy)));
      auto forward = copy->lookupSymbol<func::FuncOp>("f_forward");
      auto backward = copy->lookupSymbol<func::FuncOp>("f_backward");
      ASSERT_TRUE(forward && backward);
      auto outputs = Evaluator().run(forward, arguments);
      ASSERT_TRUE(succeeded(outputs));
      std::vector<HostTensor> residuals;
      for (unsigned i = 0; i < backward.getNumArguments(); ++i) {
        if (auto index = backward.getArgAttrOfType<IntegerAttr>(i, "weir.residual")) {
          for (unsigned r = 0; r < forward.getNumResults(); ++r)
            if (forward.getResultAttr(r, "weir.residual") == index)
              residuals.push_back((*outputs)[r]);
        } else {
          for (unsigned a = 0; a < f.getNumArguments(); ++a)
            if (f.getArgAttr(a, "weir.param") == backward.getArgAttr(i, "weir.param"))
              residuals.push_back(arguments[a]);
        }
      }
      ASSERT_EQ(residuals.size(), backward.getNumArguments());
      auto gradients = Evaluator().run(backward, residuals);
      ASSERT_TRUE(succeeded(gradients));
      ASSERT_EQ(gradients->size() + f.getNumResults(), expected.size());
      EXPECT_EQ((*outputs)[0].data, expected[0].data);
      for (size_t i = 0; i < gradients->size(); ++i)
        EXPECT_EQ((*gradients)[i].data, expected[f.getNumResults() + i].data);
    }
  }

  /// A function of parameters %x : X and %w : W whose loss is the sum of sin of the result %y : Y
  /// of `body`.
  std::string function(const std::string& x, const std::string& w, const std::string& y,
                       const std::string& body) {
    int64_t rank = std::count(y.begin(), y.end(), 'x');
    std::string dims, iterators;
    for (int64_t i = 0; i < rank; ++i) {
      dims += (i ? ", d" : "d") + std::to_string(i);
      iterators += i ? ", \"reduction\"" : "\"reduction\"";
    }
    std::string map = "(" + dims + ") -> ";
    return "func.func @f(%x: " + x + " {weir.param = \"x\"}, %w: " + w +
           " {weir.param = \"w\"}) -> (tensor<f64> {weir.output = \"loss\"}) {\n%zero = "
           "arith.constant 0.0 : f64\n" +
           body +
           "%e0 = tensor.empty() : tensor<f64>\n%z0 = linalg.fill ins(%zero : f64) outs(%e0 : "
           "tensor<f64>) -> tensor<f64>\n"
           "%loss = linalg.generic {indexing_maps = [affine_map<" +
           map + "(" + dims + ")>, affine_map<" + map + "()>], iterator_types = [" + iterators +
           "]} ins(%y : " + y +
           ") outs(%z0 : tensor<f64>) {\n^bb0(%element: f64, %total: f64):\n%sine = math.sin "
           "%element : f64\n%next = "
           "arith.addf %total, %sine : f64\n"
           "linalg.yield %next : f64\n} -> tensor<f64>\nreturn %loss : tensor<f64>\n}";
  }

  MLIRContext context;
  std::mt19937 generator{7};
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_GRADIENT_TEST_H_
