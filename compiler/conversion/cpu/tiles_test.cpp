// Tiles of products: what the model chooses, and that what an op asks for is done.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/product_case.h"
#include "compiler/conversion/cpu/tile_model.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class TilesTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, TilesTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

std::vector<float> results(const ProductCase& c, const std::string& tiles, IsaLevel level) {
  auto kernel = LoadedKernel::create(kernelText(c, tiles), level);
  if (!kernel) return {};
  auto a = operandValues(c.narrow, c.m * c.k, 1), b = operandValues(c.narrow, c.k * c.n, 2);
  auto y = poisoned<float>(c.m * c.n), again = y;
  if (c.withActivation && c.narrow) y.assign(y.size(), 0), again = y;
  kernel->run({a.data(), b.data(), y.data()});
  kernel->run({a.data(), b.data(), again.data()}, 1);
  EXPECT_EQ(y, again) << tiles;
  return y;
}

/// The product of `c` in f64 at a few places.
void expectProduct(const ProductCase& c, const std::vector<float>& y, const std::string& tiles) {
  ASSERT_EQ(y.size(), size_t(c.m * c.n)) << tiles;
  auto a = randomValues(c.m * c.k, 1), b = randomValues(c.k * c.n, 2);
  auto rounded = [&](float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (c.narrow) bits &= 0xffff0000;
    std::memcpy(&x, &bits, 4);
    return double(x);
  };
  for (int64_t i = 0; i < c.m; i += 1 + c.m / 23)
    for (int64_t j = 0; j < c.n; j += 1 + c.n / 29) {
      double sum = 0;
      for (int64_t q = 0; q < c.k; ++q)
        sum += rounded(c.leftAlongK ? a[i * c.k + q] : a[q * c.m + i]) *
               rounded(c.rightAlongK ? b[j * c.k + q] : b[q * c.n + j]);
      ASSERT_NEAR(y[i * c.n + j], sum, 2e-4) << tiles << " at " << i << ", " << j;
    }
}

TEST_P(TilesTest, WhatIsAskedForGivesTheSameResults) {
  for (bool narrow : {false, true})
    for (bool along : {false, true})
      for (auto [m, n, k] : {std::array<int64_t, 3>{161, 203, 530}, {64, 96, 1024}}) {
        ProductCase c{m, n, k, along, along, narrow};
        std::string rest = ", depth = 96, parts = 1";
        std::vector<float> whole = results(c, "rows = 64" + rest, GetParam());
        expectProduct(c, whole, rest);
        // Sums are added up in the same order whatever the blocks; by matrix tiles of f32, within a
        // depth first.
        for (const char* tiles : {"rows = 32", "rows = 96, group = 64", "rows = 14, group = 1",
                                  "rows = 1000, columns = 64", "columns = 128"})
          EXPECT_EQ(results(c, tiles + rest, GetParam()), whole) << tiles;
        for (const char* tiles :
             {"parts = 3", "rows = 64, group = 32, depth = 64, parts = 7", "depth = 7, parts = 1"})
          expectProduct(c, results(c, tiles, GetParam()), tiles);
      }
}

TEST_P(TilesTest, BlocksOfRowsThatOpsShare) {
  for (bool narrow : {false, true}) {
    ProductCase c{333, 128, 96, true, true, narrow, /*withActivation=*/true};
    std::vector<float> chosen = results(c, "", GetParam());
    ASSERT_FALSE(chosen.empty());
    for (const char* tiles : {"rows = 32", "rows = 320, group = 32", "rows = 1000"})
      EXPECT_EQ(results(c, tiles, GetParam()), chosen) << tiles;
  }
}

TEST_P(TilesTest, TheKernelTellsItsTiles) {
  ProductCase c{1280, 256, 512, true, true, false};
  std::string text = tiledTextOf(kernelText(c, "rows = 84, depth = 128"), GetParam());
  // A multiple of 6, 14 or 32.
  std::string rows = GetParam() == IsaLevel::Amx ? "96" : "84";
  EXPECT_NE(text.find("#weir.tiles<rows = " + rows + ", columns = 256, group = "),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("depth = 128, parts = 1>"), std::string::npos) << text;
  // What it tells can be asked for.
  EXPECT_EQ(tiledTextOf(text, GetParam()), text);
}

