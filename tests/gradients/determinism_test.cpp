// Sums over many rows give the same bits whatever the number of threads, and long scans stay exact.

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

/// The gradient of a projection's weight is a product of in x tokens x out.
Model projection(int64_t in, int64_t tokens, int64_t out) {
  std::string sizes = std::to_string(in), outs = std::to_string(out);
  Model model;
  model.text = "weir.model @m(%x: tensor<?x?x" + sizes + "xf32>) -> tensor<?x?x?xf32> {\n" +
               "  %y = weir.linear %x, \"l\" [" + outs + "] bias : tensor<?x?x" + sizes +
               "xf32> -> tensor<?x?x?xf32>\n  weir.return %y : tensor<?x?x?xf32>\n}\n";
  model.shapes["x"] = {1, tokens, in};
  return model;
}

void expectSameForAllThreads(const Model& model, Type type) {
  Compiled compiled(model, type);
  ASSERT_TRUE(compiled.ok());
  Tensors values = compiled.draw(model);
  Tensors one = Runner(compiled.program(), 1).run("gradients", values);
  for (int threads : {2, 3}) {
    Tensors many = Runner(compiled.program(), threads).run("gradients", values);
    for (const auto& [name, tensor] : one)
      EXPECT_TRUE(tensor.bytes() == many.at(name).bytes()) << name << ", " << threads << " threads";
  }
  // And they are right.
  Compiled exact(model, Type::F64);
  ASSERT_TRUE(exact.ok());
  Tensors reference = Runner(exact.program(), 2).run("gradients", values);
  for (const auto& [name, tensor] : one) {
    double error = Difference(tensor, reference.at(name));
    std::cout << "  " << name << ": " << error << "\n";
    EXPECT_LE(error, 2e-6) << name;
  }
}

TEST(Determinism, WeightGradientOf64x16384x64) {
  expectSameForAllThreads(projection(64, 16384, 64), Type::F32);
}

TEST(Determinism, WeightGradientOf100x5000x37) {
  expectSameForAllThreads(projection(100, 5000, 37), Type::F32);
}

Model longScan(bool isRandom) {
  constexpr int64_t kTime = 65536, kFeatures = 8;
  Model model;
  model.text = R"mlir(
!seq = tensor<?x?x8xf32>
weir.model @m(%a: !seq, %b: !seq, %h0: tensor<?x8xf32>) -> (!seq, tensor<?x8xf32>) {
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, tensor<?x8xf32>) -> (!seq, tensor<?x8xf32>)
  weir.return %h, %last : !seq, tensor<?x8xf32>
})mlir";
  model.shapes = {
      {"a", {1, kTime, kFeatures}}, {"b", {1, kTime, kFeatures}}, {"h0", {1, kFeatures}}};
  if (!isRandom) {
    model.values = {{"a", {1}}, {"b", {0.1}}, {"h0", {0.3}}, {"cotangent", {0.1}}};
  } else {
    // Decays from 0.5 to 1 - 1e-6, one of each feature's own size.
    std::vector<double>& decays = model.values["a"];
    for (int64_t t = 0; t < 101; ++t)
      for (int64_t i = 0; i < kFeatures; ++i)
        decays.push_back(1 - std::pow(10, -0.301 - 0.8 * i) * (0.6 + 0.4 * std::sin(1.7 * t + i)));
  }
  return model;
}

/// Forward against a plain loop in f64, backward against the program in f64.
void expectExactScan(const Model& model) {
  Compiled single(model, Type::F32), exact(model, Type::F64);
  ASSERT_TRUE(single.ok() && exact.ok());
  Tensors values = single.draw(model);
  Tensors results = Runner(single.program(), 2).run("gradients", values);
  Tensors reference = Runner(exact.program(), 2).run("gradients", values);
  const runtime::HostTensor &a = values.at("a"), &b = values.at("b");
  double error = 0, largest = 0, errorExact = 0;
  for (int64_t i = 0; i < 8; ++i) {
    double h = values.at("h0").Number(i);
    for (int64_t t = 0; t < a.spec().shape[1]; ++t) {
      h = a.Number(8 * t + i) * h + b.Number(8 * t + i);
      largest = std::max(largest, std::abs(h));
      error = std::max(error, std::abs(results.at("output").Number(8 * t + i) - h));
      errorExact = std::max(errorExact, std::abs(reference.at("output").Number(8 * t + i) - h));
    }
  }
  EXPECT_LE(error / largest, 1e-5);
  EXPECT_LE(errorExact / largest, 1e-12);
  std::cout << "  forward, against a loop: " << error / largest << "\n";
  for (const auto& [name, tensor] : results) {
    double difference = Difference(tensor, reference.at(name));
    std::cout << "  " << name << ": " << difference << "\n";
    EXPECT_LE(difference, 1e-5) << name;
  }
}

TEST(LongScan, RandomDecays) { expectExactScan(longScan(true)); }
TEST(LongScan, NoDecayAndConstantInput) { expectExactScan(longScan(false)); }

}  // namespace
}  // namespace weir::gradients
