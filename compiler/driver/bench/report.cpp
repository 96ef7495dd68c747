#include "compiler/driver/bench/report.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "llvm/ADT/MapVector.h"

#include "runtime/base/human.h"

namespace weir::bench {

using runtime::HumanBytes;
using runtime::HumanCount;

namespace {

template <typename Get>
Spread over(const Measured& measured, Get get) {
  std::vector<double> values;
  for (const Round& round : measured.rounds) values.push_back(get(round));
  return spreadOf(std::move(values));
}

std::string humanSeconds(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.3f s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.3f ms", seconds * 1e3);
  return absl::StrFormat("%.2f us", seconds * 1e6);
}

llvm::json::Object spreadJson(const Spread& spread) {
  return llvm::json::Object{{"low", spread.low},
                            {"lower_quartile", spread.lowerQuartile},
                            {"median", spread.median},
                            {"upper_quartile", spread.upperQuartile},
                            {"high", spread.high}};
}

llvm::json::Value optionJson(mlir::Attribute value) {
  if (auto flag = llvm::dyn_cast<mlir::BoolAttr>(value)) return flag.getValue();
  if (auto whole = llvm::dyn_cast<mlir::IntegerAttr>(value)) return whole.getInt();
  if (auto real = llvm::dyn_cast<mlir::FloatAttr>(value)) return real.getValueAsDouble();
  if (auto text = llvm::dyn_cast<mlir::StringAttr>(value)) return text.getValue().str();
  return nullptr;
}

/// Options of the model that have plain values, by name.
llvm::json::Object modelOptions(const Subject& subject) {
  llvm::json::Object options;
  ModelOp model = subject.loaded.model;
  for (ConfigOp config : model.getBody().getOps<ConfigOp>())
    if (mlir::Attribute value = config.getDefaultValueAttr())
      options[config.getName()] = optionJson(value);
  return options;
}

}  // namespace

Result resultOf(const Subject& subject, const Measured& measured) {
  Result result;
  const Work& floor = subject.floor;
  result.seconds = over(measured, [](const Round& round) { return round.seconds; });
  result.fraction = over(measured, [&](const Round& round) {
    return round.rates.seconds(floor.flops, floor.bytes) / round.seconds;
  });
  result.rates.flops = over(measured, [](const Round& round) { return round.rates.flops; }).median;
  result.rates.bytes = over(measured, [](const Round& round) { return round.rates.bytes; }).median;
  result.floorSeconds = result.rates.seconds(floor.flops, floor.bytes);
  result.plannedBytes = static_cast<double>(subject.program.session->memory_bytes());
  for (const LaunchFacts& launch : subject.launches) result.movedBytes += launch.bytes();
  return result;
}

std::vector<KernelLine> kernelLines(const Subject& subject, const Measured& measured,
                                    const Result& result) {
  llvm::MapVector<llvm::StringRef, std::vector<size_t>> kernels;
  for (size_t i = 0; i < subject.launches.size(); ++i)
    kernels[subject.launches[i].kernel].push_back(i);
  std::vector<KernelLine> lines;
  for (auto& [name, launches] : kernels) {
    KernelLine line;
    line.kernel = name.str();
    line.place = subject.launches[launches.front()].place;
    line.launches = static_cast<int64_t>(launches.size());
    std::vector<std::string> parts;
    for (size_t i : launches) {
      const LaunchFacts& launch = subject.launches[i];
      line.flops += launch.flops;
      line.bytes += launch.bytes();
      line.floorSeconds += result.rates.seconds(launch.flops, launch.bytes());
      if (!llvm::is_contained(parts, launch.part)) parts.push_back(launch.part);
    }
    line.parts = llvm::join(parts, "+");
    line.seconds = over(measured, [&](const Round& round) {
                     double sum = 0;
                     for (size_t i : launches) sum += round.launches[i].seconds;
                     return sum;
                   }).median;
    lines.push_back(std::move(line));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const KernelLine& a, const KernelLine& b) { return a.seconds > b.seconds; });
  return lines;
}