TEST_P(TilesTest, WhatCannotBeDoneIsRefused) {
  auto refusal = [&](const ProductCase& c, const std::string& tiles) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(LoadedKernel::create(kernelText(c, tiles), GetParam()), nullptr) << tiles;
    return testing::internal::GetCapturedStderr();
  };
  ProductCase plain{64, 64, 512}, fused{64, 64, 512, true, true, false, true};
  EXPECT_NE(refusal(plain, "rows = -3").find("'rows' of weir.tiles can't be -3"),
            std::string::npos);
  EXPECT_NE(refusal(plain, "parts = 65").find("a sum of 512 terms has 64 at most"),
            std::string::npos);
  EXPECT_NE(refusal(fused, "parts = 2").find("leave 'parts' and 'columns' out"), std::string::npos);
  ProductCase large{1 << 14, 1 << 13, 512};
  EXPECT_NE(refusal(large, "parts = 2").find("MiB of scratch memory"), std::string::npos);
}

/// Products of many sizes and layouts, for all kinds of tiles.
std::vector<TiledProduct> manyProducts() {
  std::vector<TiledProduct> all;
  for (int64_t m : {6, 300, 8192})
    for (int64_t n : {8, 1365, 4096})
      for (int64_t k : {4, 512, 65536})
        for (bool narrow : {false, true})
          for (IsaLevel level : {IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx}) {
            ProductCase c{m, n, k, m % 2 == 0, n % 2 == 0, narrow};
            all.push_back(c.shape(level));
          }
  return all;
}

TEST(TileModelTest, WhatIsChosenFits) {
  for (const TiledProduct& p : manyProducts()) {
    Tiling t = chooseTiling(p);
    std::string what = std::to_string(p.m) + " x " + std::to_string(p.n) + " x " +
                       std::to_string(p.k) + ": " + tilesText(t);
    EXPECT_LE(scratchBytes(p, t), std::max(kMostScratchBytes, scratchBytes(p, fixedTiling(p))))
        << what;
    EXPECT_TRUE(t.rows == p.m || t.rows % tileRowsOf(p) == 0) << what;
    EXPECT_TRUE(t.columns == p.n || t.columns % tileColumnsOf(p) == 0) << what;
    EXPECT_EQ(t.group % tileColumnsOf(p), 0) << what;
    EXPECT_GE(t.depth, 1) << what;
    EXPECT_LE(t.parts, mostParts(p)) << what;
    EXPECT_EQ(roundToTiles(p, t), t) << what;
    EXPECT_EQ(chooseTiling(p, t), t) << what;
  }
}

TEST(TileModelTest, AskedForNumbersStay) {
  for (const TiledProduct& p : manyProducts()) {
    Tiling t = chooseTiling(p, {64, 0, 128, 0, 1});
    EXPECT_EQ(t.rows, roundToTiles(p, {64, 0, 0, 0, 0}).rows);
    EXPECT_EQ(t.group, roundToTiles(p, {0, 0, 128, 0, 0}).group);
    EXPECT_EQ(t.parts, 1);
  }
}

TEST(TileModelTest, MoreWorkTakesLongerAndMoreWorkersDoNot) {
  for (const TiledProduct& p : manyProducts()) {
    Tiling t = chooseTiling(p);
    double seconds = predictSeconds(p, t, 1);
    EXPECT_GT(seconds, 0);
    for (int64_t threads : {2, 4, 8}) {
      EXPECT_LE(predictSeconds(p, t, threads), seconds);
      EXPECT_GE(predictSeconds(p, t, threads) * static_cast<double>(threads), 0.999 * seconds);
    }
    TiledProduct longer = p;
    longer.k *= 2;
    if (t.depth == p.k) t.depth = longer.k;
    EXPECT_GT(predictSeconds(longer, t, 1), seconds);
    TiledProduct dearer = p;
    dearer.multiplications *= 2;
    if (p.matrixTiles) EXPECT_GT(predictSeconds(dearer, chooseTiling(p), 1), seconds);
  }
}

TEST(TileModelTest, TheChoiceIsPredictedToBeNoWorseThanFixedRules) {
  for (const TiledProduct& p : manyProducts()) {
    double chosen = 0, fixed = 0;
    for (int64_t threads : kTilingThreads) {
      chosen += static_cast<double>(threads) * predictSeconds(p, chooseTiling(p), threads);
      fixed += static_cast<double>(threads) * predictSeconds(p, fixedTiling(p), threads);
    }
    EXPECT_LE(chosen, fixed);
  }
}

}  // namespace
}  // namespace weir
