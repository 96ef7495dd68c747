#include "runtime/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace weir::runtime {
namespace {

using Json = nlohmann::json;

// The reference implementation's limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr absl::string_view kMetadata = "__metadata__";

struct Dtype {
  absl::string_view name;
  ElementType type;
};
constexpr Dtype kDtypes[] = {
    {"F64", ElementType::kF64},   {"F32", ElementType::kF32}, {"BF16", ElementType::kBF16},
    {"I64", ElementType::kI64},   {"I32", ElementType::kI32}, {"U8", ElementType::kU8},
    {"BOOL", ElementType::kBool},
};

// Types of the format that Weir has no use for: told apart from nonsense.
constexpr absl::string_view kForeignDtypes[] = {"F16", "I16",     "U16",     "U32", "U64",
                                                "I8",  "F8_E4M3", "F8_E5M2", "C64"};

absl::string_view DtypeName(ElementType type) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.type == type) return dtype.name;
  }
  return "";
}

// A JSON parser callback that notes the first key that appears twice in its object; the parser
// would keep the last.
class DuplicateKeys {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.back().insert(parsed).second && !duplicate_) {
      duplicate_ = parsed.get_ref<const std::string&>();
    }
    return true;
  }
  const std::optional<std::string>& duplicate() const { return duplicate_; }

 private:
  std::vector<std::set<Json>> keys_;
  std::optional<std::string> duplicate_;
};

// Reads one file; every message begins with its name.
class HeaderReader {
 public:
  HeaderReader(absl::string_view bytes, absl::string_view origin)
      : bytes_(bytes), origin_(origin) {}

  absl::StatusOr<Safetensors> Read() {
    uint64_t header_bytes;
    if (bytes_.size() < sizeof(header_bytes)) {
      return Error("this is no safetensors file: it has ", bytes_.size(), " bytes");
    }
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    if (header_bytes > kMaxHeaderBytes) {
      return Error("this is no safetensors file, or its header is corrupt: a header of ",
                   header_bytes, " bytes");
    }
    if (header_bytes > bytes_.size() - sizeof(header_bytes)) {
      return Error("the file is truncated: a header of ", header_bytes, " bytes in a file of ",
                   bytes_.size());
    }
    absl::string_view header = bytes_.substr(sizeof(header_bytes), header_bytes);
    data_ = bytes_.substr(sizeof(header_bytes) + header_bytes);
    DuplicateKeys duplicates;
    Json json = Json::parse(header.begin(), header.end(), std::ref(duplicates),
                            /*allow_exceptions=*/false);
    if (!json.is_object()) return Error("the header is no JSON object");
    if (duplicates.duplicate()) return Error("'", *duplicates.duplicate(), "' appears twice");
    for (const auto& [name, value] : json.items()) {
      absl::Status status = name == kMetadata ? ReadMetadata(value) : ReadEntry(name, value);
      if (!status.ok()) return status;
    }
    if (absl::Status status = CheckCover(); !status.ok()) return status;
    return std::move(result_);
  }

