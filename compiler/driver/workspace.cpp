#include "compiler/driver/workspace.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "mlir/Parser/Parser.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/support/phase_times.h"
#include "compiler/tools/register_all.h"
#include "runtime/base/file.h"
#include "runtime/plugin/plugin_task.h"

namespace weir {

namespace {

mlir::DialectRegistry allDialects() {
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  return registry;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Workspace>> Workspace::create() {
  Phase phase("plugins");
  std::vector<std::string> directories, files;
  for (const std::string& path : absl::GetFlag(FLAGS_plugin))
    (llvm::sys::fs::is_directory(path) ? directories : files).push_back(path);
  absl::StatusOr<runtime::Registry> registry = runtime::LoadRegistry(directories, files);
  if (!registry.ok()) return registry.status();
  return std::unique_ptr<Workspace>(new Workspace(*std::move(registry)));
}

Workspace::Workspace(runtime::Registry registry)
    : registry_(std::move(registry)), context_(allDialects()) {
  if (std::optional<std::string> directory = cacheDirectory(absl::GetFlag(FLAGS_cache)))
    cache_ = Cache::open(*std::move(directory), Cache::kDefaultBytes);
  // Layers' texts, so that messages can show their lines wherever they come from.
  std::set<const std::string*> seen;
  for (const auto& [name, layer] : registry_.layers()) {
    if (!seen.insert(layer.ir.get()).second) continue;
    sources_.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(*layer.ir, layer.source), {});
  }
  printer_ = std::make_unique<mlir::SourceMgrDiagnosticHandler>(sources_, &context_);
  // The line of the source says it better.
  context_.printOpOnDiagnostic(false);
  // Handlers are asked in reverse order: this one counts and leaves the printing to the other.
  context_.getDiagEngine().registerHandler([this](mlir::Diagnostic& diagnostic) {
    if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error) ++errors_;
    return mlir::failure();
  });
}

absl::StatusOr<runtime::TaskRegistry> Workspace::tasks() const {
  runtime::TaskRegistry tasks = runtime::TaskRegistry::WithBuiltinTasks();
  if (absl::Status status = runtime::AddPluginTasks(registry_, tasks); !status.ok()) return status;
  return tasks;
}

absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> Workspace::parseFile(const std::string& file) {
  if (llvm::sys::fs::is_directory(file))
    return absl::InvalidArgumentError(absl::StrCat("'", file, "' is a folder, not a model"));
  absl::StatusOr<std::string> text = runtime::ReadFile(file);
  if (!text.ok()) return text.status();
  return parseText(*text, file);
}

absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> Workspace::parseText(const std::string& text,
                                                                       const std::string& name) {
  Phase phase("parse");
  sources_.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(text, name), {});
  mlir::ParserConfig config(&context_);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, config, name);
  if (!module) return failed();
  return module;
}

absl::Status Workspace::failed() const {
  if (errors_ > 0) return reported();
  return absl::InternalError("the compiler failed and didn't say why; please report this");
}

}  // namespace weir
