// The file format of programs. The header is
//
//   8 bytes magic "WEIRPROG" | u32 format version | u32 zero | u64 payload bytes | u64 checksum of
//   the payload
//
// and the payload the fields of Program in order; numbers are little-endian, strings and lists
// begin with their u64 count. A change of the payload is a new format version; a reader refuses
// versions it doesn't know.
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/checksum.h"
#include "runtime/base/file.h"
#include "runtime/program/program.h"

namespace weir::runtime {
namespace {

constexpr absl::string_view kMagic = "WEIRPROG";
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kHeaderBytes = 32;

class Writer {
 public:
  template <typename T>
  void Number(T value) {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    bytes_.append(bytes, sizeof(T));
  }
  void Text(absl::string_view text) {
    Number<uint64_t>(text.size());
    bytes_.append(text.data(), text.size());
  }
  template <typename List, typename Each>
  void Items(const List& list, Each each) {
    Number<uint64_t>(list.size());
    for (const auto& item : list) each(item);
  }
  void Spec(const TensorSpec& spec) {
    Text(spec.name);
    Number(spec.type);
    Items(spec.shape, [&](int64_t extent) { Number(extent); });
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what Writer wrote. After the first failure everything reads as zero and empty, and ok() is
// false.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool done() const { return ok_ && bytes_.empty(); }

  template <typename T>
  T Number() {
    T value{};
    absl::string_view taken = Take(sizeof(T));
    if (ok_) std::memcpy(&value, taken.data(), sizeof(T));
    return value;
  }
  template <typename T>
  T Enum(int count) {
    auto value = Number<std::underlying_type_t<T>>();
    if (value >= count) ok_ = false;
    return ok_ ? static_cast<T>(value) : T{};
  }
  std::string Text() { return std::string(Take(Number<uint64_t>())); }
  // `each` reads one item, of at least `min_bytes` bytes: a corrupt count fails before anything is
  // allocated.
  template <typename T, typename Each>
  std::vector<T> Items(size_t min_bytes, Each each) {
    uint64_t count = Number<uint64_t>();
    std::vector<T> items;
    if (count > bytes_.size() / min_bytes) ok_ = false;
    if (!ok_) return items;
    items.reserve(count);
    for (uint64_t i = 0; i < count && ok_; ++i) items.push_back(each());
    return items;
  }
  TensorSpec Spec() {
    TensorSpec spec;
    spec.name = Text();
    spec.type = Enum<ElementType>(kNumElementTypes);
    spec.shape = Items<int64_t>(8, [&] { return Number<int64_t>(); });
    return spec;
  }

 private:
  absl::string_view Take(uint64_t count) {
    if (!ok_ || count > bytes_.size()) {
      ok_ = false;
      return {};
    }
    absl::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  absl::string_view bytes_;
  bool ok_ = true;
};

constexpr size_t kMinSpecBytes = 8 + 1 + 8;

void WriteEntryPoint(Writer& out, const EntryPoint& entry) {
  out.Text(entry.name);
  out.Items(entry.inputs, [&](const TensorSpec& spec) { out.Spec(spec); });
  out.Items(entry.outputs, [&](const TensorSpec& spec) { out.Spec(spec); });
  out.Items(entry.launches, [&](const Launch& launch) {
    out.Number(launch.kernel);
    out.Items(launch.buffers, [&](const BufferRef& ref) {
      out.Number(ref.space);
      out.Number(ref.index);
      out.Number(ref.byte_offset);
    });
  });
  out.Number(entry.arena_bytes);
  out.Number(entry.shared_scratch_bytes);
  out.Number(entry.thread_scratch_bytes);
}

EntryPoint ReadEntryPoint(Reader& in) {
  EntryPoint entry;
  entry.name = in.Text();
  entry.inputs = in.Items<TensorSpec>(kMinSpecBytes, [&] { return in.Spec(); });
  entry.outputs = in.Items<TensorSpec>(kMinSpecBytes, [&] { return in.Spec(); });
  entry.launches = in.Items<Launch>(4 + 8, [&] {
    Launch launch;
    launch.kernel = in.Number<int32_t>();
    launch.buffers = in.Items<BufferRef>(1 + 8 + 8, [&] {
      BufferRef ref;
      ref.space = in.Enum<Space>(kNumSpaces);
      ref.index = in.Number<int64_t>();
      ref.byte_offset = in.Number<int64_t>();
      return ref;
    });
    return launch;
  });
  entry.arena_bytes = in.Number<int64_t>();
  entry.shared_scratch_bytes = in.Number<int64_t>();
  entry.thread_scratch_bytes = in.Number<int64_t>();
  return entry;
}

Program ReadProgram(Reader& in) {
  Program program;
  program.kernels = in.Items<std::string>(8, [&] { return in.Text(); });
  program.variables = in.Items<Variable>(kMinSpecBytes + 1, [&] {
    Variable variable;
    variable.spec = in.Spec();
    variable.role = in.Enum<Role>(kNumRoles);
    return variable;
  });
  program.constants = in.Items<std::string>(8, [&] { return in.Text(); });
  program.entry_points = in.Items<EntryPoint>(56, [&] { return ReadEntryPoint(in); });
  program.code = in.Items<CodeObject>(16, [&] {
    CodeObject code;
    code.isa = in.Text();
    code.elf = in.Text();
    return code;
  });
  using Pair = std::pair<std::string, std::string>;
  for (Pair& pair : in.Items<Pair>(16, [&] {
         std::string key = in.Text();
         return Pair(std::move(key), in.Text());
       })) {
    program.metadata.insert(std::move(pair));
  }
  return program;
}

}  // namespace

std::string SerializeProgram(const Program& program) {
  Writer out;
  out.Items(program.kernels, [&](const std::string& kernel) { out.Text(kernel); });
  out.Items(program.variables, [&](const Variable& variable) {
    out.Spec(variable.spec);
    out.Number(variable.role);
  });
  out.Items(program.constants, [&](const std::string& constant) { out.Text(constant); });
  out.Items(program.entry_points, [&](const EntryPoint& entry) { WriteEntryPoint(out, entry); });
  out.Items(program.code, [&](const CodeObject& code) {
    out.Text(code.isa);
    out.Text(code.elf);
  });
  out.Items(program.metadata, [&](const std::pair<const std::string, std::string>& pair) {
    out.Text(pair.first);
    out.Text(pair.second);
  });

  Writer header;
  header.bytes().append(kMagic.data(), kMagic.size());
  header.Number(kFormatVersion);
  header.Number<uint32_t>(0);
  header.Number<uint64_t>(out.bytes().size());
  header.Number<uint64_t>(Checksum(out.bytes()));
  return header.bytes() + out.bytes();
}

absl::StatusOr<Program> ParseProgram(absl::string_view bytes, absl::string_view origin) {
  if (bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": this is no Weir program"));
  }
  Reader header(bytes.substr(kMagic.size(), kHeaderBytes - kMagic.size()));
  uint32_t version = header.Number<uint32_t>();
  header.Number<uint32_t>();
  uint64_t size = header.Number<uint64_t>();
  uint64_t checksum = header.Number<uint64_t>();
  if (!header.ok()) return absl::DataLossError(absl::StrCat(origin, ": the file is truncated"));
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(origin, ": the program has format version ",
                                                      version, ", this Weir reads ", kFormatVersion,
                                                      "; compile the model again"));
  }
  absl::string_view payload = bytes.substr(kHeaderBytes);
  if (payload.size() != size) {
    return absl::DataLossError(absl::StrCat(origin, ": the file is truncated or has a tail: ",
                                            payload.size(), " bytes, ", size, " expected"));
  }
  if (Checksum(payload) != checksum) {
    return absl::DataLossError(
        absl::StrCat(origin, ": the checksum is wrong: the file is corrupt"));
  }
  Reader in(payload);
  Program program = ReadProgram(in);
  if (!in.done()) return absl::DataLossError(absl::StrCat(origin, ": the file is malformed"));
  if (absl::Status status = ValidateProgram(program); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", status.message()));
  }
  return program;
}

absl::Status SaveProgram(const Program& program, const std::string& path) {
  if (absl::Status status = ValidateProgram(program); !status.ok()) return status;
  std::string bytes = SerializeProgram(program);
  return WriteFileAtomically(path, {bytes});
}

absl::StatusOr<Program> LoadProgram(const std::string& path) {
  absl::StatusOr<std::unique_ptr<MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  return ParseProgram((*file)->bytes(), path);
}

}  // namespace weir::runtime
