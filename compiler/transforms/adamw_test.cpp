// The optimizer's function against torch.optim.AdamW and torch.nn.utils.clip_grad_norm_, written
// out here in f64.

#include "compiler/transforms/adamw.h"

#include <cmath>

#include "compiler/dialect/dialect.h"
#include "compiler/transforms/evaluator.h"
#include "gtest/gtest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

namespace weir {
namespace {

using namespace mlir;

class AdamWTest : public ::testing::Test {
 protected:
  AdamWTest() {
    context.loadDialect<WeirDialect, arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                        math::MathDialect, tensor::TensorDialect>();
  }

  /// Runs `steps` steps on "w" (3 elements) and "n.bias" (2), with gradients that depend on the
  /// parameters, beside the reference; `lrAt` is the learning rate expected at each step.
  void check(const AdamWSettings& settings, int steps, const std::function<double(int)>& lrAt) {
    ASSERT_EQ(findProblem(settings), "");
    OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
    auto type = [&](int64_t n) { return RankedTensorType::get({n}, Float64Type::get(&context)); };
    func::FuncOp func =
        buildAdamW(*module, "optimizer", {{"w", type(3)}, {"n.bias", type(2)}}, settings);
    ASSERT_TRUE(succeeded(verify(*module)));
    std::vector<HostTensor> p = {{{3}, {0.5, -1.0, 2.0}}, {{2}, {0.25, -0.125}}};
    std::vector<HostTensor> m = {HostTensor::zeros({3}), HostTensor::zeros({2})}, v = m;
    HostTensor rng = {{2}, {11.0, 0.0}};
    std::vector<HostTensor> rp = p, rm = m, rv = v;
    for (int s = 0; s < steps; ++s) {
      std::vector<HostTensor> g = p;
      for (HostTensor& tensor : g)
        for (double& value : tensor.data)
          value = settings.accumulate * (std::sin(3.0 * value) + 0.3 * s);
      auto results =
          Evaluator().run(func, {g[0], g[1], p[0], p[1], m[0], m[1], v[0], v[1], rng, {{}, {1.5}}});
      ASSERT_TRUE(succeeded(results));
      auto& r = *results;
      p = {r[0], r[1]}, m = {r[2], r[3]}, v = {r[4], r[5]}, rng = r[6];
      EXPECT_EQ(rng.data, (std::vector<double>{11.0, s + 1.0}));
      EXPECT_NEAR(r[8].data[0], lrAt(s), 1e-15);
      EXPECT_EQ(r[9].data[0], 1.0);

      double squares = 0.0;
      for (HostTensor& tensor : g) {
        for (double& value : tensor.data) {
          value /= settings.accumulate;
          squares += value * value;
        }
      }
      EXPECT_NEAR(r[7].data[0], std::sqrt(squares), 1e-12);
      for (int i = 0; i < 2; ++i) {
        double own = 0.0;
        for (double value : g[i].data) own += value * value;
        double norm = std::sqrt(settings.clipsEachParameter ? own : squares);
        double clip = settings.clip ? std::min(1.0, *settings.clip / (norm + 1e-6)) : 1.0;
        double decay = i == 1 ? 0.0 : settings.weightDecay,
               lr = lrAt(s) * (i == 1 ? biasScale : 1.0);
        for (size_t k = 0; k < g[i].data.size(); ++k) {
          double gradient = g[i].data[k] * clip;
          double &rpk = rp[i].data[k], &rmk = rm[i].data[k], &rvk = rv[i].data[k];
          rpk *= 1.0 - lr * decay;
          rmk += (gradient - rmk) * (1.0 - settings.beta1);
          rvk = rvk * settings.beta2 + (1.0 - settings.beta2) * gradient * gradient;
          double correction1 = 1.0 - std::pow(settings.beta1, s + 1);
          double correction2 = 1.0 - std::pow(settings.beta2, s + 1);
          double denominator = std::sqrt(rvk) / std::sqrt(correction2) + settings.eps;
          rpk -= lr / correction1 * rmk / denominator;
          EXPECT_NEAR(p[i].data[k], rpk, 1e-12);
          EXPECT_NEAR(m[i].data[k], rmk, 1e-12);
          EXPECT_NEAR(v[i].data[k], rvk, 1e-12);
        }
      }
    }
  }