 private:
  template <typename... Parts>
  absl::Status Error(const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": ", parts...));
  }

  absl::Status ReadMetadata(const Json& value) {
    if (!value.is_object()) return Error("'__metadata__' is no object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) return Error("'__metadata__' has '", key, "', which is no text");
      result_.metadata[key] = text.get_ref<const std::string&>();
    }
    return absl::OkStatus();
  }

  // A list of integers in [0, 2^63), or nothing.
  static std::optional<std::vector<int64_t>> Integers(const Json& value) {
    if (!value.is_array()) return std::nullopt;
    std::vector<int64_t> integers;
    for (const Json& item : value) {
      if (!item.is_number_unsigned()) return std::nullopt;
      uint64_t number = item.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      integers.push_back(static_cast<int64_t>(number));
    }
    return integers;
  }

  absl::Status ReadType(const std::string& name, const Json& value, ElementType* type) const {
    if (!value.is_string()) return Error("tensor '", name, "' has no dtype");
    const std::string& text = value.get_ref<const std::string&>();
    for (const Dtype& dtype : kDtypes) {
      if (dtype.name == text) {
        *type = dtype.type;
        return absl::OkStatus();
      }
    }
    for (absl::string_view foreign : kForeignDtypes) {
      if (foreign == text) {
        return absl::UnimplementedError(
            absl::StrCat(origin_, ": tensor '", name, "' is of type ", text,
                         ", which Weir doesn't read (F64, F32, BF16, I64, I32, U8, BOOL)"));
      }
    }
    return Error("tensor '", name, "' has an unknown dtype '", text, "'");
  }

  absl::Status ReadEntry(const std::string& name, const Json& value) {
    if (!value.is_object()) return Error("tensor '", name, "' has no description");
    for (const auto& [key, ignored] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        return Error("tensor '", name, "' has an unknown field '", key, "'");
      }
    }
    auto field = [&](const char* key) -> const Json& {
      static const Json& none = *new Json();
      auto it = value.find(key);
      return it == value.end() ? none : *it;
    };
    SafetensorsEntry entry;
    entry.spec.name = name;
    absl::Status status = ReadType(name, field("dtype"), &entry.spec.type);
    if (!status.ok()) return status;
    std::optional<std::vector<int64_t>> shape = Integers(field("shape"));
    if (!shape) return Error("tensor '", name, "' has no valid shape");
    std::optional<std::vector<int64_t>> offsets = Integers(field("data_offsets"));
    if (!offsets || offsets->size() != 2) {
      return Error("tensor '", name, "' has no valid data_offsets");
    }
    int64_t begin = (*offsets)[0], end = (*offsets)[1];
    if (begin > end || end > static_cast<int64_t>(data_.size())) {
      return Error("tensor '", name, "' has bytes ", begin, " to ", end, ", but the file has ",
                   data_.size(), " bytes of data: it is truncated or corrupt");
    }
    int64_t bytes = ElementBytes(entry.spec.type);
    for (int64_t extent : *shape) {
      if (__builtin_mul_overflow(bytes, extent, &bytes)) {
        return Error("tensor '", name, "' has an impossible shape [", absl::StrJoin(*shape, ", "),
                     "]");
      }
    }
    if (bytes != end - begin) {
      return Error("tensor '", name, "' of shape [", absl::StrJoin(*shape, ", "), "] and type ",
                   DtypeName(entry.spec.type), " needs ", bytes, " bytes, but has ", end - begin);
    }
    entry.spec.shape = *std::move(shape);
    entry.data = data_.substr(begin, bytes);
    result_.entries.push_back(std::move(entry));
    return absl::OkStatus();
  }

  // Sorts the entries by place and refuses holes and overlaps.
  absl::Status CheckCover() {
    auto place = [](const SafetensorsEntry& entry) {
      return std::tuple(entry.data.data(), entry.data.size(), absl::string_view(entry.spec.name));
    };
    std::sort(
        result_.entries.begin(), result_.entries.end(),
        [&](const SafetensorsEntry& a, const SafetensorsEntry& b) { return place(a) < place(b); });
    const char* expected = data_.data();
    for (const SafetensorsEntry& entry : result_.entries) {
      if (entry.data.data() != expected) {
        return Error(
            "tensor '", entry.spec.name,
            entry.data.data() < expected ? "' overlaps another" : "' leaves a hole before it");
      }
      expected += entry.data.size();
    }
    if (expected != data_.data() + data_.size()) {
      return Error(data_.data() + data_.size() - expected, " bytes of data belong to no tensor");
    }
    return absl::OkStatus();
  }

  absl::string_view bytes_, origin_, data_;
  Safetensors result_;
};

}  // namespace

const SafetensorsEntry* Safetensors::Find(absl::string_view name) const {
  for (const SafetensorsEntry& entry : entries) {
    if (entry.spec.name == name) return &entry;
  }
  return nullptr;
}

absl::StatusOr<Safetensors> ParseSafetensors(absl::string_view bytes, absl::string_view origin) {
  return HeaderReader(bytes, origin).Read();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<Safetensors> contents = ParseSafetensors((*file)->bytes(), path);
  if (!contents.ok()) return contents.status();
  return SafetensorsFile(path, *std::move(file), *std::move(contents));
}

absl::StatusOr<HostTensor> SafetensorsFile::Read(absl::string_view name) const {
  const SafetensorsEntry* entry = Find(name);
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat(path_, ": there is no tensor '", name, "'"));
  }
  HostTensor tensor(entry->spec);
  std::copy(entry->data.begin(), entry->data.end(), tensor.bytes().begin());
  return tensor;
}

absl::Status WriteSafetensors(const std::string& path, absl::Span<const HostTensor> tensors,
                              const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  int64_t offset = 0;
  for (const HostTensor& tensor : tensors) {
    const TensorSpec& spec = tensor.spec();
    if (spec.name == kMetadata || header.contains(spec.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot write '", path, "': the name '", spec.name, "' is taken"));
    }
    header[spec.name] = {{"dtype", std::string(DtypeName(spec.type))},
                         {"shape", spec.shape},
                         {"data_offsets", {offset, offset + spec.NumBytes()}}};
    offset += spec.NumBytes();
  }
  // Names that aren't UTF-8 become readable instead of an exception; spaces align the data to 8
  // bytes, as the format asks.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t size = text.size();
  std::vector<absl::string_view> pieces = {
      absl::string_view(reinterpret_cast<const char*>(&size), sizeof(size)), text};
  for (const HostTensor& tensor : tensors) {
    pieces.emplace_back(tensor.bytes().data(), tensor.bytes().size());
  }
  return WriteFileAtomically(path, pieces);
}

}  // namespace weir::runtime
