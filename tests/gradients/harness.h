// Models compiled and run, and their gradients held against finite differences.
//
//   Model model;
//   model.text = "weir.model @m(%x: tensor<?x?x8xf32>) -> ... ";
//   model.shapes["x"] = {2, 13, 8};
//   CheckModel(model);

#ifndef WEIR_TESTS_GRADIENTS_HARNESS_H_
#define WEIR_TESTS_GRADIENTS_HARNESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/program_builder/program_builder.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"

namespace weir::gradients {

using Tensors = std::map<std::string, runtime::HostTensor>;

struct Model {
  /// A module with one weir.model and any layers; those of plugins/ are known by name.
  std::string text;
  /// The shape of each input, and of each that `inputs` doesn't hold.
  std::map<std::string, std::vector<int64_t>> shapes;
  /// Values for some of the inputs, parameters and states (as f64, or as integers).
  std::map<std::string, std::vector<double>> values;
  /// Integer inputs are drawn from [0, vocabulary).
  int64_t vocabulary = 7;
  /// Segment ids of each token, batch x time; empty: none.
  std::vector<int32_t> segments;
  /// Run the step form, where attention looks back on so many tokens. All states, also those that
  /// ops ask for, are inputs and outputs `state.<path>`.
  std::optional<int64_t> stepContext = std::nullopt;
  /// With stepContext: make the entry points of a stream instead, `prefill` for so many tokens. Of
  /// shapes only the batch counts.
  std::optional<int64_t> streamChunk = std::nullopt;
  /// Random numbers are drawn from [-range, range] for inputs, states and parameters of rank 1;
  /// other parameters also get smaller with their fan-in.
  double range = 1;
  /// For f32 against f64.
  double tolerance32 = 2e-5;
  uint32_t seed = 1;
};

/// BF16 is mixed precision: inputs, outputs and parameters are f32.
enum class Type { F32, F64, BF16 };

/// The level of instructions that tests compile for: AVX-512 if there is one.
IsaLevel testLevel();

/// The launches of kernels in a function, and the bytes of all that they read and write.
struct Work {
  int64_t launches = 0;
  int64_t bytes = 0;
};

/// A program with the entry points `run` and, if asked for, `gradients`. Failures are test
/// failures; `ok` is false then.
class Compiled {
 public:
  Compiled(const Model& model, Type type, bool gradients = true);

  bool ok() const { return isOk; }
  const runtime::Program& program() const { return compiled; }
  /// The work of each function that entry points call (and their own).
  const std::map<std::string, Work>& work() const { return workOfFunctions; }
  /// Random values for everything that `gradients` reads, each exact in f32.
  Tensors draw(const Model& model) const;

 private:
  void compile(const Model& model, Type type, bool gradients);

  bool isOk = false;
  runtime::Program compiled;
  std::map<std::string, Work> workOfFunctions;
};

/// A session of a compiled program.
class Runner {
 public:
  Runner(const runtime::Program& program, int threads);

  /// The outputs of an entry point by name. `values` holds inputs and parameters by their names;
  /// numbers are converted to the program's types.
  Tensors run(const std::string& entry, const Tensors& values);

 private:
  void open(const runtime::Program& program, int threads);
  void runInto(const std::string& entry, const Tensors& values, Tensors& result);

  std::unique_ptr<runtime::CpuDevice> device;
  std::unique_ptr<runtime::Session> session;
};

/// What a check found, for those who want to print it.
struct Report {
  /// Largest error of a directional derivative, relative to the largest one of the same leaf.
  double finiteDifference = 0;
  std::string worstLeaf;
  /// Largest error of f32 against f64 in outputs and gradients.
  double single = 0;
  std::string worstTensor;
  int leaves = 0;
};

/// Checks, with GoogleTest expectations:
/// - gradients in f64 of inputs, parameters and initial states against central differences in three
///   random directions each, to 1e-6 of the largest;
/// - outputs and gradients in f32 against f64;
/// - bit-equal results with 1, 2 and 3 threads, and after a run on NaNs (so that nothing that an
///   earlier run left is read).
Report CheckModel(const Model& model);

/// Segments that end at other places in each row, one of them a single token long.
std::vector<int32_t> SomeSegments(int64_t batch, int64_t time);

/// max|a - b| / max|b|; `floor` is the least that counts as max|b|.
double Difference(const runtime::HostTensor& a, const runtime::HostTensor& b, double floor = 1e-30);

/// Sets element `i` of a float or integer tensor.
inline void SetNumber(runtime::HostTensor& tensor, int64_t i, double value) {
  tensor.SetNumber(i, value);
}

}  // namespace weir::gradients

#endif  // WEIR_TESTS_GRADIENTS_HARNESS_H_