  MLIRContext context;
  double biasScale = 1.0;
  AdamWSettings settings = [] {
    AdamWSettings result;
    result.lr = 0.01;
    result.weightDecay = 0.1;
    result.noDecay = {"*.bias"};
    return result;
  }();
};

TEST_F(AdamWTest, Constant) {
  check(settings, 4, [](int) { return 0.01; });
}

TEST_F(AdamWTest, LinearWithGlobalClipAndGroups) {
  settings.schedule = "linear";
  settings.warmup = 2;
  settings.steps = 6;
  settings.finalScale = 0.1;
  settings.clip = 0.5;
  settings.groups.push_back({{"n.*"}, 0.5, std::nullopt});
  biasScale = 0.5;
  check(settings, 8, [](int s) {
    double rates[] = {0.005, 0.01, 0.01, 0.00775, 0.0055, 0.00325, 0.001, 0.001};
    return rates[s];
  });
}

TEST_F(AdamWTest, CosineWithLocalClipAndAccumulation) {
  settings.schedule = "cosine";
  settings.steps = 4;
  settings.clip = 0.5;
  settings.clipsEachParameter = true;
  settings.accumulate = 3;
  check(settings, 5, [](int s) { return 0.01 * 0.5 * (1.0 + std::cos(M_PI * s / 4.0)); });
}

TEST_F(AdamWTest, AccumulationWithoutClip) {
  settings.accumulate = 2;
  check(settings, 3, [](int) { return 0.01; });
}

TEST_F(AdamWTest, ChangesNothingWhereSomethingIsNotFinite) {
  settings.clip = 0.5;
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  auto type = RankedTensorType::get({2}, Float64Type::get(&context));
  func::FuncOp func = buildAdamW(*module, "optimizer", {{"w", type}}, settings);
  ASSERT_TRUE(succeeded(verify(*module)));
  auto run = [&](double gradient, double loss) {
    return *Evaluator().run(func, {{{2}, {0.5, gradient}},
                                   {{2}, {1.0, 2.0}},
                                   {{2}, {0.1, 0.2}},
                                   {{2}, {0.3, 0.4}},
                                   {{2}, {11.0, 5.0}},
                                   {{}, {loss}}});
  };
  EXPECT_NE(run(0.5, 0.5)[0].data, (std::vector<double>{1.0, 2.0}));
  for (auto [gradient, loss] : std::vector<std::pair<double, double>>{
           {std::nan(""), 0.5}, {INFINITY, 0.5}, {0.5, std::nan("")}, {0.5, -INFINITY}}) {
    std::vector<HostTensor> results = run(gradient, loss);
    EXPECT_EQ(results[0].data, (std::vector<double>{1.0, 2.0}));
    EXPECT_EQ(results[1].data, (std::vector<double>{0.1, 0.2}));
    EXPECT_EQ(results[2].data, (std::vector<double>{0.3, 0.4}));
    EXPECT_EQ(results[3].data, (std::vector<double>{11.0, 5.0}));
    EXPECT_EQ(results[6].data[0], 0.0);
  }
}

TEST_F(AdamWTest, ReadsAnExperiment) {
  auto module = parseSourceString<ModuleOp>(R"(
    weir.model @m(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> { weir.return %x : tensor<?x?x8xf32> }
    weir.experiment @e model(@m) {
      weir.task "copy" {batch = 4}
      weir.optimizer "adamw" {lr = 2.0e-3, betas = [0.8, 0.95], eps = 1.0e-6, no_decay = ["*.bias"]} {
        weir.group ["tok.*"] {lr_scale = 0.5}
      }
      weir.schedule "linear" {warmup = 10}
      weir.train {steps = 100, clip = 0.1, clip_kind = "local", accumulate = 2}
    })",
                                            &context);
  ASSERT_TRUE(module);
  auto read = readAdamWSettings(*module->getOps<ExperimentOp>().begin());
  ASSERT_TRUE(succeeded(read));
  EXPECT_EQ(read->lr, 2.0e-3);
  EXPECT_EQ(read->beta1, 0.8);
  EXPECT_EQ(read->beta2, 0.95);
  EXPECT_EQ(read->eps, 1.0e-6);
  EXPECT_EQ(read->weightDecay, 0.01);
  EXPECT_EQ(read->noDecay, (std::vector<std::string>{"*.bias"}));
  ASSERT_EQ(read->groups.size(), 1u);
  EXPECT_EQ(read->groups[0].lrScale, 0.5);
  EXPECT_EQ(read->schedule, "linear");
  EXPECT_EQ(read->warmup, 10);
  EXPECT_EQ(read->steps, 100);
  EXPECT_EQ(read->clip, 0.1);
  EXPECT_TRUE(read->clipsEachParameter);
  EXPECT_EQ(read->accumulate, 2);
}

TEST_F(AdamWTest, NamesProblems) {
  settings.warmup = -1;
  EXPECT_EQ(findProblem(settings), "warmup must not be negative");
  settings.warmup = 0;
  settings.schedule = "square";
  EXPECT_NE(findProblem(settings), "");
}

}  // namespace
}  // namespace weir
