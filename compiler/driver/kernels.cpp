#include "compiler/driver/kernels.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/bench/own_traffic.h"
#include "compiler/driver/bench/subject.h"
#include "compiler/driver/flags.h"
#include "runtime/base/human.h"

namespace weir {

using bench::Intermediate;
using bench::LaunchFacts;
using runtime::HumanBytes;
using runtime::HumanCount;

namespace {

/// A kernel with all its launches.
struct Kernel {
  std::string name, parts, place;
  int64_t launches = 0;
  double flops = 0, readBytes = 0, writtenBytes = 0;
  /// Of all launches; nothing where loops depend on more than shapes.
  std::optional<bench::OwnTraffic> own;
};

/// Intermediates that differ only in the layer they are in.
struct Passage {
  std::string from, to, fromPlace, toPlace, why;
  double bytes = 0;
  int64_t count = 0;
};

struct Listing {
  std::vector<Kernel> kernels;
  std::vector<Passage> passages;
  bench::Work floor;
};

absl::StatusOr<std::vector<Kernel>> kernelsOf(Workspace& workspace, mlir::ModuleOp module,
                                              const std::vector<LaunchFacts>& launches) {
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  llvm::MapVector<llvm::StringRef, Kernel> kernels;
  for (const LaunchFacts& launch : launches) {
    Kernel& kernel = kernels[launch.kernel];
    if (kernel.launches++ == 0) {
      kernel.name = launch.kernel;
      kernel.place = launch.place;
    }
    if (!llvm::is_contained(llvm::split(kernel.parts, '+'), launch.part))
      absl::StrAppend(&kernel.parts, kernel.parts.empty() ? "" : "+", launch.part);
    kernel.flops += launch.flops;
    kernel.readBytes += launch.readBytes;
    kernel.writtenBytes += launch.writtenBytes;
  }
  std::vector<Kernel> list;
  for (auto& [name, kernel] : kernels) {
    auto own = bench::ownTrafficOf(module.lookupSymbol<mlir::func::FuncOp>(name), levels->front());
    if (mlir::failed(own)) return workspace.failed();
    kernel.own = *own;
    if (kernel.own)
      for (double* bytes : {&kernel.own->loaded, &kernel.own->stored, &kernel.own->near})
        *bytes *= static_cast<double>(kernel.launches);
    list.push_back(std::move(kernel));
  }
  std::stable_sort(list.begin(), list.end(), [](const Kernel& a, const Kernel& b) {
    return a.readBytes + a.writtenBytes > b.readBytes + b.writtenBytes;
  });
  return list;
}

std::vector<Passage> passagesOf(const std::vector<LaunchFacts>& launches) {
  std::map<std::tuple<std::string, std::string, double, std::string>, Passage> passages;
  for (const Intermediate& each : bench::intermediatesOf(launches)) {
    const LaunchFacts &from = launches[each.producer], &to = launches[each.consumer];
    Passage& passage = passages[{from.kernel, to.kernel, each.bytes, each.why}];
    if (passage.count++ > 0) continue;
    passage.from = from.kernel;
    passage.to = to.kernel;
    passage.fromPlace = from.place;
    passage.toPlace = to.place;
    passage.bytes = each.bytes;
    passage.why = each.why;
  }
  std::vector<Passage> list;
  for (auto& [key, passage] : passages) list.push_back(std::move(passage));
  std::stable_sort(list.begin(), list.end(), [](const Passage& a, const Passage& b) {
    return a.bytes * static_cast<double>(a.count) > b.bytes * static_cast<double>(b.count);
  });
  return list;
}

void print(const Listing& listing, const std::string& entry) {
  std::printf(
      "kernels of %s; bytes are distinct bytes of operands, loads and stores are those of "
      "the code:\n",
      entry.c_str());
  std::printf("%8s %9s %10s %10s %10s %10s %6s %10s  %-28s %s\n", "launches", "FLOP", "read",
              "written", "loads", "stores", "ratio", "near", "kernel", "from");
  double bytes = 0;
  for (const Kernel& kernel : listing.kernels) {
    double distinct = kernel.readBytes + kernel.writtenBytes;
    bytes += distinct;
    std::string own = absl::StrFormat("%10s %10s %6s %10s", "-", "-", "-", "-");
    if (kernel.own)
      own = absl::StrFormat("%10s %10s %6.2f %10s", HumanBytes(kernel.own->loaded),
                            HumanBytes(kernel.own->stored),
                            (kernel.own->loaded + kernel.own->stored) / std::max(distinct, 1.0),
                            HumanBytes(kernel.own->near));
    std::printf("%8lld %9s %10s %10s %s  %-28s %s%s%s\n", static_cast<long long>(kernel.launches),
                HumanCount(kernel.flops).c_str(), HumanBytes(kernel.readBytes).c_str(),
                HumanBytes(kernel.writtenBytes).c_str(), own.c_str(), kernel.name.c_str(),
                kernel.parts.c_str(), kernel.place.empty() ? "" : ", ", kernel.place.c_str());
  }
  std::printf("all move %s; the floor of the step is %s and %sFLOP of products\n",
              HumanBytes(bytes).c_str(), HumanBytes(listing.floor.bytes).c_str(),
              HumanCount(listing.floor.flops).c_str());
  std::printf("\nthrough memory between two kernels:\n");
  for (const Passage& passage : listing.passages)
    std::printf("%5lld x %10s  %s (%s) -> %s (%s): %s\n", static_cast<long long>(passage.count),
                HumanBytes(passage.bytes).c_str(), passage.from.c_str(), passage.fromPlace.c_str(),
                passage.to.c_str(), passage.toPlace.c_str(), passage.why.c_str());
}

void printJson(const Listing& listing) {
  llvm::json::Array kernels, passages;
  for (const Kernel& kernel : listing.kernels) {
    llvm::json::Object object{{"kernel", kernel.name},
                              {"parts", kernel.parts},
                              {"place", kernel.place},
                              {"launches", kernel.launches},
                              {"flops", kernel.flops},
                              {"read_bytes", kernel.readBytes},
                              {"written_bytes", kernel.writtenBytes}};
    if (kernel.own) {
      object["loaded_bytes"] = kernel.own->loaded;
      object["stored_bytes"] = kernel.own->stored;
      object["near_bytes"] = kernel.own->near;
    }
    kernels.push_back(std::move(object));
  }
  for (const Passage& passage : listing.passages)
    passages.push_back(llvm::json::Object{{"from", passage.from},
                                          {"to", passage.to},
                                          {"from_place", passage.fromPlace},
                                          {"to_place", passage.toPlace},
                                          {"count", passage.count},
                                          {"bytes", passage.bytes},
                                          {"why", passage.why}});
  llvm::json::Value all = llvm::json::Object{{"kernels", std::move(kernels)},
                                             {"intermediates", std::move(passages)},
                                             {"floor_bytes", listing.floor.bytes},
                                             {"floor_flops", listing.floor.flops}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::formatv("{0:2}", all) << "\n";
  std::fputs(text.c_str(), stdout);
}

}  // namespace

absl::Status printKernels(Workspace& workspace, const LoadedModel& loaded) {
  absl::StatusOr<std::string> entry = bench::entryName(loaded);
  if (!entry.ok()) return entry.status();
  absl::StatusOr<bench::EntrySource> source = bench::entrySource(workspace, loaded, *entry);
  if (!source.ok()) return source.status();
  absl::StatusOr<bench::PlannedModule> planned = bench::planSource(workspace, source->program);
  if (!planned.ok()) return planned.status();
  mlir::ModuleOp module = *planned->module;
  std::vector<LaunchFacts> launches = bench::launchesOf(module, *entry);
  absl::StatusOr<std::vector<Kernel>> kernels = kernelsOf(workspace, module, launches);
  if (!kernels.ok()) return kernels.status();
  Listing listing{*std::move(kernels), passagesOf(launches),
                  bench::floorOf(loaded, *source, *planned, *entry)};
  absl::GetFlag(FLAGS_json) ? printJson(listing) : print(listing, *entry);
  return absl::OkStatus();
}

}  // namespace weir
