// Scans with matrix states by products over chunks, against the same scans in order, in f64 on the
// interpreter: values and gradients, with decays of 0, next to 0, next to 1 and 1.

#include "compiler/transforms/chunk_matrix_scans_pass.h"
#include "compiler/transforms/gradient_test.h"

namespace weir {
namespace {

enum class Decay { Shared, PerKey, PerValue, Fixed };

struct Case {
  int64_t batch, time, heads, key, value, chunk;
  Decay decay = Decay::Shared;
  bool isSeeded = false;
  /// k and q are the same for all heads, as in state-space duality.
  bool sharesPairs = false;
  /// Documents begin inside of chunks and at their borders.
  bool hasSegments = false;
};

std::string dims(ArrayRef<int64_t> shape) {
  std::string text = "tensor<";
  for (int64_t extent : shape) text += std::to_string(extent) + "x";
  return text + "f64>";
}

class ChunkMatrixScansTest : public GradientTest {
 protected:
  /// loss = sum of sin(1.3 y) + sum of sin(last), of a, k, v, q and the first state.
  static std::string textOf(const Case& c) {
    std::string b = std::to_string(c.batch), t = std::to_string(c.time);
    std::string a, ofA, qk = dims({c.batch, c.time, c.heads, c.key}), ofQk = "b, t, h, k";
    if (c.sharesPairs) {
      qk = dims({c.batch, c.time, c.key});
      ofQk = "b, t, k";
    }
    switch (c.decay) {
      case Decay::Shared:
        a = dims({c.batch, c.time, c.heads});
        ofA = "b, t, h";
        break;
      case Decay::PerKey:
        a = dims({c.batch, c.time, c.heads, c.key});
        ofA = "b, t, h, k";
        break;
      case Decay::PerValue:
        a = dims({c.batch, c.time, c.heads, c.value});
        ofA = "b, t, h, v";
        break;
      case Decay::Fixed:
        a = dims({c.heads});
        ofA = "h";
        break;
    }
    std::string v = dims({c.batch, c.time, c.heads, c.value});
    std::string state = dims({c.batch, c.heads, c.key, c.value});
    auto map = [](const std::string& to) { return "affine_map<(b, t, h, k, v) -> (" + to + ")>"; };
    std::string ids = "tensor<" + b + "x" + t + "xi32>", idsText = "[";
    for (int64_t i = 0; i < c.batch; ++i) {
      idsText += i ? ", [" : "[";
      for (int64_t at = 0, id = 7; at < c.time; ++at) {
        id += (at + i) % 4 == 0 || at == 6;
        idsText += (at ? ", " : "") + std::to_string(id);
      }
      idsText += "]";
    }
    idsText += "]";
    // k enters squared with its sign and a factor of neither side, v as a sine: arithmetic to
    // split.
    return "func.func @f(%a: " + a + R"( {weir.param = "a"}, %k: )" + qk +
           R"( {weir.param = "k"}, %v: )" + v + R"( {weir.param = "v"}, %q: )" + qk +
           R"( {weir.param = "q"}, %s: )" + state +
           R"( {weir.param = "s"}) -> (tensor<f64> {weir.output = "loss"}) {
  %ids = arith.constant dense<)" +
           idsText + "> : " + ids + R"(
  %y, %last = weir.scan(%a, %k, %v, %q) )" +
           (c.isSeeded ? "from %s " : "") + (c.hasSegments ? "segments(%ids) " : "") + R"(prologue {
  ^bb0(%pa: f64, %pk: f64, %pv: f64, %pq: f64):
    %half = arith.constant 0.5 : f64
    %sine = math.sin %pv : f64
    %square = math.absf %pk : f64
    %k2 = arith.mulf %pk, %square : f64
    %scaled = arith.mulf %half, %k2 : f64
    %b = arith.mulf %sine, %scaled : f64
    weir.yield %pa, %b : f64, f64
  } epilogue {
  ^bb0(%h: f64, %pa: f64, %pk: f64, %pv: f64, %pq: f64):
    %c = math.cos %pv : f64
    %hq = arith.mulf %h, %pq : f64
    %o = arith.mulf %hq, %c : f64
    weir.yield %o : f64
  } {indexing_maps = [)" +
           map(ofA) + ", " + map(ofQk) + ", " + map("b, t, h, v") + ", " + map(ofQk) + ", " +
           map("b, t, h, v") +
           R"(], iterator_types = ["parallel", "time", "parallel", "parallel", "parallel"]} : ()" +
           a + ", " + qk + ", " + v + ", " + qk + (c.isSeeded ? ", " + state : "") +
           (c.hasSegments ? ", " + ids : "") + ") -> (" + v + ", " + state + R"()
  %zero = arith.constant 0.0 : f64
  %e = tensor.empty() : tensor<f64>
  %z = linalg.fill ins(%zero : f64) outs(%e : tensor<f64>) -> tensor<f64>
  %one = linalg.generic {indexing_maps = [affine_map<(b, t, h, v) -> (b, t, h, v)>, affine_map<(b, t, h, v) -> ()>],
      iterator_types = ["reduction", "reduction", "reduction", "reduction"]} ins(%y : )" +
           v + R"() outs(%z : tensor<f64>) {
  ^bb0(%in: f64, %total: f64):
    %w = arith.constant 1.3 : f64
    %x = arith.mulf %in, %w : f64
    %sine = math.sin %x : f64
    %next = arith.addf %total, %sine : f64
    linalg.yield %next : f64
  } -> tensor<f64>
  %loss = linalg.generic {indexing_maps = [affine_map<(b, h, k, v) -> (b, h, k, v)>, affine_map<(b, h, k, v) -> ()>],
      iterator_types = ["reduction", "reduction", "reduction", "reduction"]} ins(%last : )" +
           state + R"() outs(%one : tensor<f64>) {
  ^bb0(%in: f64, %total: f64):
    %sine = math.sin %in : f64
    %next = arith.addf %total, %sine : f64
    linalg.yield %next : f64
  } -> tensor<f64>
  return %loss : tensor<f64>
})";
  }

  /// Loss and gradients of `text`; `chunk` 0 leaves the scan.
  std::vector<HostTensor> resultsOf(const std::string& text, int64_t chunk,
                                    ArrayRef<HostTensor> arguments) {
    OwningOpRef<ModuleOp> module = parse(text);
    if (!module) return {};
    PassManager passes(&context);
    ChunkMatrixScansOptions options;
    options.chunk = chunk;
    passes.addNestedPass<func::FuncOp>(createChunkMatrixScans(options));
    if (failed(passes.run(*module))) return {};
    // A matrix that is carried from token to token is gone.
    bool isInOrder = false;
    (*module)->walk([&](Operation* op) { isInOrder |= op->hasAttr("weir.matrix_chunk"); });
    EXPECT_EQ(isInOrder, chunk == 0);
    PassManager rest(&context);
    rest.addNestedPass<func::FuncOp>(createDifferentiate());
    rest.addNestedPass<func::FuncOp>(createDecompose());
    if (failed(rest.run(*module))) return {};
    auto results = Evaluator().run(*module->getOps<func::FuncOp>().begin(), arguments);
    return succeeded(results) ? *results : std::vector<HostTensor>();
  }

  void expectSame(const Case& c) {
    std::string text = textOf(c);
    OwningOpRef<ModuleOp> module = parse(text);
    ASSERT_TRUE(module);
    auto f = *module->getOps<func::FuncOp>().begin();
    std::vector<HostTensor> arguments;
    for (Type type : f.getArgumentTypes()) arguments.push_back(random(type, -1, 1));
    std::vector<double> special = {0, 1, 1e-300, 1e-30, 1 - 1e-15, 0.9, 0.5, 1, 0};
    std::uniform_int_distribution<size_t> pick(0, special.size() + 3);
    for (double& a : arguments[0].data) {
      size_t i = pick(generator);
      a = i < special.size() ? special[i] : std::fabs(a);
    }
    std::vector<HostTensor> expected = resultsOf(text, 0, arguments);
    std::vector<HostTensor> found = resultsOf(text, c.chunk, arguments);
    ASSERT_EQ(expected.size(), 6u);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t r = 0; r < expected.size(); ++r) {
      double largest = 0, error = 0;
      ASSERT_EQ(found[r].data.size(), expected[r].data.size());
      for (size_t i = 0; i < expected[r].data.size(); ++i) {
        ASSERT_TRUE(std::isfinite(found[r].data[i]));
        largest = std::max(largest, std::fabs(expected[r].data[i]));
        error = std::max(error, std::fabs(expected[r].data[i] - found[r].data[i]));
      }
      // All but the gradient of a first state that isn't read.
      if (r < 5 || c.isSeeded) EXPECT_GT(largest, 0) << "result " << r;
      EXPECT_LE(error, 1e-13 * std::max(1.0, largest)) << "result " << r;
    }
  }
};

