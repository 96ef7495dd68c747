// A task's options: what it takes, with defaults, and what an experiment gives it.
#ifndef WEIR_RUNTIME_DATA_OPTIONS_H_
#define WEIR_RUNTIME_DATA_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

using OptionValue = std::variant<bool, int64_t, double, std::string>;
using OptionMap = std::map<std::string, OptionValue, std::less<>>;

// As it is written in an experiment; text is quoted.
std::string OptionText(const OptionValue& value);

struct TaskOption {
  std::string name;
  OptionValue default_value;  // its type is the option's type
  std::string doc;            // a line
};

// The options of a task: `given` over the defaults. A value may have another type if nothing is
// lost: 16 for a real number, "16" or 16.0 for an integer. An unknown option, or one of the wrong
// type, is InvalidArgument; `task` is the name in the message.
absl::StatusOr<OptionMap> ResolveOptions(absl::string_view task,
                                         const std::vector<TaskOption>& options,
                                         const OptionMap& given);

// Reads resolved options. The name must be one of the task's, and the type the one it was declared
// with.
int64_t IntegerOption(const OptionMap& options, absl::string_view name);
double RealOption(const OptionMap& options, absl::string_view name);
bool BoolOption(const OptionMap& options, absl::string_view name);
const std::string& TextOption(const OptionMap& options, absl::string_view name);

// InvalidArgument unless the integer option is within [low, high].
absl::Status CheckRange(absl::string_view task, const OptionMap& options, absl::string_view name,
                        int64_t low, int64_t high);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_OPTIONS_H_
