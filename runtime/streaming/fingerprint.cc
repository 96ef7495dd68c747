#include "runtime/streaming/fingerprint.h"

#include "absl/strings/str_cat.h"
#include "runtime/base/checksum.h"

namespace weir::runtime {
namespace {

std::string Digits(uint64_t hash) { return absl::StrCat(absl::Hex(hash, absl::kZeroPad16)); }

}  // namespace

std::string ModelFingerprint(const Program& program) {
  auto text = program.metadata.find(kModelHashKey);
  uint64_t hash = Checksum(text == program.metadata.end() ? "" : text->second);
  for (const Variable& variable : program.variables) {
    if (variable.role == Role::kParameter) hash = Checksum(variable.spec.ToString(), hash);
  }
  return Digits(hash);
}

absl::StatusOr<std::string> ParameterFingerprint(const Session& session) {
  uint64_t hash = kChecksumSeed;
  for (const Variable& variable : session.program().variables) {
    if (variable.role != Role::kParameter) continue;
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    hash = Checksum(absl::string_view(value->bytes().data(), value->bytes().size()), hash);
  }
  return Digits(hash);
}

}  // namespace weir::runtime
