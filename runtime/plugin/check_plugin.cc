#include "runtime/plugin/check_plugin.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/data/segments.h"
#include "runtime/plugin/plugin_task.h"
#include "runtime/plugin/registry.h"

namespace weir::runtime {
namespace {

constexpr uint64_t kSequences = 16;  // of each task
constexpr size_t kGuard = 64;        // elements before and behind each buffer
// Not a token, not a target: shows what was written, before, behind and inside.
constexpr int32_t kUntouched = -0x5EED5EED;
constexpr int64_t kMaxLength = int64_t{1} << 28;

struct Sequence {
  std::vector<int32_t> tokens, targets;
  std::vector<int32_t> segments;  // empty if the task isn't packed
};

class TaskChecker {
 public:
  TaskChecker(const PluginTask& task, PluginReport& report) : task_(task), report_(report) {}

  void Run() {
    if (task_.doc.empty()) Advise("has no doc");
    void* user = nullptr;
    if (!Create("", &user)) return;
    Passed("makes an instance from its default options");
    vocabulary_ = task_.functions.vocabulary(user);
    length_ = task_.functions.length(user);
    if (vocabulary_ < 1 || vocabulary_ > INT32_MAX) {
      Fail(absl::StrCat("its vocabulary is ", vocabulary_));
    } else if (length_ < 1 || length_ > kMaxLength) {
      Fail(absl::StrCat("its length is ", length_));
    } else {
      CheckFill(user);
    }
    Destroy(user);
    CheckUnknownOption();
  }

 private:
  void Passed(absl::string_view text) {
    report_.passed.push_back(absl::StrCat("task '", task_.name, "': ", text));
  }
  void Fail(absl::string_view text) {
    report_.findings.push_back({true, absl::StrCat("task '", task_.name, "': ", text)});
  }
  void Advise(absl::string_view text) {
    report_.findings.push_back({false, absl::StrCat("task '", task_.name, "': ", text)});
  }

  bool Create(const char* options, void** user) {
    char error[512];
    std::memset(error, 0x7f, sizeof(error));
    error[0] = '\0';
    if (task_.functions.create(options, user, error, sizeof(error)) == 0) return true;
    if (std::memchr(error, '\0', sizeof(error)) == nullptr) {
      Fail("create() doesn't end its error with a NUL");
    } else {
      Fail(absl::StrCat("create(\"", options, "\") fails: ", error));
    }
    return false;
  }

  void Destroy(void* user) {
    if (task_.functions.destroy != nullptr) task_.functions.destroy(user);
  }

  bool packed() const { return task_.functions.fill_packed != nullptr; }
  const char* fill_name() const { return packed() ? "fill_packed()" : "fill()"; }

  // Empty vectors if fill() fails or writes beside its buffers.
  Sequence Fill(void* user, uint64_t seed, uint64_t index, std::string* problem) const {
    std::vector<int32_t> buffers[3];
    for (std::vector<int32_t>& buffer : buffers) {
      buffer.assign(static_cast<size_t>(length_) + 2 * kGuard, kUntouched);
    }
    int32_t* inside[3];
    for (int i = 0; i < 3; ++i) inside[i] = buffers[i].data() + kGuard;
    const WeirTask& functions = task_.functions;
    const int32_t result =
        packed() ? functions.fill_packed(user, seed, index, inside[0], inside[1], inside[2])
                 : functions.fill(user, seed, index, inside[0], inside[1]);
    if (result != 0) {
      *problem = absl::StrCat(fill_name(), " returns ", result, " for sequence ", index);
      return {};
    }
    constexpr const char* kNames[] = {"tokens", "targets", "segments"};
    Sequence sequence;
    std::vector<int32_t>* results[] = {&sequence.tokens, &sequence.targets, &sequence.segments};
    for (int i = 0; i < (packed() ? 3 : 2); ++i) {
      const auto touched = [](int32_t value) { return value != kUntouched; };
      const std::vector<int32_t>& buffer = buffers[i];
      if (std::any_of(buffer.begin(), buffer.begin() + kGuard, touched) ||
          std::any_of(buffer.end() - kGuard, buffer.end(), touched)) {
        *problem =
            absl::StrCat(fill_name(), " writes outside the ", kNames[i], " of sequence ", index);
        return {};
      }
      results[i]->assign(buffer.begin() + kGuard, buffer.end() - kGuard);
    }
    return sequence;
  }

  std::vector<Sequence> FillAll(void* user, uint64_t seed, std::string* problem) const {
    std::vector<Sequence> sequences;
    for (uint64_t index = 0; index < kSequences && problem->empty(); ++index) {
      sequences.push_back(Fill(user, seed, index, problem));
    }
    return sequences;
  }

  static bool Same(const std::vector<Sequence>& a, const std::vector<Sequence>& b) {
    return std::equal(
        a.begin(), a.end(), b.begin(), b.end(), [](const Sequence& x, const Sequence& y) {
          return x.tokens == y.tokens && x.targets == y.targets && x.segments == y.segments;
        });
  }

  bool CheckRange(const std::vector<Sequence>& sequences) {
    for (size_t index = 0; index < sequences.size(); ++index) {
      for (int64_t t = 0; t < length_; ++t) {
        const int32_t token = sequences[index].tokens[t];
        const int32_t target = sequences[index].targets[t];
        const std::string place = absl::StrCat(" at position ", t, " of sequence ", index);
        const bool hole = packed() && sequences[index].segments[t] == kUntouched;
        if (token == kUntouched || target == kUntouched || hole) {
          Fail(absl::StrCat(fill_name(), " leaves a hole", place));
        } else if (token < 0 || token >= vocabulary_) {
          Fail(absl::StrCat("token ", token, place, " is outside the vocabulary of ", vocabulary_));
        } else if (target < -1 || target >= vocabulary_) {
          Fail(absl::StrCat("target ", target, place, " is neither -1 nor in the vocabulary of ",
                            vocabulary_));
        } else {
          continue;
        }
        return false;
      }
    }
    return true;
  }

