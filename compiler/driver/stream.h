// Models as streams: programs that go on token by token, and the text that their tokens are.

#ifndef WEIR_COMPILER_DRIVER_STREAM_H_
#define WEIR_COMPILER_DRIVER_STREAM_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "compiler/entry_points/programs.h"
#include "runtime/data/vocabulary.h"

namespace weir {

/// --context and --precision, else the experiment's: the context of its task (256 if it has none)
/// and its precision.
absl::StatusOr<StreamSettings> streamSettings(const LoadedModel& loaded);

/// The entry points `init`, `reset`, `step` and `prefill` of a model.
absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> streamModule(Workspace& workspace,
                                                               const LoadedModel& loaded,
                                                               const StreamSettings& settings);

/// The program of streamModule. Its facts are how many positions it knows, if there is an end, and
/// how far its attention looks back, if that is bounded by `settings`.
absl::StatusOr<ProgramSource> streamSource(Workspace& workspace, const LoadedModel& loaded,
                                           const StreamSettings& settings);

/// What a program for streams says of itself besides those facts: its experiment, the hash by which
/// files of states know the model, and its vocabulary (may be empty).
std::map<std::string, std::string> streamMetadata(const LoadedModel& loaded,
                                                  const runtime::Vocabulary& vocabulary);

/// InvalidArgument unless the model's only input is tokens, batch x time.
absl::Status checkReadsText(const LoadedModel& loaded);

/// Which bytes the tokens are: what the checkpoint says, else (or without a checkpoint) what the
/// experiment's task says, whose data file may be needed for it (--data).
absl::StatusOr<runtime::Vocabulary> vocabularyOf(Workspace& workspace, const LoadedModel& loaded,
                                                 const std::string& checkpoint);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_STREAM_H_
