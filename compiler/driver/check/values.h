// Numbers for checks: tensors by name, drawn from their names, and how far two sets of them are
// apart.

#ifndef WEIR_COMPILER_DRIVER_CHECK_VALUES_H_
#define WEIR_COMPILER_DRIVER_CHECK_VALUES_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"

#include "runtime/program/tensor.h"

namespace weir::check {

using Tensors = std::map<std::string, runtime::HostTensor>;

/// A number in [-1, 1), exact in f32, by name and place.
double drawUniform(absl::string_view name, int64_t place, uint64_t seed = 0);

/// A tensor of random numbers; integers are below `tokens`. Where dimension 1 is the time, what a
/// row holds at a time doesn't depend on the length.
runtime::HostTensor draw(const runtime::TensorSpec& spec, int64_t tokens, uint64_t seed = 0);

bool isInteger(const runtime::TensorSpec& spec);

/// Whether the tensor is batch x `length` (x features).
bool hasTime(const runtime::TensorSpec& spec, int64_t length);

/// The elements of one row and time of a tensor of batch x time x ...
int64_t featuresAt(const runtime::TensorSpec& spec);

/// Copies `count` times of one row: batch x time (x features) on both sides, of any lengths.
void copyTimes(const runtime::HostTensor& from, int64_t fromRow, int64_t fromTime,
               runtime::HostTensor& to, int64_t toRow, int64_t toTime, int64_t count);

/// The times [from, from + count) of all rows.
runtime::HostTensor timesOf(const runtime::HostTensor& tensor, int64_t from, int64_t count);

/// The same tensor with the element type of `spec`.
runtime::HostTensor converted(const runtime::HostTensor& tensor, const runtime::TensorSpec& spec);

double largest(const runtime::HostTensor& tensor);
double largest(const Tensors& tensors);

/// The largest difference between tensors of the same name.
struct Difference {
  /// Relative to the largest element of the tensor it is in, but at least to `floor`. Infinite
  /// where either is no number.
  double error = 0;
  /// "output[0, 3, 1]", and the two numbers.
  std::string place;
  double found = 0, expected = 0;

  /// "1.2e-3 at output[0, 3, 1] (0.5, not 0.4)".
  std::string str() const;
  void include(const Difference& other);
};

Difference compare(const runtime::HostTensor& found, const runtime::HostTensor& expected,
                   const std::string& name, double floor);

/// All of `expected`; the floor is a thousandth of the largest element of all.
Difference compare(const Tensors& found, const Tensors& expected);

/// The name of the first tensor that differs in a bit, or "".
std::string differsInBits(const Tensors& a, const Tensors& b);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_VALUES_H_
