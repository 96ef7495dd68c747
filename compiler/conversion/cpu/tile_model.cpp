#include "compiler/conversion/cpu/tile_model.h"

#include <algorithm>

namespace weir {

namespace {

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t roundUp(int64_t a, int64_t b) { return divideUp(a, b) * b; }

/// Steps of k between visits of C by register tiles: a tile of A stays in the first cache.
constexpr int64_t kDepth = 256;
/// Most rows of a block: A's stays in the second cache.
constexpr int64_t kRows = 224;
/// Bytes of packed A that stay in the second cache, where it takes several parts of bf16: reloading
/// C costs little beside several multiplications.
constexpr int64_t kLeftBytes = 768 << 10;
/// Bytes of packed B that stay in the second cache while rows pass by.
constexpr int64_t kMatrixGroupBytes = 1 << 20, kRegisterGroupBytes = 512 << 10;

bool splitsSum(const TiledProduct& p) {
  return p.splittable && p.k >= 512 && p.k >= p.m && p.k >= p.n && p.m * p.n <= (int64_t(1) << 20);
}

/// Whether C is visited once: reloading it costs more than the cache misses it would save.
bool keepsSums(const TiledProduct& p) {
  return p.matrixTiles && (p.multiplications == 1 || p.wholeSums);
}

}  // namespace

int64_t tileRowsOf(const TiledProduct& p) {
  return p.matrixTiles ? 32 : CpuTarget{p.level}.tileRows();
}

int64_t tileColumnsOf(const TiledProduct& p) {
  CpuTarget target{p.level};
  if (p.matrixTiles) return 32;
  return CpuTarget::kTileVectors * (p.sumBytes == 8 ? target.lanes64() : target.lanes());
}

int64_t stepsOfPart(const TiledProduct& p, int64_t parts) {
  return parts == 1 ? p.k : roundUp(divideUp(p.k, parts), 8);
}

int64_t mostParts(const TiledProduct& p) { return p.splittable ? divideUp(p.k, 8) : 1; }

Tiling roundToTiles(const TiledProduct& p, Tiling asked) {
  if (asked.rows) asked.rows = std::min(p.m, roundUp(asked.rows, tileRowsOf(p)));
  int64_t columns = tileColumnsOf(p);
  if (asked.columns) asked.columns = std::min(p.n, roundUp(asked.columns, columns));
  if (asked.group) asked.group = roundUp(std::min(p.n, asked.group), columns);
  if (asked.parts) asked.parts = divideUp(p.k, stepsOfPart(p, asked.parts));
  if (asked.depth) asked.depth = std::min(p.k, asked.depth);
  if (keepsSums(p))
    asked.depth = p.k;
  else if (p.matrixTiles && asked.depth && asked.depth < p.k)
    asked.depth = std::min(p.k, roundUp(asked.depth, 32));
  return asked;
}

int64_t scratchBytes(const TiledProduct& p, const Tiling& t) {
  int64_t steps = stepsOfPart(p, t.parts);
  if (!keepsSums(p)) steps = std::min(steps, t.depth);
  int64_t bytes = (t.rows + std::min(t.columns, p.n)) * steps * p.packedBytes;
  if (t.parts > 1) bytes += t.parts * p.m * p.n * p.sumBytes;
  return bytes;
}

std::vector<Tiling> candidateTilings(const TiledProduct& p, Tiling asked) {
  Tiling given = roundToTiles(p, asked);
  int64_t tile = tileRowsOf(p), width = tileColumnsOf(p);
  std::vector<int64_t> rows, groups, depths, parts;
  for (int64_t tiles : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}) rows.push_back(tiles * tile);
  rows.push_back(p.m);
  for (int64_t columns : {2, 4, 8, 16, 32, 64}) groups.push_back(columns * width);
  groups.push_back(p.n);
  if (keepsSums(p))
    depths = {p.k};
  else
    depths = {128, 192, 256, 384, 512};
  parts = {1};
  if (p.splittable)
    for (int64_t count : {2, 4, 8, 16, 32})
      if (p.k / count >= 256) parts.push_back(count);
  std::vector<Tiling> all;
  if (given.rows) rows = {given.rows};
  if (given.group) groups = {given.group};
  if (given.depth) depths = {given.depth};
  if (given.parts) parts = {given.parts};
  for (int64_t r : rows)
    for (int64_t g : groups)
      for (int64_t d : depths)
        for (int64_t s : parts) {
          Tiling t = roundToTiles(p, {r, given.columns ? given.columns : p.n, g, d, s});
          if (std::find(all.begin(), all.end(), t) == all.end()) all.push_back(t);
        }
  return all;
}

double predictSeconds(const TiledProduct& p, const Tiling& t, int64_t threads) {
  (void)t;
  return 2e-12 * static_cast<double>(p.m * p.n * p.k) / static_cast<double>(threads);
}

Tiling chooseTiling(const TiledProduct& p, Tiling asked) { return fixedTiling(p, asked); }

Tiling fixedTiling(const TiledProduct& p, Tiling asked) {
  Tiling t = roundToTiles(p, asked);
  if (!t.parts)
    t.parts = splitsSum(p) ? std::clamp<int64_t>(p.k / kDepth, 1, CpuTarget::kWorkers) : 1;
  int64_t tile = tileRowsOf(p), width = tileColumnsOf(p), wanted = 2 * CpuTarget::kWorkers;
  if (t.parts > 1) {
    if (!t.rows) t.rows = p.m;
    if (!t.columns) t.columns = p.n;
  }
  if (!t.rows) {
    int64_t blocks =
        std::clamp<int64_t>(divideUp(wanted, p.copies), divideUp(p.m, kRows), divideUp(p.m, tile));
    t.rows = std::min(p.m, roundUp(divideUp(p.m, blocks), tile));
  }
  int64_t blocks = divideUp(p.m, t.rows) * p.copies;
  if (!t.columns) {
    t.columns = p.n;
    if (blocks < CpuTarget::kWorkers && p.n >= 8 * width)
      t.columns = roundUp(divideUp(p.n, divideUp(wanted, blocks)), 4 * width);
  }
  if (!t.depth && p.matrixTiles)
    t.depth = std::max<int64_t>(128, kLeftBytes / (t.rows * p.packedBytes) / 128 * 128);
  if (!t.depth) t.depth = kDepth;
  t.depth = std::min(t.depth, p.k);
  if (!t.group) {
    int64_t steps = std::min(t.depth, stepsOfPart(p, t.parts));
    int64_t bytes = p.matrixTiles ? kMatrixGroupBytes : kRegisterGroupBytes;
    if (p.matrixTiles) steps = roundUp(steps, 32);
    t.group = std::max<int64_t>(1, bytes / (steps * width * p.packedBytes)) * width;
  }
  return roundToTiles(p, t);
}

}  // namespace weir
