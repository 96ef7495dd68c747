// Kernels that sweep over many tensors, against a kernel for each of them.

#include <cstring>

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class SweepTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, SweepTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// A tensor of rows x columns, its new value written over the old one; some have a result in bf16.
struct Parameter {
  int64_t rows, columns;
  bool rounded = false;
  int64_t stride = 0;  // of the rows of its gradient; 0: dense

  int64_t size() const { return rows * columns; }
  int64_t gradientStride() const { return stride ? stride : columns; }
};

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string type(const Parameter& p, const char* element) {
  return "tensor<" + std::to_string(p.rows) + "x" + std::to_string(p.columns) + "x" + element + ">";
}

/// (step, gradients, parameters) -> (parameters, values in bf16).
std::string updates(const std::vector<Parameter>& parameters, bool sweeps) {
  std::vector<std::string> arguments{"%s: tensor<f32>"}, results, returned, returnedTypes;
  std::string body;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    std::string n = std::to_string(i), f32 = type(p, "f32"), bf16 = type(p, "bf16");
    std::string strides =
        "{weir.strides = array<i64: " + std::to_string(p.gradientStride()) + ", 1>}";
    arguments.push_back("%g" + n + ": " + f32 + " " + strides);
    arguments.push_back("%p" + n + ": " + f32);
    results.push_back(f32 + " {weir.tied = " + std::to_string(2 + 2 * i) + " : i64}");
    if (p.rounded) results.push_back(bf16);
    std::string outs =
        p.rounded ? "%e" + n + ", %h" + n + " : " + f32 + ", " + bf16 : "%e" + n + " : " + f32;
    body += "  %e" + n + " = tensor.empty() : " + f32 + "\n";
    if (p.rounded) body += "  %h" + n + " = tensor.empty() : " + bf16 + "\n";
    body +=
        "  %r" + n + (p.rounded ? ":2" : "") +
        " = linalg.generic {indexing_maps = [#id, #id, #scalar, #id" + (p.rounded ? ", #id" : "") +
        "], iterator_types = [\"parallel\", \"parallel\"]} ins(%g" + n + ", %p" + n +
        ", %s : " + f32 + ", " + f32 + ", tensor<f32>) outs(" + outs + ")" +
        (sweeps ? " attrs = {weir.sweep = 0 : i64}" : "") +
        " {\n  ^bb0(%g: f32, %p: f32, %a: f32, %o: f32" + (p.rounded ? ", %o2: bf16" : "") + R"():
    %q = math.sqrt %p : f32
    %d = arith.divf %g, %q : f32
    %m = arith.mulf %a, %d : f32
    %n = arith.addf %p, %m : f32
)" +
        (p.rounded ? "    %t = arith.truncf %n : f32 to bf16\n    linalg.yield %n, %t : f32, bf16\n"
                   : "    linalg.yield %n : f32\n") +
        "  } -> " + (p.rounded ? "(" + f32 + ", " + bf16 + ")" : f32) + "\n";
    returned.push_back("%r" + n + (p.rounded ? "#0" : ""));
    returnedTypes.push_back(f32);
    if (!p.rounded) continue;
    returned.push_back("%r" + n + "#1");
    returnedTypes.push_back(bf16);
  }
  return "#id = affine_map<(i, j) -> (i, j)>\n#scalar = affine_map<(i, j) -> ()>\nfunc.func @k(" +
         join(arguments) + ") -> (" + join(results) +
         ") attributes {weir.kernel, weir.row_rank = " + (sweeps ? "0" : "2") + " : i64} {\n" +
         body + "  return " + join(returned) + " : " + join(returnedTypes) + "\n}\n";
}

struct Values {
  float step = 0.125;
  std::vector<std::vector<float>> gradients, values;
  std::vector<std::vector<uint16_t>> rounded;

  explicit Values(const std::vector<Parameter>& parameters) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& p = parameters[i];
      gradients.push_back(randomValues(p.rows * p.gradientStride(), 2 * i + 1));
      values.push_back(randomValues(p.size(), 2 * i + 2));
      for (float& value : values.back()) value = 1 + value * value;
      rounded.emplace_back(p.rounded ? p.size() : 0, uint16_t{0xffff});
    }
  }

  /// The buffers of a kernel of parameters [from, to).
  std::vector<void*> buffers(size_t from, size_t to) {
    std::vector<void*> all{&step};
    for (size_t i = from; i < to; ++i)
      all.insert(all.end(), {gradients[i].data(), values[i].data()});
    for (size_t i = from; i < to; ++i) {
      all.push_back(values[i].data());
      if (!rounded[i].empty()) all.push_back(rounded[i].data());
    }
    return all;
  }
};

