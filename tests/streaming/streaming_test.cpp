// The step form of every layer that comes with Weir: token by token, in pieces of any size, and
// whole, it is one function, and so are its gradients.

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

using runtime::HostTensor;
using runtime::TensorSpec;

constexpr int64_t kBatch = 2;

struct Layer {
  const char* apply;  // name and options
  int64_t length = 41;
  /// Gated attention divides by the length of the row, whatever the documents in it are.
  bool packs = true;
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.apply; }

/// Carries nothing with its own hand: a scan, a convolution, and a recurrence whose first state is
/// trained.
constexpr char kRunning[] = R"(
weir.layer @running(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %first = weir.param "first" [%d] init(normal(1.0)) : !vector
  %a = weir.sigmoid %x : !seq
  %h, %last = weir.scan(%a, %x) : (!seq, !seq) -> (!seq, !state)
  %c, %window = weir.causal_conv %h, "conv" kernel(3) : !seq -> !seq, !seq
  %g0 = weir.broadcast %first like %last : !vector, !state -> !state
  %g, %end = weir.recurrence (%t = %c : !seq) from (%s = %g0 : !state) {
    %sum = arith.addf %t, %s : !state
    %n = math.tanh %sum : !state
    weir.yield %n, %n : !state, !state
  } -> !seq, !state
  %y, %y_last = weir.scan(%a, %g) : (!seq, !seq) -> (!seq, !state)
  weir.return %y : !seq
}
)";

/// A layer, or an expression in %x, on an input of width 8.
Model layerModel(const std::string& apply, int64_t time) {
  std::string expression = apply;
  if (apply.find('%') == apply.npos) {
    size_t space = apply.find(' ');
    expression = "weir.apply \"" + apply.substr(0, space) + "\"(%x)" +
                 (space == apply.npos ? "" : apply.substr(space));
  }
  Model model;
  model.text = "!seq = tensor<?x?x?xf32>\n!state = tensor<?x?xf32>\n!vector = tensor<?xf32>\n" +
               std::string(kRunning) +
               "weir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
               "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = " +
               expression + " : !seq\n  weir.return %y : !seq\n}\n";
  model.shapes["x0"] = {kBatch, time, 8};
  return model;
}

bool startsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

/// Copies elements between the times from `whole` on and those of `piece`, in either direction.
template <typename Copy>
void forTimes(const TensorSpec& whole, const TensorSpec& piece, int64_t from, Copy copy) {
  int64_t time = piece.shape[1], row = piece.NumElements() / (piece.shape[0] * time);
  for (int64_t batch = 0; batch < piece.shape[0]; ++batch)
    for (int64_t i = 0; i < time * row; ++i)
      copy((batch * whole.shape[1] + from) * row + i, batch * time * row + i);
}

HostTensor timesOf(const HostTensor& whole, int64_t from, int64_t count) {
  TensorSpec spec = whole.spec();
  spec.shape[1] = count;
  HostTensor piece(spec);
  forTimes(whole.spec(), spec, from,
           [&](int64_t i, int64_t j) { SetNumber(piece, j, whole.Number(i)); });
  return piece;
}

void setTimes(HostTensor& whole, int64_t from, const HostTensor& piece) {
  forTimes(whole.spec(), piece.spec(), from,
           [&](int64_t i, int64_t j) { SetNumber(whole, i, piece.Number(j)); });
}

HostTensor zeros(const TensorSpec& spec) {
  HostTensor tensor(spec);
  for (int64_t i = 0; i < spec.NumElements(); ++i) SetNumber(tensor, i, 0);
  return tensor;
}

/// Whole sequences, and the same in pieces.
class Stream {
 public:
  Stream(const Layer& layer, bool packed, bool gradients)
      : layer(layer),
        packed(packed),
        gradients(gradients),
        model(layerModel(layer.apply, layer.length)) {
    if (packed) model.segments = SomeSegments(kBatch, layer.length);
    Compiled whole(model, Type::F64, gradients);
    if (!whole.ok()) return;
    values = whole.draw(model);
    // Where documents end, a layer's window holds zeros for them, which the whole doesn't know.
    for (auto& [name, tensor] : values)
      if (packed && startsWith(name, "cotangent.")) tensor = zeros(tensor.spec());
    results = Runner(whole.program(), 2).run(gradients ? "gradients" : "run", values);
  }

  /// The step form for n tokens; compiled once.
  const Compiled& stepForm(int64_t n) {
    auto found = stepForms.find(n);
    if (found != stepForms.end()) return found->second;
    Model piece = model;
    piece.shapes["x0"][1] = n;
    piece.stepContext = layer.length;
    return stepForms.emplace(n, Compiled(piece, Type::F64, gradients)).first->second;
  }

