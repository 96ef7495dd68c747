#include "compiler/driver/check/values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "compiler/driver/tensors.h"

namespace weir::check {

using runtime::ElementType;
using runtime::HostTensor;
using runtime::TensorSpec;

namespace {

/// SplitMix64's finalizer.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t hash(absl::string_view name) {
  uint64_t value = 14695981039346656037u;  // FNV-1a
  for (char c : name) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return value;
}

/// A number for an element that its row's length doesn't change.
int64_t placeOf(const TensorSpec& spec, int64_t element) {
  if (spec.shape.size() < 2) return element;
  int64_t row = spec.NumElements() / spec.shape[0];
  return (element / row << 40) + element % row;
}

std::string placeText(const TensorSpec& spec, int64_t element) {
  std::vector<int64_t> index(spec.shape.size());
  for (size_t dim = spec.shape.size(); dim-- > 0;) {
    index[dim] = element % spec.shape[dim];
    element /= spec.shape[dim];
  }
  return absl::StrCat("[", absl::StrJoin(index, ", "), "]");
}

}  // namespace

double drawUniform(absl::string_view name, int64_t place, uint64_t seed) {
  uint64_t bits = mix(mix(hash(name) + seed) ^ static_cast<uint64_t>(place));
  return static_cast<double>(bits >> 41) / static_cast<double>(1 << 22) - 1;
}

bool isInteger(const TensorSpec& spec) {
  return spec.type != ElementType::kF64 && spec.type != ElementType::kF32 &&
         spec.type != ElementType::kBF16;
}

HostTensor draw(const TensorSpec& spec, int64_t tokens, uint64_t seed) {
  HostTensor tensor(spec);
  for (int64_t i = 0, n = spec.NumElements(); i < n; ++i) {
    double number = drawUniform(spec.name, placeOf(spec, i), seed);
    if (isInteger(spec)) number = std::floor((number + 1) / 2 * static_cast<double>(tokens));
    setNumber(tensor, i, number);
  }
  return tensor;
}

bool hasTime(const TensorSpec& spec, int64_t length) {
  return spec.shape.size() >= 2 && spec.shape[1] == length;
}

int64_t featuresAt(const TensorSpec& spec) {
  return spec.NumElements() / (spec.shape[0] * spec.shape[1]);
}

void copyTimes(const HostTensor& from, int64_t fromRow, int64_t fromTime, HostTensor& to,
               int64_t toRow, int64_t toTime, int64_t count) {
  int64_t inner = featuresAt(from.spec());
  for (int64_t i = 0; i < count * inner; ++i)
    setNumber(to, (toRow * to.spec().shape[1] + toTime) * inner + i,
              from.Number((fromRow * from.spec().shape[1] + fromTime) * inner + i));
}

HostTensor timesOf(const HostTensor& tensor, int64_t from, int64_t count) {
  TensorSpec spec = tensor.spec();
  spec.shape[1] = count;
  HostTensor part(spec);
  for (int64_t row = 0; row < spec.shape[0]; ++row)
    copyTimes(tensor, row, from, part, row, 0, count);
  return part;
}

HostTensor converted(const HostTensor& tensor, const TensorSpec& spec) {
  HostTensor result(spec);
  for (int64_t i = 0, n = spec.NumElements(); i < n; ++i) setNumber(result, i, tensor.Number(i));
  return result;
}

double largest(const HostTensor& tensor) {
  double value = 0;
  for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i)
    value = std::max(value, std::abs(tensor.Number(i)));
  return value;
}

double largest(const Tensors& tensors) {
  double value = 0;
  for (const auto& [name, tensor] : tensors) value = std::max(value, largest(tensor));
  return value;
}

std::string Difference::str() const {
  if (error == 0) return "0";
  return absl::StrFormat("%.1e at %s (%.9g, not %.9g)", error, place, found, expected);
}

void Difference::include(const Difference& other) {
  if (other.error > error) *this = other;
}

Difference compare(const HostTensor& found, const HostTensor& expected, const std::string& name,
                   double floor) {
  Difference worst;
  double scale = std::max(largest(expected), floor);
  for (int64_t i = 0, n = expected.spec().NumElements(); i < n; ++i) {
    double a = found.Number(i), b = expected.Number(i);
    double error = std::abs(a - b) / scale;
    // A NaN is the worst of all; so is a number where there should be none.
    if (!std::isfinite(a) || !std::isfinite(b)) error = INFINITY;
    if (a == b || error <= worst.error) continue;
    worst = {error, absl::StrCat(name, placeText(expected.spec(), i)), a, b};
  }
  return worst;
}

Difference compare(const Tensors& found, const Tensors& expected) {
  Difference worst;
  double floor = std::max(1e-3 * largest(expected), 1e-30);
  for (const auto& [name, tensor] : expected) {
    auto other = found.find(name);
    if (other == found.end() || other->second.spec().NumElements() != tensor.spec().NumElements()) {
      worst.include({INFINITY, absl::StrCat(name, ", which is missing,"), 0, 0});
      continue;
    }
    worst.include(compare(other->second, tensor, name, floor));
  }
  return worst;
}

std::string differsInBits(const Tensors& a, const Tensors& b) {
  for (const auto& [name, tensor] : a) {
    auto other = b.find(name);
    if (other == b.end() || tensor.bytes() != other->second.bytes()) return name;
  }
  return "";
}

}  // namespace weir::check