void printResult(const std::string& file, const Subject& subject, const Measured& measured,
                 const Result& result) {
  const runtime::Session& session = *subject.program.session;
  double seconds = result.seconds.median;
  std::printf("%s, %s: batch %lld, length %lld, %s, %s, %d thread%s\n", file.c_str(),
              subject.entry.c_str(), static_cast<long long>(subject.batch),
              static_cast<long long>(subject.length), stringifyPrecision(subject.precision).data(),
              session.isa().c_str(), session.threads(), session.threads() == 1 ? "" : "s");
  std::printf("  compile   %.2f s, from text to program; %s\n", subject.compileSeconds,
              subject.times.str().c_str());
  std::printf("  time      %s%s: median of %zu%s; quartiles %s and %s, all from %s to %s\n",
              humanSeconds(seconds).c_str(),
              measured.clock == ClockKind::Wall ? "" : " of the processor", measured.rounds.size(),
              measured.runsAtOnce > 1
                  ? absl::StrCat(", each the mean of ", measured.runsAtOnce).c_str()
                  : "",
              humanSeconds(result.seconds.lowerQuartile).c_str(),
              humanSeconds(result.seconds.upperQuartile).c_str(),
              humanSeconds(result.seconds.low).c_str(), humanSeconds(result.seconds.high).c_str());
  std::printf("  tokens    %s a second, %s each\n", HumanCount(subject.tokens() / seconds).c_str(),
              humanSeconds(seconds / subject.tokens()).c_str());
  std::printf(
      "  work      %sFLOP of products, %sFLOP/s; kernels move %s, %s/s\n",
      HumanCount(subject.floor.flops).c_str(), HumanCount(subject.floor.flops / seconds).c_str(),
      HumanBytes(result.movedBytes).c_str(), HumanBytes(result.movedBytes / seconds).c_str());
  std::printf("  memory    %s by plan; the process had %s\n",
              HumanBytes(result.plannedBytes).c_str(), HumanBytes(measured.processBytes).c_str());
  std::printf("  machine   products %sFLOP/s, memory %s/s, measured between the runs\n",
              HumanCount(result.rates.flops).c_str(), HumanBytes(result.rates.bytes).c_str());
  std::printf("  floor     %s: products %s, at least %s %s; %.3f of it reached (%.3f to %.3f)\n",
              humanSeconds(result.floorSeconds).c_str(),
              humanSeconds(subject.floor.flops / result.rates.flops).c_str(),
              HumanBytes(subject.floor.bytes).c_str(),
              humanSeconds(subject.floor.bytes / result.rates.bytes).c_str(),
              result.fraction.median, result.fraction.low, result.fraction.high);
}

void printKernelLines(const std::vector<KernelLine>& lines) {
  double total = 0, floor = 0;
  for (const KernelLine& line : lines) {
    total += line.seconds;
    floor += line.floorSeconds;
  }
  std::printf("\n%10s %6s %8s %9s %10s %10s %9s  %-28s %s\n", "time", "share", "launches", "FLOP",
              "bytes", "floor", "fraction", "kernel", "from");
  for (const KernelLine& line : lines) {
    std::printf("%10s %5.1f%% %8lld %9s %10s %10s %9.3f  %-28s %s%s%s\n",
                humanSeconds(line.seconds).c_str(), 100 * line.seconds / total,
                static_cast<long long>(line.launches), HumanCount(line.flops).c_str(),
                HumanBytes(line.bytes).c_str(), humanSeconds(line.floorSeconds).c_str(),
                line.floorSeconds / line.seconds, line.kernel.c_str(), line.parts.c_str(),
                line.place.empty() ? "" : ", ", line.place.c_str());
  }
  std::printf("%10s of kernels, whose own floors add up to %s\n", humanSeconds(total).c_str(),
              humanSeconds(floor).c_str());
}

