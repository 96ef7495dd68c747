// Segment ids: which tokens of a row are of which document. The rule, the same for every op and
// task: a document is a run of equal ids, and each document of a row has an id of its own. Ids are
// any i32, in any order.
#ifndef WEIR_RUNTIME_DATA_SEGMENTS_H_
#define WEIR_RUNTIME_DATA_SEGMENTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace weir::runtime {

// InvalidArgument, with the row and the place, if an id comes back after another one: ops that
// compare ids would join the two runs, ops that look for changes would not. `ids` are rows of
// `length`.
absl::Status CheckSegments(absl::Span<const int32_t> ids, int64_t length);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_SEGMENTS_H_
