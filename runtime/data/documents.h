// Documents of a text, packed into rows.
//
//   std::vector<Piece> pieces = CutDocuments(text, "\n\n", 256);
//   std::vector<PackedRow> rows = PackPieces(pieces, 256, Packing::kFit);
#ifndef WEIR_RUNTIME_DATA_DOCUMENTS_H_
#define WEIR_RUNTIME_DATA_DOCUMENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/data/task.h"

namespace weir::runtime {

// The bytes [begin, end) of a text: a document, or a part of one that is longer than a row.
struct Piece {
  int64_t begin = 0, end = 0;
  bool goes_on = false;  // the document has a byte after it, which its last byte predicts

  int64_t size() const { return end - begin; }
};

// The pieces of every row, one behind the other.
using PackedRow = std::vector<Piece>;

// A document ends with the separator (not empty) behind it, or with the text; of separators in a
// row only the first ends a document, the others are skipped. Documents longer than `length` are
// cut into pieces of `length`. In the order of the text.
std::vector<Piece> CutDocuments(absl::string_view text, absl::string_view separator,
                                int64_t length);

enum class Packing {
  kFit,    // longest first, each into the row where it leaves the least room
  kOrder,  // in the given order; what doesn't fit any more begins a row
};

// Pieces no longer than `length`, in rows of `length`.
std::vector<PackedRow> PackPieces(absl::Span<const Piece> pieces, int64_t length, Packing packing);

// Predicts the next byte of its document: the rows of a training batch are drawn at random, an
// evaluation goes through all rows that are held out. `ids` is the text as token ids; `spec` lacks
// its segments. The ids of a row's documents
// are 0, 1, ...; what is left of the row is one more, without targets.
std::unique_ptr<Task> PackedTextTask(std::string ids, std::vector<PackedRow> train,
                                     std::vector<PackedRow> held_out, TaskSpec spec);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_DOCUMENTS_H_
