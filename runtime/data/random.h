// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC11). A number is a function of (seed, stream, item, place), so that batches can be
// made in any order, by any number of threads, and again after a resume.
#ifndef WEIR_RUNTIME_DATA_RANDOM_H_
#define WEIR_RUNTIME_DATA_RANDOM_H_

#include <array>
#include <cstdint>

namespace weir::runtime {

inline std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter,
                                      std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// The numbers of one item of a stream, in order.
class RandomSequence {
 public:
  // `item` counts within the stream; at most 2^32 numbers are drawn from an item.
  RandomSequence(int64_t seed, uint32_t stream, int64_t item)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32)},
        counter_{0, stream, static_cast<uint32_t>(item),
                 static_cast<uint32_t>(static_cast<uint64_t>(item) >> 32)} {}

  uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  // Uniform in [0, n), n > 0. The bias is below n / 2^64.
  int64_t Below(int64_t n) {
    uint64_t high = Next();
    uint64_t bits = high << 32 | Next();
    return static_cast<int64_t>((static_cast<unsigned __int128>(bits) * n) >> 64);
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_ = {};
  int used_ = 4;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_RANDOM_H_
