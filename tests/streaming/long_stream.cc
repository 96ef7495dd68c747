// What a stream costs and how exact it is a million tokens after its beginning:
//
//   long_stream --near=1000 --far=1000000 f32.weir [f64.weir]
//
// The programs are of one model (weir compile --entry=stream --emit=program), one row each, the
// second in f64. Two streams read random tokens, one up to each position; then steps of the two are
// timed in turns, in time of the processor, so that what else the machine does counts little. At
// both positions the f64 program goes on from the f32 program's state, and the outputs of the two
// are compared. Fails if the state takes more bytes, if outputs differ by more than --error, or if
// a step at the far position takes more than --slower times as long.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/human.h"
#include "runtime/data/random.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/streaming/stream.h"
#include "runtime/training/checkpoint.h"

ABSL_FLAG(int64_t, near, 1000, "the first position");
ABSL_FLAG(int64_t, far, 1000000, "the second");
ABSL_FLAG(int64_t, chunk, 256, "steps that are timed at once");
ABSL_FLAG(int64_t, rounds, 9, "how often; the median counts");
ABSL_FLAG(double, error, 1e-5, "how far outputs may be from f64, over the largest of them");
ABSL_FLAG(double, slower, 1e9, "how many times as long a step may take at the far position");
ABSL_FLAG(std::string, params, "", "safetensors with f32 parameters; empty: initial ones");
ABSL_FLAG(int, threads, 1, "threads; 0 for all cores");