  /// What an entry point of the step form reads at the times from `from` on. `carried` are states
  /// and cotangents of states; those that it lacks are zero.
  Tensors pieceValues(const runtime::Program& program, const std::string& entry, int64_t from,
                      const Tensors& carried) {
    Tensors piece;
    for (const runtime::Variable& variable : program.variables)
      if (variable.role == runtime::Role::kParameter)
        piece.emplace(variable.spec.name, values.at(variable.spec.name));
    for (const TensorSpec& spec : program.FindEntryPoint(entry)->inputs) {
      auto found = carried.find(spec.name);
      bool isState = startsWith(spec.name, "state.") || startsWith(spec.name, "cotangent.");
      if (found != carried.end())
        piece.emplace(spec.name, found->second);
      else if (isState)
        piece.emplace(spec.name, zeros(spec));
      else
        piece.emplace(spec.name, timesOf(values.at(spec.name), from, spec.shape[1]));
    }
    return piece;
  }

  /// The states before the first token: those of layers as the whole sequence has them.
  Tensors firstStates() const { return with("state."); }
  Tensors with(const std::string& prefix) const {
    Tensors found;
    for (const auto& [name, tensor] : values)
      if (startsWith(name, prefix)) found.emplace(name, tensor);
    return found;
  }

  void expectEqualsWhole(const std::vector<int64_t>& pieces) {
    Tensors carried = firstStates();
    HostTensor output = zeros(results.at("output").spec());
    int64_t from = 0;
    for (int64_t n : pieces) {
      const Compiled& step = stepForm(n);
      ASSERT_TRUE(step.ok());
      Tensors outputs =
          Runner(step.program(), 1).run("run", pieceValues(step.program(), "run", from, carried));
      setTimes(output, from, outputs.at("output"));
      outputs.erase("output");
      carried = std::move(outputs);
      from += n;
    }
    ASSERT_EQ(from, layer.length);
    EXPECT_LE(Difference(output, results.at("output")), 1e-12);
    EXPECT_EQ(carried.at("state.stream.start").Number(0), layer.length);
    for (const auto& [name, tensor] : firstStates())
      if (!packed) EXPECT_LE(Difference(carried.at(name), results.at(name)), 1e-12) << name;
  }

  Layer layer;
  bool packed, gradients;
  Model model;
  /// Of the whole sequence.
  Tensors values, results;

 private:
  std::map<int64_t, Compiled> stepForms;
};

/// As many pieces of n as fit, the rest one by one.
std::vector<int64_t> piecesOf(int64_t n, int64_t length) {
  std::vector<int64_t> pieces(length / n, n);
  pieces.insert(pieces.end(), length % n, 1);
  return pieces;
}

std::vector<int64_t> somePieces(int64_t length, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int64_t> pieces;
  while (length > 0) {
    constexpr int64_t kSizes[] = {1, 5, 13};
    int64_t n = kSizes[random() % 3];
    if (n > length) n = 1;
    pieces.push_back(n);
    length -= n;
  }
  return pieces;
}

class Streaming : public testing::TestWithParam<Layer> {};

TEST_P(Streaming, PiecesAreWhole) {
  for (bool packed : {false, true}) {
    if (packed && !GetParam().packs) continue;
    SCOPED_TRACE(packed ? "packed" : "one document");
    Stream stream(GetParam(), packed, /*gradients=*/false);
    ASSERT_FALSE(stream.results.empty());
    int64_t length = GetParam().length;
    for (int64_t n : {1, 5, 13}) {
      SCOPED_TRACE("pieces of " + std::to_string(n));
      stream.expectEqualsWhole(piecesOf(n, length));
    }
    for (uint32_t seed : {1, 2}) {
      SCOPED_TRACE("pieces of any size");
      stream.expectEqualsWhole(somePieces(length, seed));
    }
  }
}

/// The program of a stream, whose states are variables that change in place, from the beginning and
/// then again: its outputs against those of the whole in f64.
void expectProgramIsWhole(const Layer& layer, bool packed, Type type, double error) {
  constexpr int64_t kChunk = 13;
  Stream stream(layer, packed, /*gradients=*/false);
  ASSERT_FALSE(stream.results.empty());
  for (auto& [name, tensor] : stream.values)
    if (startsWith(name, "state.")) tensor = zeros(tensor.spec());
  Compiled whole(stream.model, Type::F64, /*gradients=*/false);
  HostTensor expected = Runner(whole.program(), 2).run("run", stream.values).at("output");
  Model model = stream.model;
  model.stepContext = layer.length;
  model.streamChunk = kChunk;
  Compiled program(model, type);
  ASSERT_TRUE(program.ok());
  Runner runner(program.program(), 2);
  HostTensor output = zeros(expected.spec());
  for (int turn = 0; turn < 2; ++turn) {
    runner.run("reset", {});
    int64_t from = 0;
    for (int64_t n : piecesOf(kChunk, layer.length)) {
      const char* entry = n == kChunk ? "prefill" : "step";
      setTimes(
          output, from,
          runner.run(entry, stream.pieceValues(program.program(), entry, from, {})).at("output"));
      from += n;
    }
    EXPECT_LE(Difference(output, expected), error) << "turn " << turn;
  }
}

TEST_P(Streaming, Program) {
  for (bool packed : {false, true}) {
    if (packed && !GetParam().packs) continue;
    SCOPED_TRACE(packed ? "packed" : "one document");
    expectProgramIsWhole(GetParam(), packed, Type::F64, 1e-12);
  }
}

