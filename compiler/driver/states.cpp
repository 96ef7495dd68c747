#include "compiler/driver/states.h"

#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/flags.h"
#include "compiler/driver/stream.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/step_form.h"
#include "runtime/base/human.h"

namespace weir {

using namespace mlir;
using runtime::HumanBytes;

namespace {

/// States that differ in the numbers of their layers only, together.
struct StateGroup {
  std::string name, type;
  int64_t count = 0;
  double bytes = 0;
};

struct States {
  std::vector<StateGroup> groups;
  double bytes = 0;
  std::optional<int64_t> positionLimit;
};

/// "layer.3.attention.keys" as "layer.*.attention.keys".
std::string withoutNumbers(StringRef path) {
  std::vector<std::string> parts = absl::StrSplit(path.str(), '.');
  for (std::string& part : parts)
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string::npos) part = "*";
  return absl::StrJoin(parts, ".");
}

/// The states of one sequence, as the step form has them. On failure `reason` says what is in the
/// way.
FailureOr<States> statesOf(Workspace& workspace, const LoadedModel& loaded, StreamSettings settings,
                           std::string& reason) {
  settings.batch = 1;
  settings.chunk = 0;
  settings.stopAfter = Level::Specialized;
  llvm::raw_string_ostream stream(reason);
  // It is an answer here, not an error.
  ScopedDiagnosticHandler handler(&workspace.context(), [&](Diagnostic& diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      stream << "    " << diagnostic.getLocation() << ": " << diagnostic << "\n";
    return success();
  });
  auto module = streamModule(workspace, loaded, settings);
  if (!module.ok()) return failure();
  func::FuncOp step = *(**module).getOps<func::FuncOp>().begin();
  States states;
  if (auto limit = step->getAttrOfType<IntegerAttr>(kPositionLimitAttr))
    states.positionLimit = limit.getInt();
  for (unsigned i = 0; i < step.getNumArguments(); ++i) {
    StringRef path = stringAttr(step.getArgAttr(i, kStateAttr));
    if (path.empty()) continue;
    std::string name = withoutNumbers(path), type;
    llvm::raw_string_ostream(type) << step.getArgument(i).getType();
    auto bytes = static_cast<double>(byteSize(step.getArgument(i).getType()));
    states.bytes += bytes;
    auto group = llvm::find_if(states.groups, [&](const StateGroup& group) {
      return group.name == name && group.type == type;
    });
    if (group == states.groups.end()) group = states.groups.insert(group, {name, type, 0, 0});
    ++group->count;
    group->bytes += bytes;
  }
  return states;
}

/// Another bound for attention, to see what grows with it. A smaller one: parameters can limit it.
int64_t otherContext(int64_t context) { return context > 1 ? context / 2 : 2; }

/// Bytes of the states of that name.
double bytesOf(const States& states, const std::string& name) {
  double bytes = 0;
  for (const StateGroup& group : states.groups)
    if (group.name == name) bytes += group.bytes;
  return bytes;
}

/// The states with that other bound.
FailureOr<States> statesOfOtherContext(Workspace& workspace, const LoadedModel& loaded,
                                       StreamSettings settings, std::string& reason) {
  settings.context = otherContext(settings.context);
  return statesOf(workspace, loaded, settings, reason);
}

}  // namespace

absl::StatusOr<int64_t> attentionContext(Workspace& workspace, const LoadedModel& loaded,
                                         const StreamSettings& settings) {
  std::string reason;
  FailureOr<States> states = statesOf(workspace, loaded, settings, reason);
  FailureOr<States> other = statesOfOtherContext(workspace, loaded, settings, reason);
  if (failed(states) || failed(other))
    return absl::FailedPreconditionError(absl::StrCat("the model has no step form:\n", reason));
  return states->bytes == other->bytes ? 0 : settings.context;
}

absl::Status printStates(Workspace& workspace, const LoadedModel& loaded) {
  absl::StatusOr<StreamSettings> settings = streamSettings(loaded);
  if (!settings.ok()) return settings.status();
  std::string reason;
  FailureOr<States> states = statesOf(workspace, loaded, *settings, reason);
  if (failed(states)) {
    std::printf("\nno step form:\n%s", reason.c_str());
    return absl::OkStatus();
  }
  FailureOr<States> other = statesOfOtherContext(workspace, loaded, *settings, reason);
  if (failed(other))
    return absl::InternalError(absl::StrCat("no step form for another --context:\n", reason));
  std::printf("\nstate of a stream, for each sequence:\n");
  bool bounded = false;
  for (const StateGroup& state : states->groups) {
    double slope = (bytesOf(*states, state.name) - bytesOf(*other, state.name)) /
                   static_cast<double>(settings->context - otherContext(settings->context));
    std::string growth = "constant";
    if (slope > 0)
      growth = absl::StrCat("a cache of the last tokens: ", HumanBytes(slope), " for each of ",
                            settings->context);
    bounded |= slope > 0;
    std::printf("  %-40s %3lld x %-24s %10s  %s\n", state.name.c_str(),
                static_cast<long long>(state.count), state.type.c_str(),
                HumanBytes(state.bytes).c_str(), growth.c_str());
  }
  std::printf("  total %s (%.0f bytes), the same at every position\n",
              HumanBytes(states->bytes).c_str(), states->bytes);
  if (bounded)
    std::printf(
        "  attention looks back on %lld tokens at most (--context), and not on older ones\n",
        static_cast<long long>(settings->context));
  if (states->positionLimit)
    std::printf("  the model knows %lld positions: a sequence ends there\n",
                static_cast<long long>(*states->positionLimit));
  return absl::OkStatus();
}

}  // namespace weir
