#include "runtime/data/vocabulary.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::runtime {
namespace {

constexpr char kKey[] = "text.bytes";

std::string Shown(unsigned char byte) {
  return absl::ascii_isgraph(byte) ? absl::StrCat("'", std::string(1, static_cast<char>(byte)), "'")
                                   : absl::StrFormat("0x%02x", byte);
}

}  // namespace

Vocabulary::Vocabulary(std::string bytes) : bytes_(std::move(bytes)) {
  numbers_.fill(-1);
  for (size_t i = 0; i < bytes_.size(); ++i)
    numbers_[static_cast<unsigned char>(bytes_[i])] = static_cast<int32_t>(i);
}

Vocabulary Vocabulary::Bytes() {
  std::string bytes(256, '\0');
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  return Vocabulary(std::move(bytes));
}

Vocabulary Vocabulary::Characters(absl::string_view text) {
  std::array<bool, 256> used = {};
  for (char c : text) used[static_cast<unsigned char>(c)] = true;
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    if (used[byte]) bytes += static_cast<char>(byte);
  }
  return Vocabulary(std::move(bytes));
}

absl::StatusOr<std::vector<int32_t>> Vocabulary::Encode(absl::string_view text) const {
  std::vector<int32_t> tokens(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    tokens[i] = Number(text[i]);
    if (tokens[i] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("byte ", i, " of the text, ", Shown(text[i]),
                                                     ", isn't among the ", size(),
                                                     " bytes that the model knows"));
    }
  }
  return tokens;
}

void Vocabulary::AddTo(std::map<std::string, std::string>* metadata) const {
  if (!empty()) (*metadata)[kKey] = absl::BytesToHexString(bytes_);
}

absl::StatusOr<Vocabulary> Vocabulary::FromMetadata(
    const std::map<std::string, std::string>& metadata) {
  auto it = metadata.find(kKey);
  if (it == metadata.end()) return absl::NotFoundError("there is no vocabulary of text");
  const std::string& text = it->second;
  bool right = !text.empty() && text.size() % 2 == 0 && text.size() <= 512;
  for (char c : text) right &= absl::ascii_isxdigit(static_cast<unsigned char>(c));
  Vocabulary vocabulary(right ? absl::HexStringToBytes(text) : std::string());
  // Distinct, or a byte's number would not be that of the token.
  for (int64_t i = 0; i < vocabulary.size(); ++i)
    right &= vocabulary.numbers_[static_cast<unsigned char>(vocabulary.bytes_[i])] == i;
  if (!right) {
    return absl::DataLossError(
        absl::StrCat("the metadata '", kKey, "' is no list of distinct bytes in hexadecimal"));
  }
  return vocabulary;
}

}  // namespace weir::runtime
