// Data for the tests of kernels.

#ifndef WEIR_COMPILER_CONVERSION_CPU_TEST_UTIL_H_
#define WEIR_COMPILER_CONVERSION_CPU_TEST_UTIL_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace weir {

/// Numbers in [-1, 1) that depend on `seed` only.
template <typename T = float>
std::vector<T> randomValues(int64_t count, uint64_t seed, double scale = 1.0) {
  std::vector<T> values(count);
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (T& value : values) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = static_cast<T>(scale * (static_cast<double>(state >> 11) / (uint64_t(1) << 52) - 1.0));
  }
  return values;
}

template <typename T = float>
std::vector<T> poisoned(int64_t count) {
  return std::vector<T>(count, std::numeric_limits<T>::quiet_NaN());
}

/// Largest difference over the largest reference value; infinity if any value is not a number.
template <typename T, typename R>
double relativeError(const std::vector<T>& actual, const std::vector<R>& expected) {
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(static_cast<double>(actual[i]))) return std::numeric_limits<double>::infinity();
    difference = std::max(
        difference, std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i])));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return difference / largest;
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// The values with the alignment of a program's memory: stores past the caches need it.
template <typename T>
T* aligned(std::vector<T>& values) {
  constexpr size_t kElements = 64 / sizeof(T);
  std::vector<T> copy(values.size() + 2 * kElements);
  std::swap(copy, values);
  size_t skip = (64 - reinterpret_cast<uintptr_t>(values.data()) % 64) % 64 / sizeof(T);
  std::copy(copy.begin(), copy.end(), values.begin() + skip);
  return values.data() + skip;
}

/// Replaces every `$X` of `text` by the value given for X (one letter each, e.g. "M").
inline std::string fill(std::string text, const std::vector<std::pair<char, int64_t>>& values) {
  for (auto [name, value] : values) {
    std::string key = std::string("$") + name, number = std::to_string(value);
    for (size_t at = 0; (at = text.find(key, at)) != std::string::npos;)
      text.replace(at, key.size(), number);
  }
  return text;
}

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_TEST_UTIL_H_
