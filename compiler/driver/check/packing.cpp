// Packed = separate: documents in one row neither see each other, in values and in gradients, nor
// differ from the same documents read alone, from the same place on the grid of chunks.

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "compiler/driver/check/kind.h"
#include "compiler/driver/check/segments.h"
#include "compiler/driver/check/stream_run.h"
#include "compiler/driver/tensors.h"

namespace weir::check {

using runtime::HostTensor;

namespace {

// Sums in another order, in f64.
constexpr double kTolerance = 1e-10;

bool isSequence(const std::string& name, const HostTensor& tensor, const Case& at) {
  return !isState(name) && name != "segments" && hasTime(tensor.spec(), at.length) &&
         tensor.spec().shape[0] == at.batch;
}

/// Calls `visit` for each element of a sequence that lies in a document.
void forEachIn(const Document& document, HostTensor& tensor,
               llvm::function_ref<void(int64_t)> visit) {
  int64_t inner = featuresAt(tensor.spec()), length = tensor.spec().shape[1];
  int64_t begin = (document.row * length + document.from) * inner;
  for (int64_t i = 0; i < document.count * inner; ++i) visit(begin + i);
}

std::string nameOf(const Document& document) {
  return absl::StrCat("the document at ", document.from, " of row ", document.row);
}

/// The tensors' elements in a document.
Difference compareIn(const Document& document, const HostTensor& found, const HostTensor& expected,
                     const std::string& name) {
  runtime::TensorSpec spec = expected.spec();
  spec.shape[0] = 1;
  spec.shape[1] = document.count;
  HostTensor a(spec), b(spec);
  copyTimes(found, document.row, document.from, a, 0, 0, document.count);
  copyTimes(expected, document.row, document.from, b, 0, 0, document.count);
  Difference difference = compare(a, b, name, std::max(largest(expected), 1e-30));
  difference.place = absl::StrCat(difference.place, " of ", nameOf(document));
  return difference;
}

class Packing {
 public:
  Packing(Bench& bench, const Case& at)
      : bench(bench), at(at), documents(packDocuments(at.batch, at.length)) {
    build.batch = at.batch;
    build.length = at.length;
    build.segments = true;
  }

  absl::StatusOr<Verdict> run() {
    absl::StatusOr<Tensors> drawn = bench.values(build);
    if (!drawn.ok()) return drawn.status();
    values = *std::move(drawn);
    values.at("segments") = segmentsOf(documents, at.batch, at.length);
    absl::StatusOr<Tensors> outputs = bench.run(build, "run", values);
    if (!outputs.ok()) return outputs.status();
    packed = *std::move(outputs);
    if (!hasTime(packed.at("output").spec(), at.length))
      return skip("the output isn't batch x time");
    for (const Document& document : documents) {
      absl::StatusOr<Verdict> verdict = checkLeaks(document);
      if (!verdict.ok() || verdict->outcome != Verdict::Outcome::Pass) return verdict;
    }
    return checkAlone();
  }

 private:
  /// What is in one document changes no other's outputs, and no other's outputs have a gradient by
  /// it.
  absl::StatusOr<Verdict> checkLeaks(const Document& changed) {
    Tensors others = values, asked = values;
    for (auto& [name, tensor] : others) {
      if (isCotangent(name) || !isSequence(name, tensor, at)) continue;
      forEachIn(changed, tensor, [&](int64_t i) {
        double value = tensor.Number(i);
        // Tokens 0 and 1 are in every vocabulary.
        setNumber(tensor, i, isInteger(tensor.spec()) ? (value == 0 ? 1 : 0) : -value - 0.5);
      });
    }
    absl::StatusOr<Tensors> outputs = bench.run(build, "run", others);
    if (!outputs.ok()) return outputs.status();
    for (const Document& document : documents) {
      if (isSame(document, changed)) continue;
      Difference leak = compareIn(document, outputs->at("output"), packed.at("output"), "output");
      if (leak.error > 0)
        return fail(absl::StrCat(nameOf(changed), " leaks: it changes ", leak.str()));
    }

    for (auto& [name, tensor] : asked) {
      if (!isCotangent(name)) continue;
      HostTensor zero(tensor.spec());
      if (name == "cotangent")
        forEachIn(changed, tensor, [&](int64_t i) { setNumber(zero, i, tensor.Number(i)); });
      tensor = zero;
    }
    absl::StatusOr<Tensors> gradients = bench.run(build, "gradients", asked);
    if (!gradients.ok()) return gradients.status();
    for (const auto& [name, gradient] : *gradients) {
      if (absl::StartsWith(name, "input.") && isSequence(name, gradient, at)) {
        HostTensor zero(gradient.spec());
        for (const Document& document : documents) {
          if (isSame(document, changed)) continue;
          Difference leak = compareIn(document, gradient, zero, name);
          if (leak.error > 0)
            return fail(absl::StrCat("gradients leak: the outputs of ", nameOf(changed),
                                     " have a gradient ", leak.place, ", ", leak.found));
        }
      }
      // First states are the first document's.
      if (absl::StartsWith(name, "state_gradient.") && changed.from > 0 && largest(gradient) > 0)
        return fail(absl::StrCat("gradients leak: the outputs of ", nameOf(changed),
                                 " have a gradient by the first ", name.substr(15)));
    }
    return pass("");
  }

  static bool isSame(const Document& a, const Document& b) {
    return a.row == b.row && a.from == b.from;
  }

  /// Each document in a stream of its own that begins where it lies in the row.
  absl::StatusOr<Verdict> checkAlone() {
    auto stream = StreamRun::create(
        bench, {at.batch, std::max<int64_t>(1, 2 * at.length / 5), at.length, true}, values);
    if (!stream.ok() && hasNoStepForm(stream.status()))
      return pass("no leak, in values and in gradients (alone: it has no step form)");
    if (!stream.ok()) return stream.status();
    Difference worst;
    for (const Document& document : documents) {
      Tensors states;
      for (const auto& [name, value] : values)
        if (isState(name))
          states.emplace(name, document.from == 0 ? value : HostTensor(value.spec()));
      HostTensor start(runtime::TensorSpec{"", runtime::ElementType::kI64, {}});
      setNumber(start, 0, static_cast<double>(document.from));
      HostTensor id(runtime::TensorSpec{"", runtime::ElementType::kI32, {at.batch}});
      for (int64_t row = 0; row < at.batch; ++row) setNumber(id, row, document.id);
      states["state.stream.start"] = start;
      states["state.stream.segment"] = id;
      if (absl::Status status = stream->begin(states); !status.ok()) return status;
      // The other rows read the same tokens as a document of this id too.
      Tensors alone = values;
      for (int64_t i = 0; i < at.batch * at.length; ++i)
        setNumber(alone.at("segments"), i, document.id);
      absl::Status status = stream->read(alone, document.from, document.count, false);
      if (!status.ok()) return status;
      HostTensor whole(packed.at("output").spec());
      copyTimes(stream->output(), document.row, 0, whole, document.row, document.from,
                document.count);
      worst.include(compareIn(document, packed.at("output"), whole, "output"));
    }
    return within(worst, kTolerance, "no leak; packed against alone:");
  }

  Bench& bench;
  const Case& at;
  std::vector<Document> documents;
  Build build;
  Tensors values, packed;
};

}  // namespace

absl::StatusOr<Verdict> checkPacking(Bench& bench, const Case& at) {
  return Packing(bench, at).run();
}

}  // namespace weir::check
