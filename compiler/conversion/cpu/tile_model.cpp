#include "compiler/conversion/cpu/tile_model.h"

#include <algorithm>
#include <cmath>

namespace weir {

namespace {

/// Steps of k between visits of C by register tiles: a tile of A stays in the first cache.
constexpr int64_t kDepth = 256;
/// Bytes of packed A that stay in the second cache, where it takes several parts of bf16: reloading
/// C costs little beside several multiplications.
constexpr int64_t kLeftBytes = 768 << 10;
/// A prediction has to be so much better than that of the fixed rules.
constexpr double kLeastGain = 0.03;

/// Bytes of packed B that stay in the second cache while rows pass by; of several parts of bf16,
/// each of which meets several of A.
constexpr int64_t kGroupBytes = 512 << 10, kGroupBytesOfParts = 1 << 20;

bool splitsSum(const TiledProduct& p) {
  return p.splittable && p.k >= 512 && p.k >= p.m && p.k >= p.n && p.m * p.n <= (int64_t(1) << 20);
}

}  // namespace

bool repaysMatrixTiles(int64_t m, int64_t n, int64_t k) {
  // Six multiplications by tiles take 0.55 of the time of one by registers. What is won per element
  // of an operand grows with the extent that it is multiplied with; packing it costs as much as is
  // won on some 120 (measured: 128 x 128 x 128 is 1.15 times as fast, 1280 x 64 x 64 is 0.85
  // times).
  return m * n >= 62 * (m + n) && k >= 64;
}

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
  if (p.matrixTiles && asked.depth && asked.depth < p.k)
    asked.depth = std::min(p.k, roundUp(asked.depth, 32));
  return asked;
}

int64_t scratchBytes(const TiledProduct& p, const Tiling& t) {
  int64_t steps = std::min(stepsOfPart(p, t.parts), t.depth);
  // Where rows of a part are taken block by block, B is packed for all of its terms.
  int64_t rightSteps = t.parts > 1 && t.rows < p.m ? stepsOfPart(p, t.parts) : steps;
  int64_t bytes = (t.rows * steps + std::min(t.columns, p.n) * rightSteps) * p.packedBytes;
  if (t.parts > 1) bytes += t.parts * p.m * p.n * p.sumBytes;
  return bytes;
}