// Caches hold bf16, other states f32.
TEST_P(Streaming, MixedPrecision) {
  expectProgramIsWhole(GetParam(), /*packed=*/false, Type::BF16, 0.03);
}

// Each window's states get the gradients that the next window has for them: the gradients are those
// of the whole.
TEST_P(Streaming, GradientsThroughStates) {
  constexpr int64_t kWindow = 13;
  for (bool packed : {false, true}) {
    if (packed && !GetParam().packs) continue;
    SCOPED_TRACE(packed ? "packed" : "one document");
    Layer layer = GetParam();
    layer.length = 3 * kWindow;
    Stream stream(layer, packed, /*gradients=*/true);
    ASSERT_FALSE(stream.results.empty());
    const Compiled& step = stream.stepForm(kWindow);
    ASSERT_TRUE(step.ok());
    Runner runner(step.program(), 1);
    std::vector<Tensors> states = {stream.firstStates()};
    for (int64_t window = 0; window < 2; ++window) {
      Tensors outputs = runner.run(
          "run", stream.pieceValues(step.program(), "run", window * kWindow, states.back()));
      outputs.erase("output");
      states.push_back(std::move(outputs));
    }
    Tensors cotangents = stream.with("cotangent."), sums;
    HostTensor inputs = zeros(stream.results.at("input.x0").spec());
    for (int64_t window = 2; window >= 0; --window) {
      Tensors carried = states[window];
      carried.merge(cotangents);
      cotangents.clear();
      for (auto& [name, tensor] :
           runner.run("gradients",
                      stream.pieceValues(step.program(), "gradients", window * kWindow, carried))) {
        if (name == "input.x0") {
          setTimes(inputs, window * kWindow, tensor);
        } else if (startsWith(name, "state_gradient.")) {
          cotangents.emplace("cotangent." + name.substr(15), tensor);
        } else if (name != "output" && !startsWith(name, "state.")) {
          HostTensor& sum = sums.emplace(name, zeros(tensor.spec())).first->second;
          for (int64_t i = 0; i < sum.spec().NumElements(); ++i)
            SetNumber(sum, i, sum.Number(i) + tensor.Number(i));
        }
      }
    }
    EXPECT_LE(Difference(inputs, stream.results.at("input.x0")), 1e-11) << "input";
    for (const auto& [name, sum] : sums)
      EXPECT_LE(Difference(sum, stream.results.at(name)), 1e-11) << name;
    for (const auto& [name, tensor] : stream.firstStates())
      EXPECT_LE(Difference(cotangents.at("cotangent." + name.substr(6)),
                           stream.results.at("state_gradient." + name.substr(6))),
                1e-11)
          << name;
  }
}

// Against finite differences, states of ops included, in the middle of a stream.
TEST_P(Streaming, GradientsOfAStep) {
  for (int64_t n : {1, 5}) {
    for (bool packed : {false, true}) {
      if (packed && !GetParam().packs) continue;
      SCOPED_TRACE("n = " + std::to_string(n) + (packed ? ", packed" : ""));
      Model model = layerModel(GetParam().apply, n);
      model.stepContext = 11;
      model.values["state.stream.start"] = {3};
      model.values["state.stream.position"] = {3, 2};
      model.values["state.stream.segment"] = {4, 7};
      // One row goes on with its document, the other begins one.
      if (packed) {
        for (int64_t t = 0; t < n; ++t) model.segments.push_back(4 + (t > 2));
        for (int64_t t = 0; t < n; ++t) model.segments.push_back(8 + (t > 1));
      }
      model.tolerance32 = 1e-4;
      CheckModel(model);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Scans, Streaming,
                         testing::Values(Layer{"mingru {hidden = 12}"},
                                         Layer{"mingru {arithmetic = \"log\"}", 29},
                                         Layer{"gru {hidden = 12}", 29}, Layer{"causal_conv"},
                                         Layer{"causal_conv {kernel = 2, pointwise = false}", 17},
                                         Layer{"minrnn_block {hidden = 12}"}));

// Chunks that tokens and pieces fill or don't; softmax over all of the context.
INSTANTIATE_TEST_SUITE_P(
    Attention, Streaming,
    testing::Values(Layer{"flash {head = 6, chunk = 4}"}, Layer{"flash {head = 6, chunk = 13}"},
                    Layer{"flash {head = 6, chunk = 1}", 17}, Layer{"gau {head = 6, length = 41}"},
                    Layer{"attention", 29}, Layer{"transformer_plus {heads = 2}", 29},
                    Layer{"transformer_pp {heads = 2, hidden = 16}", 29}));

// Ops whose states the pass has to find.
INSTANTIATE_TEST_SUITE_P(Ops, Streaming,
                         testing::Values(Layer{"weir.apply \"running\"(%x)"},
                                         Layer{"weir.rotary %x"},
                                         Layer{"weir.scaled_sin %x, \"pos\""},
                                         Layer{"weir.learned_positions %x, \"pos\" [60]"}));

}  // namespace
}  // namespace weir::gradients