namespace weir::runtime {
namespace {

constexpr uint32_t kStream = 0x6c6f6e67;

// Of all threads.
double CpuSeconds() {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Model {
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<Session> session;
};

absl::StatusOr<Model> Open(const std::string& path) {
  Model model;
  absl::StatusOr<Program> program = LoadProgram(path);
  if (!program.ok()) return program.status();
  absl::StatusOr<std::unique_ptr<CpuDevice>> device = CpuDevice::Create({});
  if (!device.ok()) return device.status();
  model.device = *std::move(device);
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create(*std::move(program), *model.device, {absl::GetFlag(FLAGS_threads)});
  if (!session.ok()) return session.status();
  model.session = *std::move(session);
  return model;
}

// Variables of the given role, each with the type that the other program has.
absl::Status CopyVariables(const Session& from, Session& to, Role role) {
  for (const Variable& variable : to.program().variables) {
    if (variable.role != role) continue;
    absl::StatusOr<HostTensor> value = from.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    HostTensor converted(variable.spec);
    for (int64_t i = 0; i < variable.spec.NumElements(); ++i)
      converted.SetNumber(i, value->Number(i));
    if (absl::Status status = to.WriteVariable(variable.spec.name, converted); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

// A stream that reads random tokens: token i is always the same.
class Reader {
 public:
  static absl::StatusOr<Reader> Create(Session& session) {
    absl::StatusOr<Stream> stream = Stream::Create(session);
    if (!stream.ok()) return stream.status();
    const std::vector<TensorSpec>& inputs = stream->inputs();
    if (inputs.size() != 1 || inputs[0].type != ElementType::kI32 || inputs[0].shape.size() != 2 ||
        inputs[0].shape[0] != 1 || stream->outputs()[0].shape.size() != 3)
      return absl::InvalidArgumentError("the model doesn't read the tokens of one sequence");
    return Reader(*std::move(stream));
  }

  const Stream& stream() const { return stream_; }
  const std::vector<HostTensor>& outputs() const { return outputs_; }

  // Up to a position, as many at once as there are in a prefill.
  absl::Status ReadTo(int64_t position) {
    while (stream_.position() < position) {
      int64_t n =
          std::min(std::max<int64_t>(stream_.prefill_size(), 1), position - stream_.position());
      absl::Status status = stream_.Prefill({Next(n)}, Stream::Outputs::kLast, &outputs_);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Step() { return stream_.Step({Next(1)}, &outputs_); }

  // Seconds of the processor for a step, over `count` of them.
  absl::StatusOr<double> Time(int64_t count) {
    std::vector<HostTensor> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back(At(stream_.position() + i, 1));
    double start = CpuSeconds();
    for (const HostTensor& token : tokens) {
      absl::Status status = stream_.Step({token}, &outputs_);
      if (!status.ok()) return status;
    }
    return (CpuSeconds() - start) / static_cast<double>(count);
  }

  // Reads the token of another stream's position: its states have been copied here.
  absl::Status StepAt(int64_t position) { return stream_.Step({At(position, 1)}, &outputs_); }

 private:
  explicit Reader(Stream stream) : stream_(std::move(stream)) {}

  HostTensor Next(int64_t n) const { return At(stream_.position(), n); }

  HostTensor At(int64_t position, int64_t n) const {
    HostTensor tokens({stream_.inputs()[0].name, ElementType::kI32, {1, n}});
    for (int64_t i = 0; i < n; ++i) {
      RandomSequence random(1, kStream, position + i);
      tokens.As<int32_t>()[i] = static_cast<int32_t>(random.Below(stream_.outputs()[0].shape[2]));
    }
    return tokens;
  }

  Stream stream_;
  std::vector<HostTensor> outputs_;
};

// The largest difference of 32 tokens' outputs over the largest output: `exact` begins with the
// states of `session`.
absl::StatusOr<double> Error(Session& session, Reader& reader, Session& exact_session,
                             Reader& exact) {
  absl::Status status = CopyVariables(session, exact_session, Role::kState);
  if (!status.ok()) return status;
  double difference = 0, largest = 0;
  for (int i = 0; i < 32; ++i) {
    if (status = exact.StepAt(reader.stream().position()); !status.ok()) return status;
    if (status = reader.Step(); !status.ok()) return status;
    const HostTensor &ours = reader.outputs()[0], &theirs = exact.outputs()[0];
    for (int64_t j = 0; j < ours.spec().NumElements(); ++j) {
      difference = std::max(difference, std::abs(ours.Number(j) - theirs.Number(j)));
      largest = std::max(largest, std::abs(theirs.Number(j)));
      if (!std::isfinite(ours.Number(j)))
        return absl::InternalError(
            absl::StrCat("an output is ", ours.Number(j), " at ", reader.stream().position()));
    }
  }
  return difference / largest;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

absl::Status Measure(const std::vector<char*>& files) {
  absl::StatusOr<Model> model = Open(files[1]);
  if (!model.ok()) return model.status();
  Session& session = *model->session;
  std::string params = absl::GetFlag(FLAGS_params);
  absl::Status status =
      params.empty() ? InitializeVariables(session, 1) : LoadParameters(session, params);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Session>> near_session =
      Session::CreateSharing(session, {absl::GetFlag(FLAGS_threads)});
  if (!near_session.ok()) return near_session.status();
  absl::StatusOr<Reader> far = Reader::Create(session), near = Reader::Create(**near_session);
  if (!far.ok()) return far.status();
  if (!near.ok()) return near.status();

  if (status = near->ReadTo(absl::GetFlag(FLAGS_near)); !status.ok()) return status;
  if (status = far->ReadTo(absl::GetFlag(FLAGS_near)); !status.ok()) return status;
  double peak_near = PeakMemoryBytes();
  auto start = std::chrono::steady_clock::now();
  if (status = far->ReadTo(absl::GetFlag(FLAGS_far)); !status.ok()) return status;
  double seconds = SecondsSince(start);
  double peak_far = PeakMemoryBytes();
  int64_t count = absl::GetFlag(FLAGS_far) - absl::GetFlag(FLAGS_near);
  std::printf("%s: %lld tokens read in %.1f s, %.0f tokens/s\n", files[1],
              static_cast<long long>(count), seconds, static_cast<double>(count) / seconds);
  std::printf("peak memory at %lld: %s, at %lld: %s\n",
              static_cast<long long>(absl::GetFlag(FLAGS_near)), HumanBytes(peak_near).c_str(),
              static_cast<long long>(absl::GetFlag(FLAGS_far)), HumanBytes(peak_far).c_str());
  std::printf("state: %lld bytes at both\n", static_cast<long long>(far->stream().state_bytes()));
  // What is counted is what is there: states are variables, which have no other size later.
  if (far->stream().state_bytes() != near->stream().state_bytes())
    return absl::InternalError("the states differ in size");

  if (files.size() > 2) {
    absl::StatusOr<Model> exact_model = Open(files[2]);
    if (!exact_model.ok()) return exact_model.status();
    Session& exact_session = *exact_model->session;
    if (status = CopyVariables(session, exact_session, Role::kParameter); !status.ok())
      return status;
    absl::StatusOr<Reader> exact = Reader::Create(exact_session);
    if (!exact.ok()) return exact.status();
    for (auto* reader : {&*near, &*far}) {
      int64_t position = reader->stream().position();
      absl::StatusOr<double> error =
          Error(reader == &*far ? session : **near_session, *reader, exact_session, *exact);
      if (!error.ok()) return error.status();
      std::printf("error of outputs against f64 at %lld: %.2g\n", static_cast<long long>(position),
                  *error);
      if (!(*error <= absl::GetFlag(FLAGS_error)))
        return absl::InternalError(absl::StrCat("outputs at ", position, " are off by ", *error));
    }
  }

  std::vector<double> near_times, far_times;
  for (int64_t round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    for (auto* reader : {&*near, &*far}) {
      absl::StatusOr<double> time = reader->Time(absl::GetFlag(FLAGS_chunk));
      if (!time.ok()) return time.status();
      (reader == &*far ? far_times : near_times).push_back(*time);
    }
  }
  double near_time = Median(near_times), far_time = Median(far_times);
  std::printf(
      "a token: %.1f us of CPU time at %lld, %.1f us at %lld (median of %zu chunks of %lld)\n",
      near_time * 1e6, static_cast<long long>(absl::GetFlag(FLAGS_near)), far_time * 1e6,
      static_cast<long long>(absl::GetFlag(FLAGS_far)), far_times.size(),
      static_cast<long long>(absl::GetFlag(FLAGS_chunk)));
  if (far_time > near_time * absl::GetFlag(FLAGS_slower))
    return absl::InternalError("a token takes longer at the far position");
  return absl::OkStatus();
}

}  // namespace
}  // namespace weir::runtime

int main(int argc, char** argv) {
  std::vector<char*> files = absl::ParseCommandLine(argc, argv);
  if (files.size() < 2 || files.size() > 3) {
    std::fprintf(stderr, "long_stream [flags] f32.weir [f64.weir]\n");
    return 1;
  }
  absl::Status status = weir::runtime::Measure(files);
  if (status.ok()) return 0;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return 1;
}
