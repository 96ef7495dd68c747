#include "runtime/data/options.h"

#include <cmath>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace weir::runtime {
namespace {

std::optional<OptionValue> ToBool(const OptionValue& value) {
  bool parsed;
  const std::string* text = std::get_if<std::string>(&value);
  if (text != nullptr && absl::SimpleAtob(*text, &parsed)) return parsed;
  return std::nullopt;
}

std::optional<OptionValue> ToInteger(const OptionValue& value) {
  if (const double* real = std::get_if<double>(&value)) {
    if (*real == std::floor(*real) && std::abs(*real) < 9e15) return static_cast<int64_t>(*real);
    return std::nullopt;
  }
  int64_t parsed;
  const std::string* text = std::get_if<std::string>(&value);
  if (text != nullptr && absl::SimpleAtoi(*text, &parsed)) return parsed;
  return std::nullopt;
}

std::optional<OptionValue> ToReal(const OptionValue& value) {
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  double parsed;
  const std::string* text = std::get_if<std::string>(&value);
  if (text != nullptr && absl::SimpleAtod(*text, &parsed) && std::isfinite(parsed)) return parsed;
  return std::nullopt;
}

// `value` as the type of alternative `index`.
std::optional<OptionValue> Convert(const OptionValue& value, size_t index) {
  if (value.index() == index) return value;
  if (index == 0) return ToBool(value);
  if (index == 1) return ToInteger(value);
  if (index == 2) return ToReal(value);
  return std::nullopt;
}

constexpr absl::string_view kTypeNames[] = {"true or false", "an integer", "a number", "a text"};

}  // namespace

std::string OptionText(const OptionValue& value) {
  switch (value.index()) {
    case 0:
      return std::get<bool>(value) ? "true" : "false";
    case 1:
      return absl::StrCat(std::get<int64_t>(value));
    case 2: {
      // The shortest that reads back as the same number.
      double number = std::get<double>(value), read;
      std::string text;
      for (int digits = 6; digits <= 17; ++digits) {
        text = absl::StrFormat("%.*g", digits, number);
        if (absl::SimpleAtod(text, &read) && read == number) break;
      }
      return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
    default:
      return absl::StrCat("\"", std::get<std::string>(value), "\"");
  }
}

absl::StatusOr<OptionMap> ResolveOptions(absl::string_view task,
                                         const std::vector<TaskOption>& options,
                                         const OptionMap& given) {
  OptionMap resolved;
  for (const TaskOption& option : options) resolved[option.name] = option.default_value;
  for (const auto& [name, value] : given) {
    auto it = resolved.find(name);
    if (it == resolved.end()) {
      std::string names = absl::StrJoin(options, ", ", [](std::string* out, const TaskOption& o) {
        absl::StrAppend(out, o.name);
      });
      return absl::InvalidArgumentError(
          absl::StrCat("the task '", task, "' has no option '", name, "'; it has: ", names));
    }
    std::optional<OptionValue> converted = Convert(value, it->second.index());
    if (!converted) {
      return absl::InvalidArgumentError(absl::StrCat("the option '", name, "' of the task '", task,
                                                     "' must be ", kTypeNames[it->second.index()],
                                                     ", not ", OptionText(value)));
    }
    it->second = *std::move(converted);
  }
  return resolved;
}

int64_t IntegerOption(const OptionMap& options, absl::string_view name) {
  return std::get<int64_t>(options.find(name)->second);
}

double RealOption(const OptionMap& options, absl::string_view name) {
  return std::get<double>(options.find(name)->second);
}

bool BoolOption(const OptionMap& options, absl::string_view name) {
  return std::get<bool>(options.find(name)->second);
}

const std::string& TextOption(const OptionMap& options, absl::string_view name) {
  return std::get<std::string>(options.find(name)->second);
}

absl::Status CheckRange(absl::string_view task, const OptionMap& options, absl::string_view name,
                        int64_t low, int64_t high) {
  int64_t value = IntegerOption(options, name);
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the option '", name, "' of the task '", task,
                                                 "' must be from ", low, " to ", high, ", not ",
                                                 value));
}

}  // namespace weir::runtime
