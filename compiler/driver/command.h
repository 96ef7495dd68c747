// Subcommands of `weir`. Each is a file of its own that fills in one of these; main.cpp holds the
// list.

#ifndef WEIR_COMPILER_DRIVER_COMMAND_H_
#define WEIR_COMPILER_DRIVER_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

using Arguments = std::vector<std::string>;

struct Command {
  const char* name;
  /// What stands behind the name, such as "MODEL --out=FILE".
  const char* arguments;
  /// A line.
  const char* summary;
  /// Paragraphs for `weir NAME --help`; may be empty.
  const char* details;
  /// Lines that can be typed as they are.
  const char* example;
  /// The flags it takes (flags.cpp).
  std::vector<const char*> flags;
  /// How many arguments that are no flags; `most` below 0: any number.
  int least, most;
  /// An error without a message has been reported already.
  absl::Status (*run)(const Arguments& arguments);
};

Command trainCommand();
Command evalCommand();
Command initCommand();
Command runCommand();
Command compileCommand();
Command inspectCommand();
Command layersCommand();
Command checkCommand();
Command compareCommand();
Command generateCommand();
Command benchCommand();

/// The error of something that has been reported as diagnostics.
inline absl::Status reported() { return absl::AbortedError(""); }

/// Sets the flags that `words` (what stands behind the subcommand's name) hold, and returns the
/// rest. Errors: a flag that the command doesn't take, a value of the wrong type, too few or too
/// many arguments.
absl::StatusOr<Arguments> parseArguments(const Command& command,
                                         const std::vector<std::string>& words);

/// The text of `weir NAME --help`.
std::string helpOf(const Command& command);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_COMMAND_H_
