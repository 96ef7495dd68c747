// Documents packed into rows.

#ifndef WEIR_COMPILER_DRIVER_CHECK_SEGMENTS_H_
#define WEIR_COMPILER_DRIVER_CHECK_SEGMENTS_H_

#include <vector>

#include "compiler/driver/check/bench.h"

namespace weir::check {

struct Document {
  int64_t row, from, count;
  int32_t id;
};

/// Up to four documents a row, one of them a token long, with borders at other places in each row.
std::vector<Document> packDocuments(int64_t batch, int64_t length);

/// The ids as the input `segments`.
runtime::HostTensor segmentsOf(const std::vector<Document>& documents, int64_t batch,
                               int64_t length);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_SEGMENTS_H_