namespace {

/// `values`, `most` at most each, without repetitions.
std::vector<int64_t> distinct(std::vector<int64_t> values, int64_t most) {
  for (int64_t& value : values) value = std::min(value, most);
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace

std::vector<Tiling> candidateTilings(const TiledProduct& p, Tiling asked) {
  Tiling given = roundToTiles(p, asked);
  int64_t tile = tileRowsOf(p), width = tileColumnsOf(p);
  std::vector<int64_t> rows, columns = {p.n}, groups, depths, parts;
  // Blocks of columns are for those that have too few rows.
  int64_t blockRows = p.matrixTiles ? kProductRows : tile;
  if (divideUp(p.m, blockRows) * p.copies < 2 * CpuTarget::kWorkers)
    for (int64_t blocks : {2, 4, 8, 16})
      if (p.n / blocks >= 4 * width) columns.push_back(roundUp(divideUp(p.n, blocks), 4 * width));
  for (int64_t tiles : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}) rows.push_back(tiles * tile);
  rows.push_back(p.m);
  for (int64_t columns : {2, 4, 8, 16, 32, 64}) groups.push_back(columns * width);
  groups.push_back(p.n);
  if (!p.matrixTiles)
    depths = {128, 192, 256, 384, 512};
  else if (p.multiplications == 1)
    depths = {256, 384, 512, 1024};
  else
    depths = {128, 256, 384, 512, 1024, p.k};
  parts = {1};
  if (p.splittable)
    for (int64_t count : {2, 4, 8, 16, 32, 64})
      // Longer than this, adding up takes longer than what it adds up.
      if (p.k / count >= 256 && 2 * count * p.m * p.n <= (p.m + p.n) * p.k) parts.push_back(count);
  if (given.rows) rows = {given.rows};
  if (given.columns) columns = {given.columns};
  if (given.group) groups = {given.group};
  if (given.depth) depths = {given.depth};
  if (given.parts) parts = {given.parts};
  // Parts of f32 in blocks of rows are slower than predicted: all of B is packed ahead of them.
  bool wholeParts = p.multiplications > 1;
  std::vector<Tiling> all;
  for (int64_t r : distinct(rows, p.m))
    for (int64_t c : distinct(columns, p.n))
      for (int64_t g : distinct(groups, c))
        for (int64_t d : distinct(depths, p.k))
          for (int64_t s : parts)
            if (s == 1 || (c == p.n && (r == p.m || given.rows || !wholeParts)))
              all.push_back(roundToTiles(p, {r, c, g, d, s}));
  return all;
}

namespace {

/// Of a core: bytes of its second cache and of what stays close to the first, and seconds for each
/// unit of TileWork. Fitted to the products that tile_sweep marks; see docs/tiles.md.
struct TileFigures {
  double cacheBytes, nearBytes;
  double seconds[TileWork::kKinds];
};

/// The part of a step of matrix tiles that is loading them, however often they are multiplied.
constexpr double kLoadShare = 0.4;

// Steps, far, near, packed, transposed, runs, written, pieces, again, combined, regions.
constexpr TileFigures kMatrixFigures = {
    2e6, 40 << 10, {4.0e-8, 2.6e-11, 9e-12, 9e-11, 6e-11, 6e-9, 6e-11, 7e-9, 1e-11, 1.2e-10, 5e-6}};

constexpr TileFigures registerFigures(double stepSeconds) {
  return {2e6,
          1e5,
          {stepSeconds, 2.3e-11, 1.6e-11, 3.6e-11, 1.2e-10, 1e-8, 1e-10, 1.2e-8, 8.2e-11, 1.2e-10,
           3e-6}};
}

constexpr TileFigures kRegisterFigures = registerFigures(5.4e-9);
/// 12 multiplications of vectors instead of 28.
constexpr TileFigures kAvx2Figures = registerFigures(5.4e-9 * 12 / 28);

const TileFigures& figuresOf(const TiledProduct& p) {
  if (p.matrixTiles) return kMatrixFigures;
  return p.level == IsaLevel::Avx2 ? kAvx2Figures : kRegisterFigures;
}

/// Packed operands twice as large come from memory, not from the third cache.
constexpr double kMemoryBytes = 8e6;
/// A result twice as large goes to memory.
constexpr double kResultBytes = 32e6;

/// How many times as slowly `bytes` are read or written as by the third cache: up to three times,
/// beyond `most`.
double slowness(double bytes, double most) {
  return 1 + 2 * std::clamp(bytes / most - 1, 0.0, 1.0);
}

/// The part of what is used again and again that is no longer in the second cache, if `bytes` pass
/// by in between.
double missing(const TileFigures& figures, double bytes) {
  return std::clamp((bytes / figures.cacheBytes - 0.5) / 1.1, 0.0, 1.0);
}

double real(int64_t value) { return static_cast<double>(value); }

/// How a tiling takes a product apart.
struct Blocks {
  Blocks(const TiledProduct& p, const Tiling& t)
      : steps(stepsOfPart(p, t.parts)),
        columns(std::min(p.n, t.columns)),
        rows(std::min(p.m, t.rows)),
        group(std::min(roundUp(t.group, tileColumnsOf(p)), columns)),
        visits(divideUp(steps, t.depth)),
        groups(divideUp(columns, group)),
        rowBlocks(divideUp(p.m, rows)),
        columnBlocks(divideUp(p.n, columns)),
        count(real(rowBlocks * columnBlocks * p.copies)),
        usedRows(real(p.m) / real(rowBlocks)),
        tiles(real(divideUp(columns, tileColumnsOf(p))) * real(divideUp(p.m, tileRowsOf(p))) /
              real(rowBlocks)),
        sums(usedRows * real(columns * p.sumBytes)),
        read(usedRows * real(steps * p.leftBytes)),
        packedOnce(p.fixedRight && columnBlocks == 1 && count > 1 && t.parts == 1),
        packedAhead(packedOnce || (t.parts > 1 && rowBlocks > 1)) {}