llvm::json::Object resultJson(const std::string& file, const Subject& subject,
                              const Measured& measured, const Result& result) {
  const runtime::Session& session = *subject.program.session;
  double seconds = result.seconds.median;
  llvm::json::Object settings{{"model", file},
                              {"entry", subject.entry},
                              {"batch", subject.batch},
                              {"length", subject.length},
                              {"precision", stringifyPrecision(subject.precision).str()},
                              {"isa", session.isa()},
                              {"threads", session.threads()},
                              {"repeats", static_cast<int64_t>(measured.rounds.size())},
                              {"clock", measured.clock == ClockKind::Wall ? "wall" : "cpu"},
                              {"runs_at_once", measured.runsAtOnce},
                              {"options", modelOptions(subject)}};
  return llvm::json::Object{{"compile_seconds", subject.compileSeconds},
                            {"step_seconds", seconds},
                            {"step_seconds_spread", spreadJson(result.seconds)},
                            {"seconds_per_token", seconds / subject.tokens()},
                            {"tokens_per_second", subject.tokens() / seconds},
                            {"flops_per_second", subject.floor.flops / seconds},
                            {"bytes_per_second", result.movedBytes / seconds},
                            {"moved_bytes", result.movedBytes},
                            {"peak_bytes", result.plannedBytes},
                            {"process_peak_bytes", measured.processBytes},
                            {"product_flops_per_second", result.rates.flops},
                            {"memory_bytes_per_second", result.rates.bytes},
                            {"floor_flops", subject.floor.flops},
                            {"floor_bytes", subject.floor.bytes},
                            {"floor_seconds", result.floorSeconds},
                            {"floor_fraction", result.fraction.median},
                            {"floor_fraction_spread", spreadJson(result.fraction)},
                            {"kernels_compiled", subject.times.program.kernels},
                            {"compiled_from_cache", subject.times.isFromCache},
                            {"launches", static_cast<int64_t>(subject.launches.size())},
                            {"settings", std::move(settings)}};
}

llvm::json::Array kernelJson(const std::vector<KernelLine>& lines) {
  llvm::json::Array array;
  for (const KernelLine& line : lines) {
    array.push_back(llvm::json::Object{{"kernel", line.kernel},
                                       {"parts", line.parts},
                                       {"place", line.place},
                                       {"launches", line.launches},
                                       {"seconds", line.seconds},
                                       {"flops", line.flops},
                                       {"bytes", line.bytes},
                                       {"floor_seconds", line.floorSeconds},
                                       {"floor_fraction", line.floorSeconds / line.seconds}});
  }
  return array;
}

llvm::json::Object traceJson(const Subject& subject, const Measured& measured,
                             const Result& result) {
  const Round* best = nullptr;
  double least = 0;
  for (const Round& round : measured.rounds) {
    double end =
        round.launches.empty() ? 0 : round.launches.back().start + round.launches.back().seconds;
    if (best && end >= least) continue;
    best = &round;
    least = end;
  }
  auto named = [](const char* kind, const std::string& name) {
    return llvm::json::Object{{"name", kind},
                              {"ph", "M"},
                              {"pid", 1},
                              {"tid", 1},
                              {"args", llvm::json::Object{{"name", name}}}};
  };
  llvm::json::Array events{named("process_name", subject.entry), named("thread_name", "launches")};
  for (size_t i = 0; best && i < best->launches.size(); ++i) {
    const LaunchFacts& launch = subject.launches[i];
    const LaunchSlice& slice = best->launches[i];
    double floor = result.rates.seconds(launch.flops, launch.bytes());
    events.push_back(
        llvm::json::Object{{"name", launch.kernel},
                           {"cat", launch.part},
                           {"ph", "X"},
                           {"pid", 1},
                           {"tid", 1},
                           {"ts", slice.start * 1e6},
                           {"dur", slice.seconds * 1e6},
                           {"args", llvm::json::Object{{"launch", static_cast<int64_t>(i)},
                                                       {"part", launch.part},
                                                       {"place", launch.place},
                                                       {"flops", launch.flops},
                                                       {"read_bytes", launch.readBytes},
                                                       {"written_bytes", launch.writtenBytes},
                                                       {"floor_us", floor * 1e6}}}});
  }
  return llvm::json::Object{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
}

}  // namespace weir::bench
