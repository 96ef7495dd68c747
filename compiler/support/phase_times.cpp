#include "compiler/support/phase_times.h"

#include <atomic>
#include <mutex>
#include <vector>

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/Pass/Pass.h"

namespace weir {

using namespace mlir;
using Clock = std::chrono::steady_clock;

/// A phase in the tree of phases; never freed, so that a table can be made at any time.
struct Phase::Entry {
  std::string name;
  double seconds = 0;
  int64_t count = 0;
  std::vector<std::unique_ptr<Entry>> inner;
};

class PhaseInstrumentation : public PassInstrumentation {
 public:
  PhaseInstrumentation();

  void runBeforePass(Pass* pass, Operation*) override {
    if (isNamed(pass))
      running().push_back(std::unique_ptr<Phase>(new Phase(pass->getArgument(), outer)));
  }
  void runAfterPass(Pass* pass, Operation*) override {
    if (isNamed(pass)) running().pop_back();
  }
  void runAfterPassFailed(Pass* pass, Operation* op) override { runAfterPass(pass, op); }

 private:
  /// Those that only run others have no name.
  static bool isNamed(Pass* pass) { return !pass->getArgument().empty(); }
  /// Passes of a thread, from the outermost in.
  static std::vector<std::unique_ptr<Phase>>& running() {
    static thread_local std::vector<std::unique_ptr<Phase>> phases;
    return phases;
  }
  /// Of threads that are in none.
  Phase::Entry* outer;
};

namespace {

using Entry = Phase::Entry;

struct Recorder {
  std::mutex mutex;
  std::atomic<bool> enabled{false};
  Clock::time_point start;
  Entry root;
};

Recorder& recorder() {
  static auto* instance = new Recorder;
  return *instance;
}

/// The phase that this thread is in.
thread_local Entry* current = nullptr;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The phase of that name inside of `parent`; the recorder is locked.
Entry* find(Entry& parent, StringRef name) {
  for (const std::unique_ptr<Entry>& entry : parent.inner)
    if (entry->name == name) return entry.get();
  parent.inner.push_back(std::make_unique<Entry>());
  parent.inner.back()->name = name.str();
  return parent.inner.back().get();
}

void print(llvm::raw_ostream& out, const Entry& entry, int depth) {
  out << llvm::format("%9.3f %7lld  ", entry.seconds, static_cast<long long>(entry.count));
  out.indent(2 * depth) << entry.name << "\n";
  for (const std::unique_ptr<Entry>& inner : entry.inner) print(out, *inner, depth + 1);
}

}  // namespace

PhaseInstrumentation::PhaseInstrumentation() : outer(current) {}

void PhaseTimes::enable() {
  recorder().start = Clock::now();
  recorder().enabled = true;
}

bool PhaseTimes::enabled() { return recorder().enabled; }

std::string PhaseTimes::table() {
  std::lock_guard<std::mutex> lock(recorder().mutex);
  std::string text;
  llvm::raw_string_ostream out(text);
  out << "  seconds   times  phase\n";
  for (const std::unique_ptr<Entry>& entry : recorder().root.inner) print(out, *entry, 0);
  out << llvm::format("%9.3f          total\n", secondsSince(recorder().start));
  return text;
}

std::unique_ptr<PassInstrumentation> PhaseTimes::instrumentation() {
  return std::make_unique<PhaseInstrumentation>();
}

Phase::Phase(StringRef name) : Phase(name, static_cast<Entry*>(nullptr)) {}
Phase::Phase(StringRef name, const Phase& outer) : Phase(name, outer.entry) {}

Phase::Phase(StringRef name, Entry* outer) {
  if (!PhaseTimes::enabled()) return;
  std::lock_guard<std::mutex> lock(recorder().mutex);
  before = current;
  Entry* parent = current ? current : outer ? outer : &recorder().root;
  entry = current = find(*parent, name);
  start = Clock::now();
}

Phase::~Phase() {
  if (!entry) return;
  double seconds = secondsSince(start);
  std::lock_guard<std::mutex> lock(recorder().mutex);
  entry->seconds += seconds;
  ++entry->count;
  current = before;
}

}  // namespace weir
