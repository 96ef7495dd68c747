#include "runtime/data/documents.h"

#include <algorithm>
#include <map>
#include <utility>

#include "runtime/data/random.h"

namespace weir::runtime {
namespace {

constexpr uint32_t kTrainStream = 5;

class PackedText : public Task {
 public:
  PackedText(std::string ids, std::vector<PackedRow> train, std::vector<PackedRow> held_out,
             TaskSpec spec)
      : text_(std::move(ids)),
        train_(std::move(train)),
        held_out_(std::move(held_out)),
        spec_(std::move(spec)) {
    spec_.segments = {"segments", ElementType::kI32, spec_.targets.shape};
  }

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      RandomSequence random(seed, kTrainStream, index * batch() + row);
      FillRow(train_[random.Below(static_cast<int64_t>(train_.size()))], row, out);
    }
    return absl::OkStatus();
  }

  int64_t eval_batches() const override {
    return (static_cast<int64_t>(held_out_.size()) + batch() - 1) / batch();
  }

  absl::Status FillEval(int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      auto number = static_cast<size_t>(index * batch() + row);
      FillRow(number < held_out_.size() ? held_out_[number] : PackedRow(), row, out);
    }
    return absl::OkStatus();
  }

 private:
  int64_t batch() const { return spec_.tokens.shape[0]; }
  int64_t length() const { return spec_.tokens.shape[1]; }
  int32_t Byte(int64_t place) const { return static_cast<unsigned char>(text_[place]); }

  void FillRow(const PackedRow& pieces, int64_t row, const TaskBatch& out) const {
    const auto row_of = [&](absl::Span<char> bytes) {
      return reinterpret_cast<int32_t*>(bytes.data()) + row * length();
    };
    int32_t *token = row_of(out.tokens), *target = row_of(out.targets);
    int32_t *segment = row_of(out.segments), id = 0;
    int64_t t = 0;
    for (const Piece& piece : pieces) {
      for (int64_t place = piece.begin; place < piece.end; ++place, ++t) {
        bool last = place + 1 == piece.end && !piece.goes_on;
        token[t] = Byte(place);
        target[t] = last ? -1 : Byte(place + 1);
        segment[t] = id;
      }
      ++id;
    }
    for (; t < length(); ++t) {
      token[t] = 0;
      target[t] = -1;
      segment[t] = id;
    }
  }

  std::string text_;
  std::vector<PackedRow> train_, held_out_;
  TaskSpec spec_;
};

}  // namespace

std::vector<Piece> CutDocuments(absl::string_view text, absl::string_view separator,
                                int64_t length) {
  std::vector<Piece> pieces;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t found = text.find(separator, begin);
    size_t end = found == absl::string_view::npos ? text.size() : found + separator.size();
    // A separator right behind another one: there is no document between them.
    bool empty = found == begin;
    for (size_t from = begin; !empty && from < end; from += length) {
      size_t to = std::min<size_t>(from + length, end);
      pieces.push_back({static_cast<int64_t>(from), static_cast<int64_t>(to), to < end});
    }
    begin = end;
  }
  return pieces;
}

std::vector<PackedRow> PackPieces(absl::Span<const Piece> pieces, int64_t length, Packing packing) {
  std::vector<PackedRow> rows;
  if (packing == Packing::kOrder) {
    int64_t room = 0;
    for (const Piece& piece : pieces) {
      if (rows.empty() || piece.size() > room) {
        rows.emplace_back();
        room = length;
      }
      rows.back().push_back(piece);
      room -= piece.size();
    }
    return rows;
  }
  std::vector<Piece> sorted(pieces.begin(), pieces.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Piece& a, const Piece& b) { return a.size() > b.size(); });
  std::map<int64_t, std::vector<size_t>> rows_with_room;
  for (const Piece& piece : sorted) {
    int64_t room = length;
    size_t row = rows.size();
    if (auto best = rows_with_room.lower_bound(piece.size()); best != rows_with_room.end()) {
      room = best->first;
      row = best->second.back();
      best->second.pop_back();
      if (best->second.empty()) rows_with_room.erase(best);
    } else {
      rows.emplace_back();
    }
    rows[row].push_back(piece);
    if (room > piece.size()) rows_with_room[room - piece.size()].push_back(row);
  }
  return rows;
}

std::unique_ptr<Task> PackedTextTask(std::string ids, std::vector<PackedRow> train,
                                     std::vector<PackedRow> held_out, TaskSpec spec) {
  return std::make_unique<PackedText>(std::move(ids), std::move(train), std::move(held_out),
                                      std::move(spec));
}

}  // namespace weir::runtime
