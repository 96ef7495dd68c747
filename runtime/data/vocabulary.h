// Which byte of a text each token stands for: what is needed to read and write text without the
// data a model was trained on. Checkpoints and programs carry it in their metadata.
//
//   absl::StatusOr<Vocabulary> vocabulary = Vocabulary::FromMetadata(file.metadata());
//   absl::StatusOr<std::vector<int32_t>> tokens = vocabulary->Encode("ROMEO:");
#ifndef WEIR_RUNTIME_DATA_VOCABULARY_H_
#define WEIR_RUNTIME_DATA_VOCABULARY_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

class Vocabulary {
 public:
  // No tokens: not a vocabulary of text.
  Vocabulary() { numbers_.fill(-1); }

  // All 256 bytes, each its own number.
  static Vocabulary Bytes();
  // The distinct bytes of a text, numbered in their order.
  static Vocabulary Characters(absl::string_view text);

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  bool empty() const { return bytes_.empty(); }
  // Byte i is what token i stands for.
  const std::string& bytes() const { return bytes_; }
  bool operator==(const Vocabulary& other) const { return bytes_ == other.bytes_; }
  bool operator!=(const Vocabulary& other) const { return !(*this == other); }

  // The token of a byte; -1 if it has none.
  int32_t Number(char byte) const { return numbers_[static_cast<unsigned char>(byte)]; }
  // InvalidArgument names the byte that has no number, and its place.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const;
  // `token` must be within [0, size()).
  char Decode(int32_t token) const { return bytes_[token]; }

  // Adds itself to the metadata of a file, unless it is empty: under "text.bytes", in hexadecimal,
  // since metadata are UTF-8 and bytes needn't be.
  void AddTo(std::map<std::string, std::string>* metadata) const;
  // NotFound if the metadata hold no vocabulary, DataLoss if they hold something else under that
  // name.
  static absl::StatusOr<Vocabulary> FromMetadata(
      const std::map<std::string, std::string>& metadata);

 private:
  explicit Vocabulary(std::string bytes);

  std::string bytes_;
  std::array<int32_t, 256> numbers_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_VOCABULARY_H_
