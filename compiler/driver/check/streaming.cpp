// Step by step = chunk by chunk = whole, from random first states: outputs, for rows of one
// document and of several, and the last states of layers.

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "compiler/driver/check/kind.h"
#include "compiler/driver/check/segments.h"
#include "compiler/driver/check/stream_run.h"

namespace weir::check {

namespace {

// Sums in another order, in f64.
constexpr double kTolerance = 1e-10;

Tensors statesOf(const Tensors& tensors) {
  Tensors states;
  for (const auto& [name, tensor] : tensors)
    if (isState(name)) states.emplace(name, tensor);
  return states;
}

/// Chunks with a step between, so that they begin at other places than multiples of their size;
/// the rest in steps.
absl::Status readInChunks(StreamRun& stream, const Tensors& values, int64_t length, int64_t chunk) {
  for (int64_t at = 0; at < length;) {
    bool fits = at + chunk <= length;
    absl::Status status = stream.read(values, at, fits ? chunk : 1, fits);
    if (!status.ok()) return status;
    at += fits ? chunk : 1;
    if (!fits || at >= length) continue;
    if (status = stream.read(values, at++, 1, false); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Verdict> checkStream(Bench& bench, const Case& at, bool segments) {
  Build build{at.batch, at.length};
  build.segments = segments;
  build.gradients = segments;  // as `packed` compiles it too
  absl::StatusOr<Tensors> values = bench.values(build);
  if (!values.ok()) return values.status();
  if (segments)
    values->at("segments") = segmentsOf(packDocuments(at.batch, at.length), at.batch, at.length);
  absl::StatusOr<Tensors> whole = bench.run(build, "run", *values);
  if (!whole.ok()) return whole.status();
  const runtime::HostTensor& output = whole->at("output");
  if (!hasTime(output.spec(), at.length)) return skip("the output isn't batch x time");

  // Not a divisor of the length, and as a rule not of a chunk of attention.
  int64_t chunk = std::max<int64_t>(1, 2 * at.length / 5);
  auto stream =
      StreamRun::create(bench, {at.batch, chunk, /*context=*/at.length, segments}, *values);
  if (!stream.ok() && hasNoStepForm(stream.status()))
    return skip(std::string(stream.status().message()));
  if (!stream.ok()) return stream.status();
  Difference worst;
  for (bool chunks : {false, true}) {
    absl::Status status = stream->begin(statesOf(*values));
    if (!status.ok()) return status;
    status = chunks ? readInChunks(*stream, *values, at.length, chunk)
                    : stream->read(*values, 0, at.length, false);
    if (!status.ok()) return status;
    absl::StatusOr<Tensors> states = stream->states();
    if (!states.ok()) return states.status();
    Difference difference = compare(stream->output(), output, "output", 1e-30);
    // In packed rows a stream may drop what another document left, as nothing reads it any more.
    if (!segments)
      for (const auto& [name, last] : statesOf(*whole))
        difference.include(compare(states->at(name), last, name, 1e-3));
    if (difference.error > kTolerance)
      return within(difference, kTolerance,
                    absl::StrCat(segments ? "packed rows, " : "",
                                 chunks ? absl::StrCat("chunks of ", chunk, " against whole:")
                                        : "step by step against whole:"));
    worst.include(difference);
  }
  return within(worst, kTolerance);
}

}  // namespace

absl::StatusOr<Verdict> checkStreaming(Bench& bench, const Case& at) {
  absl::StatusOr<Verdict> alone = checkStream(bench, at, /*segments=*/false);
  if (!alone.ok() || alone->outcome != Verdict::Outcome::Pass) return alone;
  absl::StatusOr<Verdict> packed = checkStream(bench, at, /*segments=*/true);
  if (!packed.ok() || packed->outcome != Verdict::Outcome::Pass) return packed;
  return pass(absl::StrCat("one document: ", alone->detail, "; several: ", packed->detail));
}

}  // namespace weir::check
