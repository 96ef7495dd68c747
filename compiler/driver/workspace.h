// What every command that touches IR needs: a context, the registry of layers and tasks, and a
// place for diagnostics.

#ifndef WEIR_COMPILER_DRIVER_WORKSPACE_H_
#define WEIR_COMPILER_DRIVER_WORKSPACE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "llvm/Support/SourceMgr.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include "compiler/cache/cache.h"
#include "runtime/data/task_registry.h"
#include "runtime/plugin/registry.h"

namespace weir {

class Workspace {
 public:
  /// With the plugins of the default path and of --plugin.
  static absl::StatusOr<std::unique_ptr<Workspace>> create();

  mlir::MLIRContext& context() { return context_; }
  /// What was compiled before (--cache); null if nothing is kept.
  Cache* cache() { return cache_.get(); }
  const runtime::Registry& registry() const { return registry_; }
  /// The built-in tasks and those of plugins.
  absl::StatusOr<runtime::TaskRegistry> tasks() const;

  /// A module from a file, or from text under a name that messages show.
  absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> parseFile(const std::string& file);
  absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> parseText(const std::string& text,
                                                              const std::string& name);

  /// The error of an operation of the compiler that failed. Its diagnostics have been printed, with
  /// file, line, column and the line itself.
  absl::Status failed() const;

 private:
  explicit Workspace(runtime::Registry registry);

  runtime::Registry registry_;
  std::unique_ptr<Cache> cache_;
  mlir::MLIRContext context_;
  llvm::SourceMgr sources_;
  std::unique_ptr<mlir::SourceMgrDiagnosticHandler> printer_;
  int errors_ = 0;
};

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_WORKSPACE_H_
