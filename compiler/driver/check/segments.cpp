#include "compiler/driver/check/segments.h"

#include <algorithm>

namespace weir::check {

std::vector<Document> packDocuments(int64_t batch, int64_t length) {
  // No order in them, and none is 0, which states begin with.
  constexpr int32_t kIds[] = {5, -2, 9, 3};
  std::vector<Document> documents;
  for (int64_t row = 0; row < batch; ++row) {
    std::vector<int64_t> borders = {length / 3 + row, length / 3 + row + 1, length - 2 - row,
                                    length};
    int64_t from = 0, number = 0;
    for (int64_t border : borders) {
      border = std::min(border, length);
      if (border <= from) continue;
      documents.push_back({row, from, border - from, kIds[number++]});
      from = border;
    }
  }
  return documents;
}

runtime::HostTensor segmentsOf(const std::vector<Document>& documents, int64_t batch,
                               int64_t length) {
  runtime::HostTensor segments(
      runtime::TensorSpec{"segments", runtime::ElementType::kI32, {batch, length}});
  for (const Document& document : documents)
    for (int64_t t = 0; t < document.count; ++t)
      segments.As<int32_t>()[document.row * length + document.from + t] = document.id;
  return segments;
}

}  // namespace weir::check
