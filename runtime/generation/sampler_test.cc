#include "runtime/generation/sampler.h"

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Sampler Make(const SamplingOptions& options) { return Sampler::Create(options).value(); }

// temperature, top_k, top_p.
SamplingOptions With(double temperature, int64_t top_k = 0, double top_p = 1) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  return options;
}

// How often each token is drawn, as a share of `draws` positions.
std::vector<double> Shares(const SamplingOptions& options, const std::vector<double>& logits,
                           int draws) {
  Sampler sampler = Make(options);
  std::vector<double> shares(logits.size());
  for (int i = 0; i < draws; ++i)
    shares[sampler.Sample(logits, i % 7, i / 7).value()] += 1.0 / draws;
  return shares;
}

// The exact probabilities of softmax(logits / temperature) among `kept`.
std::vector<double> Exact(const std::vector<double>& logits, double temperature,
                          const std::vector<int>& kept) {
  std::vector<double> probabilities(logits.size());
  double total = 0;
  for (int i : kept) total += probabilities[i] = std::exp(logits[i] / temperature);
  for (double& p : probabilities) p /= total;
  return probabilities;
}

// Within five standard deviations of a share; a token of probability 0 never comes.
void ExpectShares(const std::vector<double>& shares, const std::vector<double>& exact, int draws) {
  for (size_t i = 0; i < exact.size(); ++i)
    EXPECT_NEAR(shares[i], exact[i], 5 * std::sqrt(exact[i] * (1 - exact[i]) / draws)) << i;
}

const std::vector<double> kLogits = {0.5, -1.0, 2.0, 1.5, -kInfinity, 0.5, -3.0};
constexpr int kDraws = 200000;

TEST(Sampler, DrawsWithTheExactProbabilities) {
  for (double temperature : {0.3, 1.0, 2.5}) {
    ExpectShares(Shares(With(temperature), kLogits, kDraws),
                 Exact(kLogits, temperature, {0, 1, 2, 3, 4, 5, 6}), kDraws);
  }
}

TEST(Sampler, TopK) {
  ExpectShares(Shares(With(1, 2), kLogits, kDraws), Exact(kLogits, 1, {2, 3}), kDraws);
  // Of the two equal ones, the first.
  ExpectShares(Shares(With(1, 3), kLogits, kDraws), Exact(kLogits, 1, {2, 3, 0}), kDraws);
  ExpectShares(Shares(With(1, 100), kLogits, kDraws), Exact(kLogits, 1, {0, 1, 2, 3, 5, 6}),
               kDraws);
  Sampler one = Make(With(5, 1));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(one.Sample(kLogits, 0, i).value(), 2);
}

TEST(Sampler, TopP) {
  // Probabilities 0.5, 0.25, 0.125, 0.125, exact in binary.
  std::vector<double> logits = {std::log(2), std::log(4), 0, 0};
  auto kept = [&](double top_p, int64_t top_k = 0) {
    std::vector<int> tokens;
    std::vector<double> shares = Shares(With(1, top_k, top_p), logits, 2000);
    for (size_t i = 0; i < shares.size(); ++i) {
      if (shares[i] > 0) tokens.push_back(static_cast<int>(i));
    }
    return tokens;
  };
  EXPECT_EQ(kept(1e-300), (std::vector<int>{1}));
  EXPECT_EQ(kept(0.49), (std::vector<int>{1}));
  EXPECT_EQ(kept(0.51), (std::vector<int>{0, 1}));
  EXPECT_EQ(kept(0.76), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(kept(0.9), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(kept(1), (std::vector<int>{0, 1, 2, 3}));
  // Among the two that top_k leaves, the first has two thirds.
  EXPECT_EQ(kept(0.6, 2), (std::vector<int>{1}));
  EXPECT_EQ(kept(0.7, 2), (std::vector<int>{0, 1}));
  ExpectShares(Shares(With(2, 0, 0.5), logits, kDraws), Exact(logits, 2, {0, 1}), kDraws);
}

TEST(Sampler, ExtremeTemperatures) {
  Sampler greedy = Make(With(0)), cold = Make(With(1e-300)), hot = Make(With(1e300));
  std::vector<double> ties = {1, 3, 3, 2};
  std::vector<int> hits(4);
  for (int i = 0; i < 4000; ++i) {
    ASSERT_EQ(greedy.Sample(ties, 0, i).value(), 1);
    ASSERT_NE(cold.Sample(ties, 0, i).value() / 2, 3);
    int token = cold.Sample(ties, 0, i).value();
    ASSERT_TRUE(token == 1 || token == 2);
    ++hits[hot.Sample(ties, 0, i).value()];
  }
  for (int count : hits) EXPECT_NEAR(count, 1000, 150);
}

TEST(Sampler, DependsOnSeedSequenceAndPositionAlone) {
  std::vector<double> logits(50, 0.0);
  auto draw = [&](int64_t seed, int64_t sequence, int64_t first) {
    SamplingOptions options;
    options.seed = seed;
    Sampler sampler = Make(options);
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < 40; ++i)
      tokens.push_back(sampler.Sample(logits, sequence, first + i).value());
    return tokens;
  };
  std::vector<int32_t> reference = draw(1, 2, 3);
  EXPECT_NE(draw(2, 2, 3), reference);
  EXPECT_NE(draw(1, 1, 3), reference);
  EXPECT_NE(draw(1, 2, 3 + (int64_t{1} << 32)), reference);
  EXPECT_NE(draw(1 + (int64_t{1} << 32), 2, 3), reference);
  std::vector<std::vector<int32_t>> drawn(4);
  std::vector<std::thread> threads;
  for (auto& tokens : drawn) threads.emplace_back([&] { tokens = draw(1, 2, 3); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& tokens : drawn) EXPECT_EQ(tokens, reference);
  // In any order.
  Sampler sampler = Make({});
  for (int i = 39; i >= 0; --i) EXPECT_EQ(sampler.Sample(logits, 2, 3 + i).value(), reference[i]);
}

TEST(Sampler, Errors) {
  Sampler sampler = Make({});
  auto error = [&](const std::vector<double>& logits) {
    return std::string(sampler.Sample(logits, 3, 12).status().message());
  };
  EXPECT_EQ(error({0, std::nan("")}), "the logit of token 1 is nan at position 12 of sequence 3");
  EXPECT_EQ(error({kInfinity, 0}), "the logit of token 0 is inf at position 12 of sequence 3");
  EXPECT_EQ(error({-kInfinity, -kInfinity}),
            "no token is possible at position 12 of sequence 3: there is no logit above -inf");
  EXPECT_EQ(Make(With(0)).Sample({std::nan("")}, 0, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const SamplingOptions& wrong : {With(-1), With(std::nan("")), With(kInfinity), With(1, -1),
                                       With(1, 0, 0), With(1, 0, 1.1), With(1, 0, std::nan(""))})
    EXPECT_FALSE(Sampler::Create(wrong).ok());
}

}  // namespace
}  // namespace weir::runtime