TEST_F(ChunkMatrixScansTest, SameValuesAndGradients) {
  for (Decay decay : {Decay::Shared, Decay::PerKey, Decay::PerValue, Decay::Fixed})
    for (bool isSeeded : {false, true})
      for (Case c : {Case{1, 2, 1, 1, 1, 1},
                     {2, 8, 2, 3, 2, 4},
                     {1, 13, 3, 2, 5, 4},
                     {2, 7, 1, 3, 4, 7},
                     {1, 11, 2, 5, 3, 3}}) {
        c.decay = decay;
        c.isSeeded = isSeeded;
        SCOPED_TRACE(testing::Message() << "decay " << static_cast<int>(decay) << " seeded "
                                        << isSeeded << " time " << c.time);
        expectSame(c);
      }
}

TEST_F(ChunkMatrixScansTest, KeysAndQueriesOfAllHeads) {
  for (Decay decay : {Decay::Shared, Decay::PerKey, Decay::PerValue, Decay::Fixed})
    for (bool isSeeded : {false, true}) {
      SCOPED_TRACE(static_cast<int>(decay));
      expectSame({2, 10, 3, 4, 5, 4, decay, isSeeded, true});
    }
}

TEST_F(ChunkMatrixScansTest, Documents) {
  for (Decay decay : {Decay::Shared, Decay::PerKey, Decay::PerValue, Decay::Fixed})
    for (bool isSeeded : {false, true})
      for (int64_t time : {2, 8, 11}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(decay) << " time " << time);
        expectSame({2, time, 2, 3, 4, 4, decay, isSeeded, false, true});
      }
}

}  // namespace
}  // namespace weir
