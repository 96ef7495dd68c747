// Recurrences against plain loops.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class RecurrenceTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, RecurrenceTest, testing::Values(IsaLevel::Avx2, IsaLevel::Avx512));

// h' = tanh(h U + x), count' = count + h'; y = h' * count'.
TEST_P(RecurrenceTest, StepWithProductAndTwoStates) {
  const char* text = R"(
func.func @k(%x: tensor<$Bx$Tx$Df32>, %h0: tensor<$Bx$Df32>, %c0: tensor<$Bx$Df32>, %u: tensor<$Dx$Df32>, %ids: tensor<$Bx$Ti32>) -> (tensor<$Bx$Tx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %zero = arith.constant 0.0 : f32
  %y:3 = weir.recurrence (%xt = %x : tensor<$Bx$Tx$Df32>) from (%h = %h0 : tensor<$Bx$Df32>, %c = %c0 : tensor<$Bx$Df32>) using (%w = %u : tensor<$Dx$Df32>) $S $R {
    %e = tensor.empty() : tensor<$Bx$Df32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Bx$Df32>) -> tensor<$Bx$Df32>
    %p = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
        iterator_types = ["parallel", "parallel", "reduction"]} ins(%h, %w : tensor<$Bx$Df32>, tensor<$Dx$Df32>) outs(%f : tensor<$Bx$Df32>) {
    ^bb0(%q1: f32, %q2: f32, %q3: f32):
      %m = arith.mulf %q1, %q2 : f32
      %s = arith.addf %q3, %m : f32
      linalg.yield %s : f32
    } -> tensor<$Bx$Df32>
    %n:3 = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
        iterator_types = ["parallel", "parallel"]} ins(%p, %xt, %c : tensor<$Bx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>) outs(%e, %e, %e : tensor<$Bx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>) {
    ^bb0(%q1: f32, %q2: f32, %q3: f32, %o1: f32, %o2: f32, %o3: f32):
      %s = arith.addf %q1, %q2 : f32
      %t = math.tanh %s : f32
      %d = arith.addf %q3, %t : f32
      %o = arith.mulf %t, %d : f32
      linalg.yield %t, %d, %o : f32, f32, f32
    } -> (tensor<$Bx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>)
    weir.yield %n#2, %n#0, %n#1 : tensor<$Bx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>
  } -> tensor<$Bx$Tx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>
  return %y#0, %y#1, %y#2 : tensor<$Bx$Tx$Df32>, tensor<$Bx$Df32>, tensor<$Bx$Df32>
})";
  for (auto [batch, time, width] :
       {std::array<int64_t, 3>{1, 1, 1}, {2, 3, 5}, {16, 9, 40}, {33, 6, 64}})
    for (bool reverse : {false, true})
      for (bool segmented : {false, true}) {
        std::string source = text;
        auto replace = [&](const std::string& key, const std::string& value) {
          for (size_t at = 0; (at = source.find(key, at)) != std::string::npos;)
            source.replace(at, key.size(), value);
        };
        replace("$S", segmented ? "segments(%ids : tensor<$Bx$Ti32>)" : "");
        replace("$R", reverse ? "reverse" : "");
        replace("$Bx", std::to_string(batch) + "x");
        replace("$Tx", std::to_string(time) + "x");
        replace("$Ti32", std::to_string(time) + "xi32");
        replace("$Dx", std::to_string(width) + "x");
        replace("$Df32", std::to_string(width) + "xf32");
        auto kernel = LoadedKernel::create(source, GetParam());
        ASSERT_TRUE(kernel);
        int64_t size = batch * time * width;
        auto x = randomValues(size, 1), h0 = randomValues(batch * width, 2),
             c0 = randomValues(batch * width, 3), u = randomValues(width * width, 4, 0.3);
        std::vector<int32_t> ids(batch * time);
        for (int64_t i = 0; i < batch * time; ++i) ids[i] = (i * 5 / 7) % 3;
        std::vector<double> y(size), h(h0.begin(), h0.end()), c(c0.begin(), c0.end());
        for (int64_t s = 0; s < time; ++s)
          for (int64_t i = 0; i < batch; ++i) {
            int64_t t = reverse ? time - 1 - s : s, before = reverse ? t + 1 : t - 1;
            if (segmented && s > 0 && ids[i * time + t] != ids[i * time + before])
              for (int64_t d = 0; d < width; ++d) h[i * width + d] = c[i * width + d] = 0;
            std::vector<double> next(width);
            for (int64_t d = 0; d < width; ++d) {
              double sum = x[(i * time + t) * width + d];
              for (int64_t e = 0; e < width; ++e) sum += h[i * width + e] * u[d * width + e];
              next[d] = std::tanh(sum);
            }
            for (int64_t d = 0; d < width; ++d) {
              h[i * width + d] = next[d];
              c[i * width + d] += next[d];
              y[(i * time + t) * width + d] = next[d] * c[i * width + d];
            }
          }
        auto out = poisoned(size), last = poisoned(batch * width), count = last, again = out;
        kernel->run({x.data(), h0.data(), c0.data(), u.data(), ids.data(), out.data(), last.data(),
                     count.data()});
        EXPECT_LT(relativeError(out, y), 1e-5)
            << batch << "x" << time << "x" << width << reverse << segmented;
        EXPECT_LT(relativeError(last, h), 1e-5);
        EXPECT_LT(relativeError(count, c), 1e-5);
        for (int threads : {1, 3}) {
          kernel->run({x.data(), h0.data(), c0.data(), u.data(), ids.data(), again.data(),
                       last.data(), count.data()},
                      threads);
          EXPECT_EQ(out, again);
        }
      }
}

/// Rows of a step are computed block by block, each through all times.
TEST_P(RecurrenceTest, RefusesSumsOverRows) {
  EXPECT_FALSE(LoadedKernel::create(R"(
func.func @k(%x: tensor<64x9x32xf32>, %h0: tensor<64x32xf32>) -> tensor<64x9x32xf32>
    attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %zero = arith.constant 0.0 : f32
  %y:2 = weir.recurrence (%xt = %x : tensor<64x9x32xf32>) from (%h = %h0 : tensor<64x32xf32>) using () {
    %e = tensor.empty() : tensor<64x32xf32>
    %s = tensor.empty() : tensor<32xf32>
    %f = linalg.fill ins(%zero : f32) outs(%s : tensor<32xf32>) -> tensor<32xf32>
    %sum = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>],
        iterator_types = ["reduction", "parallel"]} ins(%h : tensor<64x32xf32>) outs(%f : tensor<32xf32>) {
    ^bb0(%a: f32, %o: f32):
      %t = arith.addf %a, %o : f32
      linalg.yield %t : f32
    } -> tensor<32xf32>
    %n = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
        iterator_types = ["parallel", "parallel"]} ins(%xt, %sum : tensor<64x32xf32>, tensor<32xf32>) outs(%e : tensor<64x32xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %t = arith.addf %a, %b : f32
      linalg.yield %t : f32
    } -> tensor<64x32xf32>
    weir.yield %n, %n : tensor<64x32xf32>, tensor<64x32xf32>
  } -> tensor<64x9x32xf32>, tensor<64x32xf32>
  return %y#0 : tensor<64x9x32xf32>
})",
                                    GetParam()));
}

}  // namespace
}  // namespace weir