  // Whether documents are told apart as weir_plugin.h says.
  void CheckDocuments(const std::vector<Sequence>& sequences) {
    for (size_t index = 0; index < sequences.size(); ++index) {
      absl::Status status = CheckSegments(sequences[index].segments, length_);
      if (status.ok()) continue;
      return Fail(absl::StrCat("sequence ", index, ": ", status.message()));
    }
    Passed("gives each document of a sequence an id of its own");
  }

  void CheckFill(void* user) {
    std::string problem;
    const std::vector<Sequence> first = FillAll(user, 1, &problem);
    if (!problem.empty()) return Fail(problem);
    Passed("writes its buffers and nothing beside them");
    if (CheckRange(first)) Passed("fills every position with tokens and targets in range");
    if (packed()) CheckDocuments(first);

    bool repeatable = Same(first, FillAll(user, 1, &problem));
    void* second = nullptr;
    if (Create("", &second)) {
      repeatable = repeatable && Same(first, FillAll(second, 1, &problem));
      Destroy(second);
    }
    if (repeatable) {
      Passed("gives the same sequence for the same seed and index");
    } else {
      Fail("gives another sequence for the same seed and index");
    }

    std::vector<std::vector<Sequence>> results(4);
    std::vector<std::string> problems(results.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < results.size(); ++i) {
      threads.emplace_back([&, i] { results[i] = FillAll(user, 1, &problems[i]); });
    }
    for (std::thread& thread : threads) thread.join();
    const bool threads_agree =
        std::all_of(results.begin(), results.end(),
                    [&](const std::vector<Sequence>& result) { return Same(first, result); });
    if (threads_agree) {
      Passed("gives the same sequences from several threads at once");
    } else if (repeatable) {
      Fail("gives other sequences from several threads at once");
    }

    if (Same(first, FillAll(user, 2, &problem))) Advise("doesn't depend on the seed");
    const bool all_equal = std::all_of(first.begin(), first.end(), [&](const Sequence& sequence) {
      return sequence.tokens == first.front().tokens;
    });
    if (all_equal) Advise("its sequences are all the same");
    const bool no_target = std::all_of(first.begin(), first.end(), [](const Sequence& sequence) {
      return std::all_of(sequence.targets.begin(), sequence.targets.end(),
                         [](int32_t target) { return target == -1; });
    });
    if (no_target) Advise("its sequences have no target: there is nothing to learn");
  }

  void CheckUnknownOption() {
    void* user = nullptr;
    char error[512];
    std::memset(error, 0x7f, sizeof(error));
    error[0] = '\0';
    const char* const options = "no_such_option_0 = 1";
    if (task_.functions.create(options, &user, error, sizeof(error)) == 0) {
      Destroy(user);
      Fail("create() accepts an option that doesn't exist: a typing error would go unnoticed");
    } else if (std::memchr(error, '\0', sizeof(error)) == nullptr) {
      Fail("create() doesn't end its error with a NUL");
    } else if (error[0] == '\0') {
      Fail("create() refuses an unknown option without giving a reason");
    } else {
      Passed("refuses an option it doesn't know, with a reason");
    }
  }

  const PluginTask& task_;
  PluginReport& report_;
  int64_t vocabulary_ = 0;
  int64_t length_ = 0;
};

}  // namespace

bool PluginReport::ok() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.error; });
}

std::string PluginReport::ToString() const {
  std::string text;
  for (const std::string& line : passed) absl::StrAppend(&text, file, ": ok: ", line, "\n");
  for (const Finding& finding : findings) {
    absl::StrAppend(&text, file, finding.error ? ": ERROR: " : ": advice: ", finding.text, "\n");
  }
  return text;
}

PluginReport CheckPlugin(const std::string& file) {
  PluginReport report;
  report.file = file;
  Registry registry;
  absl::Status status = registry.AddFile(file);
  if (!status.ok()) {
    report.findings.push_back({true, std::string(status.message())});
    return report;
  }
  report.passed.push_back(absl::StrCat("loads: ", registry.layers().size(), " layers, ",
                                       registry.kernels().size(), " kernels, ",
                                       registry.tasks().size(), " tasks"));
  for (const LoadedPlugin& plugin : registry.plugins()) {
    if (plugin.version_text.empty()) report.findings.push_back({false, "has no version text"});
    if (plugin.description.empty()) report.findings.push_back({false, "has no description"});
  }
  if (registry.layers().empty() && registry.kernels().empty() && registry.tasks().empty()) {
    report.findings.push_back({false, "holds nothing"});
  }
  for (const auto& [name, layer] : registry.layers()) {
    report.passed.push_back(absl::StrCat("layer '", name, "': found by its name"));
    if (layer.doc.empty()) {
      report.findings.push_back({false, absl::StrCat("layer '", name, "': has no doc")});
    }
  }
  TaskRegistry tasks;
  status = AddPluginTasks(registry, tasks);
  if (!status.ok()) report.findings.push_back({true, std::string(status.message())});
  for (const auto& [name, task] : registry.tasks()) TaskChecker(task.task, report).Run();
  return report;
}

}  // namespace weir::runtime