  int64_t steps, columns, rows, group, visits, groups, rowBlocks, columnBlocks;
  /// Blocks of one part of the sums.
  double count;
  /// Of a block, on average: rows, tiles, and bytes of C and of A.
  double usedRows, tiles, sums, read;
  /// Whether B is packed once for all blocks, or at least ahead of some, rather than by each for
  /// some terms at a time.
  bool packedOnce, packedAhead;
};

/// What register tiles do in a block.
void addRegisterWork(const TiledProduct& p, const Blocks& block, TileWork& work) {
  const TileFigures& figures = figuresOf(p);
  auto missed = [&](double bytes) { return missing(figures, bytes); };
  int64_t tile = tileRowsOf(p), rowTiles = divideUp(block.rows, tile),
          depth = divideUp(block.steps, block.visits);
  double bytes = real(p.packedBytes), left = real(rowTiles * tile * depth) * bytes,
         leftTile = real(tile * depth) * bytes,
         right = real(roundUp(block.columns, tileColumnsOf(p)) * block.steps) * bytes,
         rightGroup = real(block.group * depth) * bytes, visits = real(block.visits);
  double* count = work.count;
  count[TileWork::kSteps] = block.tiles * real(block.steps);
  // B comes once for each block of rows, and for each tile of rows if its group doesn't stay; A, if
  // it doesn't, is written, and read for each group.
  double between = block.packedAhead ? right + left * visits : right / visits + left;
  count[TileWork::kFar] =
      slowness(right, kMemoryBytes) * right *
          (missed(between) + real(rowTiles - 1) * missed(rightGroup + leftTile)) +
      left * real(block.visits * (block.groups + 1)) *
          missed(left + (block.groups > 1 ? rightGroup : leftTile));
  if (left > figures.nearBytes) count[TileWork::kNear] = 2 * left * visits;
  count[TileWork::kAgain] =
      2 * block.sums * real(block.visits - 1) * missed(block.sums + rightGroup);
  count[p.copiesLeft ? TileWork::kPacked : TileWork::kFar] += block.read;
}

/// What matrix tiles do in a block.
void addMatrixWork(const TiledProduct& p, const Tiling& t, const Blocks& block, TileWork& work) {
  auto missed = [](double bytes) { return missing(kMatrixFigures, bytes); };
  int64_t steps = roundUp(block.steps, 32), visits = divideUp(steps, roundUp(t.depth, 32)),
          columns = roundUp(block.columns, 32), rows = roundUp(block.rows, 32),
          group = std::min(roundUp(t.group, 32), columns), groups = divideUp(columns, group);
  double bytes = real(p.packedBytes), depth = real(steps) / real(visits),
         left = real(rows * steps) * bytes, right = real(columns * steps) * bytes;
  // Of a visit: the group of B and the A that it packs, a tile of rows of that, and its sums.
  double rightGroup = real(group) * depth * bytes, leftTile = 32 * depth * bytes,
         visitLeft = groups > 1 ? left : real(rows) * depth * bytes,
         sums = visits > 1 ? real(rows * group * 4) : 0;
  double* count = work.count;
  count[TileWork::kSteps] =
      block.tiles * (real(steps / 32) * (kLoadShare + (1 - kLoadShare) * real(p.multiplications)));
  // Packed B comes once for each block, and for each tile of rows if its group doesn't stay.
  if (block.packedAhead)
    count[TileWork::kFar] += slowness(right, kMemoryBytes) * right * missed(right + left);
  count[TileWork::kFar] +=
      right * real(rows / 32 - 1) * missed(rightGroup + leftTile + 2 * sums * 32 / real(rows));
  // A is written, and read for each group.
  count[TileWork::kFar] += left * real(groups) * missed(visitLeft + rightGroup);
  if (leftTile > kMatrixFigures.nearBytes) count[TileWork::kNear] += left * real(columns / 32);
  double again = 2 * real(rows * columns * 4) * real(visits - 1);
  count[TileWork::kAgain] += again;
  count[TileWork::kFar] += again * missed(sums + visitLeft + rightGroup);
  count[p.leftAlongK ? TileWork::kPacked : TileWork::kTransposed] += block.read;
}

}  // namespace

TileWork workOf(const TiledProduct& p, const Tiling& t, int64_t threads) {
  Blocks block(p, t);
  TileWork work;
  double* count = work.count;
  if (p.matrixTiles)
    addMatrixWork(p, t, block, work);
  else
    addRegisterWork(p, block, work);
  count[TileWork::kRuns] = p.leftAlongK ? block.usedRows * real(block.visits) : real(block.steps);
  count[TileWork::kWritten] =
      block.sums * slowness(real(p.m) * real(p.n * p.sumBytes), kResultBytes);
  count[TileWork::kPieces] = block.usedRows * real(block.groups * block.visits);
  // A worker takes all blocks of a part.
  double parts = real(t.parts), tasks = t.parts > 1 ? parts : block.count;
  double turns = std::ceil(tasks / real(threads)) * block.count * parts / tasks;
  for (double& each : work.count) each *= turns;
  // B is packed once, for each part, or for each block.
  double packs = block.packedOnce ? 1 / real(threads) : t.parts > 1 ? turns / block.count : turns;
  count[p.rightAlongK ? TileWork::kTransposed : TileWork::kPacked] +=
      packs * real(block.columns * block.steps * p.rightBytes);
  if (t.parts > 1)
    count[TileWork::kCombined] = parts * real(p.m * p.n * p.sumBytes) / real(threads);
  count[TileWork::kRegions] = (tasks > 1) + block.packedOnce + (t.parts > 1);
  return work;
}

double predictSeconds(const TiledProduct& p, const Tiling& t, int64_t threads) {
  const TileFigures& figures = figuresOf(p);
  TileWork work = workOf(p, t, threads);
  double seconds = 0;
  for (int kind = 0; kind < TileWork::kKinds; ++kind)
    seconds += work.count[kind] * figures.seconds[kind];
  return seconds;
}

namespace {

/// Seconds of cores, on average over numbers of threads that a machine may have.
double costOf(const TiledProduct& p, const Tiling& t) {
  double cost = 0;
  for (int64_t threads : kTilingThreads) cost += real(threads) * predictSeconds(p, t, threads);
  return cost;
}

}  // namespace

Tiling chooseTiling(const TiledProduct& p, Tiling asked) {
  // What rules give is taken unless something else is clearly better.
  Tiling best = fixedTiling(p, asked);
  // Measured, the model gains nothing where sums of f32 by matrix tiles are split.
  if (p.multiplications > 1 && best.parts > 1) return best;
  double least = (1 - kLeastGain) * costOf(p, best);
  for (const Tiling& t : candidateTilings(p, asked)) {
    double cost = costOf(p, t);
    if (cost >= least || scratchBytes(p, t) > kMostScratchBytes) continue;
    best = t;
    least = cost;
  }
  return best;
}

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
    int64_t blocks = std::clamp<int64_t>(divideUp(wanted, p.copies), divideUp(p.m, kProductRows),
                                         divideUp(p.m, tile));
    t.rows = std::min(p.m, roundUp(divideUp(p.m, blocks), tile));
  }
  int64_t blocks = divideUp(p.m, t.rows) * p.copies;
  if (!t.columns) {
    t.columns = p.n;
    if (blocks < CpuTarget::kWorkers && p.n >= 8 * width)
      t.columns = roundUp(divideUp(p.n, divideUp(wanted, blocks)), 4 * width);
  }
  if (!t.depth && p.matrixTiles && p.multiplications == 1)
    t.depth = 512;
  else if (!t.depth && p.matrixTiles)
    t.depth = std::max<int64_t>(128, kLeftBytes / (t.rows * p.packedBytes) / 128 * 128);
  if (!t.depth) t.depth = kDepth;
  t.depth = std::min(t.depth, p.k);
  if (!t.group) {
    int64_t steps = std::min(t.depth, stepsOfPart(p, t.parts));
    if (p.matrixTiles) steps = roundUp(steps, 32);
    int64_t bytes = p.multiplications > 1 ? kGroupBytesOfParts : kGroupBytes;
    t.group = std::max<int64_t>(1, bytes / (steps * width * p.packedBytes)) * width;
  }
  return roundToTiles(p, t);
}

}  // namespace weir
