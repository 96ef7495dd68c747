// What a file of states must agree with.
#ifndef WEIR_RUNTIME_STREAMING_FINGERPRINT_H_
#define WEIR_RUNTIME_STREAMING_FINGERPRINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/program/program.h"
#include "runtime/program/session.h"

namespace weir::runtime {

// The program's metadata under this key, if there is any, is a hash of the model's text: it tells
// models apart that have the same parameters but compute something else with them.
inline constexpr char kModelHashKey[] = "model_hash";

// 16 hexadecimal digits for the model: its text, its parameters' names, types and shapes. Batch,
// prefill size, number format and instruction set don't count.
std::string ModelFingerprint(const Program& program);

// The same for the values of the parameters. Reads all of them.
absl::StatusOr<std::string> ParameterFingerprint(const Session& session);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_STREAMING_FINGERPRINT_H_
