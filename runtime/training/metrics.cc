#include "runtime/training/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/base/file.h"

namespace weir::runtime {
namespace {

using Json = nlohmann::ordered_json;

std::optional<double> Number(const Json& json, const char* key) {
  auto it = json.find(key);
  if (it == json.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

// The bytes of `text` before the first torn line or record after `last_step`.
size_t KeptBytes(absl::string_view text, int64_t last_step) {
  size_t kept = 0;
  while (true) {
    size_t end = text.find('\n', kept);
    if (end == absl::string_view::npos) return kept;
    std::optional<MetricsRecord> record = ParseMetricsLine(text.substr(kept, end - kept));
    if (!record || record->step > last_step) return kept;
    kept = end + 1;
  }
}

}  // namespace

std::string MetricsLine(const MetricsRecord& record) {
  Json json;
  auto set = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  json["step"] = record.step;
  json["split"] = record.split;
  json["loss"] = record.loss;
  set("accuracy", record.accuracy);
  set("sequence_accuracy", record.sequence_accuracy);
  set("gradient_norm", record.gradient_norm);
  set("learning_rate", record.learning_rate);
  json["tokens"] = record.tokens;
  json["tokens_per_second"] = record.tokens_per_second;
  json["seconds"] = record.seconds;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<MetricsRecord> ParseMetricsLine(absl::string_view line) {
  Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  MetricsRecord record;
  std::optional<double> step = Number(json, "step"), loss = Number(json, "loss");
  auto split = json.find("split");
  if (!step || !loss || split == json.end() || !split->is_string()) return std::nullopt;
  record.step = static_cast<int64_t>(*step);
  record.split = split->get<std::string>();
  record.loss = *loss;
  record.accuracy = Number(json, "accuracy");
  record.sequence_accuracy = Number(json, "sequence_accuracy");
  record.gradient_norm = Number(json, "gradient_norm");
  record.learning_rate = Number(json, "learning_rate");
  record.tokens = static_cast<int64_t>(Number(json, "tokens").value_or(0));
  record.tokens_per_second = Number(json, "tokens_per_second").value_or(0);
  record.seconds = Number(json, "seconds").value_or(0);
  return record;
}

absl::StatusOr<std::vector<MetricsRecord>> ReadMetrics(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  std::vector<MetricsRecord> records;
  size_t begin = 0;
  for (int64_t line = 1;; ++line) {
    size_t end = text->find('\n', begin);
    if (end == std::string::npos) return records;
    std::optional<MetricsRecord> record =
        ParseMetricsLine(absl::string_view(*text).substr(begin, end - begin));
    if (!record) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line, ": this line is no record of a run"));
    }
    records.push_back(*std::move(record));
    begin = end + 1;
  }
}

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::string& path,
                                                             int64_t last_step) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(errno, "open", path);
  auto log = std::unique_ptr<MetricsLog>(new MetricsLog(path, fd));
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  if (::ftruncate(fd, KeptBytes(*text, last_step)) != 0) {
    return FileError(errno, "truncate", path);
  }
  return log;
}

MetricsLog::~MetricsLog() { ::close(fd_); }

absl::Status MetricsLog::Append(const MetricsRecord& record) {
  std::string line = absl::StrCat(MetricsLine(record), "\n");
  for (absl::string_view rest = line; !rest.empty();) {
    ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "write", path_);
    rest.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status MetricsLog::Sync() {
  if (::fsync(fd_) != 0) return FileError(errno, "sync", path_);
  return absl::OkStatus();
}

}  // namespace weir::runtime