TEST_P(SweepTest, UpdatesAreThoseOfKernelsOfTheirOwn) {
  std::vector<Parameter> many;
  for (int64_t i = 1; i < 40; ++i) many.push_back({i % 7 + 1, 13 * i, i % 3 == 0});
  std::vector<std::vector<Parameter>> cases{
      {{1, 1}},
      {{1, 1, true}, {7, 1}, {1, 63}, {1, 64}, {1, 65, true}, {3, 171}},
      {{317, 331, true}, {1, 331}, {1031, 97, true}, {97, 1}, {1, 2, true}},
      {{5, 11, true, 16}, {64, 1031, true}, {129, 65, false, 70}, {3, 3}},
      {{4, 6, true, 7}},
      many};
  for (const std::vector<Parameter>& parameters : cases) {
    auto sweep = LoadedKernel::create(updates(parameters, true), GetParam());
    ASSERT_TRUE(sweep);
    Values expected(parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      auto own = LoadedKernel::create(updates({parameters[i]}, false), GetParam());
      ASSERT_TRUE(own);
      own->run(expected.buffers(i, i + 1));
    }
    for (int threads : {1, 2, 3}) {
      Values actual(parameters);
      sweep->run(actual.buffers(0, parameters.size()), threads);
      EXPECT_EQ(actual.values, expected.values);
      EXPECT_EQ(actual.rounded, expected.rounded);
    }
  }
}

TEST_P(SweepTest, SumsOfSquares) {
  std::vector<std::vector<int64_t>> cases{{1}, {1, 2, 63, 64, 65, 1031}, {300007, 5, 65537, 1}};
  for (const std::vector<int64_t>& sizes : cases) {
    std::vector<std::string> arguments, results, returned;
    std::string body =
        "  %z = arith.constant 0.0 : f32\n  %e = tensor.empty() : tensor<f32>\n"
        "  %f = linalg.fill ins(%z : f32) outs(%e : tensor<f32>) -> tensor<f32>\n";
    for (size_t i = 0; i < sizes.size(); ++i) {
      std::string n = std::to_string(i), type = "tensor<" + std::to_string(sizes[i]) + "xf32>";
      arguments.push_back("%x" + n + ": " + type);
      results.emplace_back("tensor<f32>");
      returned.push_back("%r" + n);
      body += "  %r" + n +
              R"( = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
      iterator_types = ["reduction"]} ins(%x)" +
              n + " : " + type +
              R"() outs(%f : tensor<f32>) attrs = {weir.sweep = 0 : i64} {
  ^bb0(%a: f32, %o: f32):
    %q = arith.mulf %a, %a : f32
    %s = arith.addf %o, %q : f32
    linalg.yield %s : f32
  } -> tensor<f32>
)";
    }
    auto kernel =
        LoadedKernel::create("func.func @k(" + join(arguments) + ") -> (" + join(results) +
                                 ") attributes {weir.kernel, weir.row_rank = 0 : i64} {\n" + body +
                                 "  return " + join(returned) + " : " + join(results) + "\n}\n",
                             GetParam());
    ASSERT_TRUE(kernel);
    std::vector<std::vector<float>> inputs;
    for (int64_t size : sizes) inputs.push_back(randomValues(size, size));
    auto run = [&](int threads) {
      std::vector<float> sums(sizes.size(), NAN);
      std::vector<void*> buffers;
      for (auto& input : inputs) buffers.push_back(input.data());
      for (float& sum : sums) buffers.push_back(&sum);
      kernel->run(buffers, threads);
      return sums;
    };
    std::vector<float> sums = run(1);
    for (size_t i = 0; i < sizes.size(); ++i) {
      double expected = 0;
      for (float value : inputs[i]) expected += double(value) * value;
      EXPECT_NEAR(sums[i] / expected, 1, 1e-6) << sizes[i];
    }
    EXPECT_EQ(sums, run(2));
    EXPECT_EQ(sums, run(3));
  }
}

}  // namespace
}  // namespace weir
