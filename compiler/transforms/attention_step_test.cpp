// The step forms of attention against the whole: outputs of a row read in pieces, and the gradients
// of states. What the pass weir-step-form does besides (counting places and positions) is done by
// hand here.

#include <set>
#include <sstream>

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/transforms/gradient_test.h"

namespace weir {
namespace {

constexpr int64_t kBatch = 2, kHead = 3, kFeatures = 4, kContext = 31;

struct Layer {
  /// Tensors of one row each, by their number of features.
  std::vector<int64_t> sequences;
  int64_t diagonals = 0;
  /// Written with %0, %1, ... for the sequences, %b for the diagonals, SEGMENTS for segments.
  std::string op;
};

Layer chunked(int64_t chunk, bool bias = true, bool gate = true) {
  Layer layer;
  layer.sequences = {kHead, kHead, kHead + 1, kHead + 1, kFeatures};
  if (gate) layer.sequences.push_back(kFeatures);
  if (bias) layer.diagonals = 2 * chunk + 1;
  layer.op = std::string("weir.chunked_attention quad(%0, %1) lin(%2, %3) value(%4)") +
             (gate ? " gate(%5)" : "") + (bias ? " bias(%b)" : "") + " chunk_size " +
             std::to_string(chunk) + "SEGMENTS causal kernel(\"relu_squared\")";
  return layer;
}

/// Sees all chunks, without bias and gate.
Layer bidirectional(int64_t chunk) {
  Layer layer = chunked(chunk, false, false);
  layer.op.erase(layer.op.find(" causal"), 7);
  return layer;
}

Layer attention(const std::string& kernel, const std::string& window, bool bias = false,
                bool gate = false) {
  Layer layer;
  layer.sequences = {2 * kHead, 2 * kHead, kFeatures};
  if (gate) layer.sequences.push_back(kFeatures);
  if (bias) layer.diagonals = 2 * kContext - 1;
  layer.op = std::string("weir.attention %0, %1, %2 num_heads 2") + (bias ? " bias(%b)" : "") +
             (gate ? " gate(%3)" : "") + "SEGMENTS kernel(\"" + kernel + "\") window(" + window +
             ")";
  if (kernel != "softmax") layer.op += " length " + std::to_string(kContext);

  return layer;
}

std::string sequenceType(int64_t time, int64_t features) {
  std::ostringstream text;
  text << "tensor<" << kBatch << "x" << time << "x" << features << "xf64>";
  return text.str();
}

class AttentionStepTest : public GradientTest {
 protected:
  /// @f of `time` tokens. Arguments are the sequences, the diagonals, and the segments.
  OwningOpRef<ModuleOp> wholeOf(const Layer& layer, int64_t time, bool segments) {
    std::string arguments, types, op = layer.op;
    for (size_t i = 0; i < layer.sequences.size(); ++i) {
      std::string type = sequenceType(time, layer.sequences[i]);
      arguments += (i ? ", %" : "%") + std::to_string(i) + ": " + type;
      types += (i ? ", " : "") + type;
    }
    // In the order of the op's operands: a gate comes after the bias of weir.attention, before
    // that of weir.chunked_attention.
    std::string diagonals = "tensor<" + std::to_string(layer.diagonals) + "xf64>";
    if (layer.diagonals > 0) {
      arguments += ", %b: " + diagonals;
      size_t gate = types.rfind(", ");
      bool isLast = op.find("gate(") == std::string::npos || op.find("gate(") < op.find("bias(");
      types = isLast ? types + ", " + diagonals
                     : types.substr(0, gate) + ", " + diagonals + types.substr(gate);
    }
    if (segments) {
      std::string type = "tensor<" + std::to_string(kBatch) + "x" + std::to_string(time) + "xi32>";
      arguments += ", %s: " + type;
      types += ", " + type;
    }
    op.replace(op.find("SEGMENTS"), 8, segments ? " segments(%s)" : "");
    std::string result = sequenceType(time, kFeatures);
    // Names of arguments can't be numbers that values have.
    std::string text = "func.func @f(" + arguments + ") -> " + result + " {\n  %y = " + op +
                       " : (" + types + ") -> " + result + "\n  return %y : " + result + "\n}\n";
    for (size_t i = 0; i < text.size(); ++i)
      if (text[i] == '%' && std::isdigit(text[i + 1])) text.insert(i + 1, "x");
    OwningOpRef<ModuleOp> module = parse(text);
    EXPECT_TRUE(module) << text;
    return module;
  }

  static func::FuncOp functionOf(ModuleOp module) { return *module.getOps<func::FuncOp>().begin(); }

  /// Makes the step form of the op in `module`. The function gets the states, the place of its
  /// first token and (with segments) the position of each row's as further arguments, and the new
  /// states as further results.
  std::vector<std::vector<int64_t>> toStep(ModuleOp module, bool segments) {
    func::FuncOp f = functionOf(module);
    StreamableOpInterface op;
    f.walk([&](StreamableOpInterface found) { op = found; });
    SmallVector<StreamStateSpec> specs;
    EXPECT_TRUE(succeeded(op.stateSpecs({kBatch, kContext, segments}, specs)));
    OpBuilder b(op);
    Location loc = op.getLoc();
    std::vector<std::vector<int64_t>> shapes;
    SmallVector<Value> states, newStates;
    for (const StreamStateSpec& spec : specs) {
      states.push_back(f.front().addArgument(spec.type, loc));
      shapes.push_back(spec.type.getShape().vec());
    }
    StreamArguments arguments;
    arguments.states = states;
    arguments.context = kContext;
    Type i64 = b.getI64Type();
    arguments.start = f.front().addArgument(RankedTensorType::get({}, i64), loc);
    if (segments) {
      arguments.position = f.front().addArgument(RankedTensorType::get({kBatch}, i64), loc);
      arguments.segments = f.getArgument(op->getNumOperands() - 1);
    }
    FailureOr<SmallVector<Value>> values = op.buildStep(b, arguments, newStates);
    EXPECT_TRUE(succeeded(values));
    op->getResult(0).replaceAllUsesWith((*values)[0]);
    op->erase();
    Operation* end = f.front().getTerminator();
    end->insertOperands(end->getNumOperands(), newStates);
    f.setFunctionType(b.getFunctionType(f.front().getArgumentTypes(), end->getOperandTypes()));
    EXPECT_TRUE(succeeded(verify(module)));
    for (auto [state, spec] : llvm::zip_equal(newStates, specs))
      EXPECT_EQ(state.getType(), Type(spec.type)) << spec.name;
    return shapes;
  }

  void decompose(ModuleOp module) {
    PassManager passes(&context);
    passes.addNestedPass<func::FuncOp>(createDecompose());
    ASSERT_TRUE(succeeded(passes.run(module)));
  }

  HostTensor slice(const HostTensor& whole, int64_t from, int64_t count) {
    std::vector<int64_t> shape = whole.shape;
    shape[1] = count;
    HostTensor result = HostTensor::zeros(shape);
    int64_t width = whole.data.size() / (whole.shape[0] * whole.shape[1]);
    for (int64_t row = 0; row < shape[0]; ++row)
      std::copy_n(whole.data.begin() + (row * whole.shape[1] + from) * width, count * width,
                  result.data.begin() + row * count * width);
    return result;
  }

  /// Documents of 5, 1, and then 9 (less in row 0, where all begin a token earlier) tokens.
  HostTensor someSegments(int64_t time) {
    HostTensor result = HostTensor::zeros({kBatch, time});
    for (int64_t row = 0; row < kBatch; ++row)
      for (int64_t t = 0; t < time; ++t) {
        int64_t place = t + 1 - row, id = place < 5 ? 0 : place < 6 ? 1 : 2 + (place - 6) / 9;
        if (place >= 24) id = 100;
        result.data[row * time + t] = 7 - 3 * id;
      }
    return result;
  }

  /// Reads rows of `time` tokens in the pieces that `next` names, and compares with the whole.
  void expectPiecesAreWhole(const Layer& layer, int64_t time, bool segments,
                            llvm::function_ref<int64_t(int64_t)> next) {
    std::vector<HostTensor> sequences;
    for (int64_t features : layer.sequences)
      sequences.push_back(random(
          RankedTensorType::get({kBatch, time, features}, Float64Type::get(&context)), -2, 2));
    std::vector<HostTensor> whole = sequences;
    HostTensor diagonals =
        random(RankedTensorType::get({layer.diagonals}, Float64Type::get(&context)), -1, 1);
    if (layer.diagonals > 0) whole.push_back(diagonals);
    HostTensor ids = someSegments(time);
    if (segments) whole.push_back(ids);
    OwningOpRef<ModuleOp> module = wholeOf(layer, time, segments);
    decompose(*module);
    HostTensor expected = (*Evaluator().run(functionOf(*module), whole))[0];

    std::map<int64_t, OwningOpRef<ModuleOp>> steps;
    std::vector<HostTensor> states;
    std::vector<int64_t> positions(kBatch, 0);
    for (int64_t from = 0; from < time;) {
      int64_t count = std::min(next(from), time - from);
      OwningOpRef<ModuleOp>& step = steps[count];
      if (!step) {
        step = wholeOf(layer, count, segments);
        auto shapes = toStep(*step, segments);
        decompose(*step);
        if (from == 0)
          for (const auto& shape : shapes) states.push_back(HostTensor::zeros(shape));
      }
      std::vector<HostTensor> arguments;
      for (const HostTensor& sequence : sequences)
        arguments.push_back(slice(sequence, from, count));
      if (layer.diagonals > 0) arguments.push_back(diagonals);
      if (segments) arguments.push_back(slice(ids, from, count));
      arguments.insert(arguments.end(), states.begin(), states.end());
      HostTensor start = HostTensor::zeros({});
      start.data[0] = from;
      arguments.push_back(start);
      if (segments) {
        HostTensor position = HostTensor::zeros({kBatch});
        for (int64_t row = 0; row < kBatch; ++row) {
          int64_t t = from;
          while (t > 0 && ids.data[row * time + t - 1] == ids.data[row * time + from]) --t;
          position.data[row] = from - t;
        }
        arguments.push_back(position);
      }
      auto results = Evaluator().run(functionOf(*step), arguments);
      ASSERT_TRUE(succeeded(results));
      HostTensor part = slice(expected, from, count);
      for (size_t i = 0; i < part.data.size(); ++i)
        ASSERT_NEAR((*results)[0].data[i], part.data[i], 1e-12)
            << "element " << i << " of " << count << " tokens from " << from << " of " << time;
      states.assign(results->begin() + 1, results->end());
      from += count;
    }
  }

  void expectAllPiecesAreWhole(const Layer& layer, int64_t chunk, int64_t longest) {
    SCOPED_TRACE(layer.op);
    for (bool segments : {false, true}) {
      for (int64_t piece : {int64_t{1}, int64_t{3}, chunk + 1})
        expectPiecesAreWhole(layer, 29, segments, [&](int64_t) { return piece; });
      for (int64_t piece : {int64_t{5}, chunk, 3 * chunk})
        expectPiecesAreWhole(layer, longest, segments, [&](int64_t) { return piece; });
      expectPiecesAreWhole(layer, 1, segments, [](int64_t) { return 1; });
      // Every piece at many phases.
      expectPiecesAreWhole(layer, longest, segments,
                           [](int64_t from) { return 1 + (from * from + 3) % 11; });
    }
  }

  /// The gradients of a step on `time` tokens from `start` on, of states too.
  void checkGradients(const Layer& layer, int64_t time, int64_t start, bool segments) {
    SCOPED_TRACE(layer.op + ", " + std::to_string(time) + " tokens from " + std::to_string(start));
    OwningOpRef<ModuleOp> module = wholeOf(layer, time, segments);
    toStep(*module, segments);
    func::FuncOp f = functionOf(*module);
    // Integers become constants, all others parameters, and the sum of the sines of all results
    // the loss.
    OpBuilder b(&f.front(), f.front().begin());
    Location loc = f.getLoc();
    HostTensor ids = someSegments(start + time);
    llvm::BitVector integers(f.getNumArguments());
    for (BlockArgument argument : f.getArguments()) {
      auto type = cast<RankedTensorType>(argument.getType());
      if (isa<FloatType>(type.getElementType())) {
        f.setArgAttr(argument.getArgNumber(), "weir.param",
                     b.getStringAttr("p" + std::to_string(argument.getArgNumber())));
        continue;
      }
      integers.set(argument.getArgNumber());
      SmallVector<APInt> values;
      unsigned bits = type.getElementTypeBitWidth();
      if (type.getRank() == 0) {
        values.push_back(APInt(bits, start));
      } else if (type.getRank() == 1) {
        // The first row's document goes on, the second row's begins.
        values = {APInt(bits, start), APInt(bits, 0)};
      } else {
        for (double id : slice(ids, start, time).data)
          values.push_back(APInt(bits, static_cast<int64_t>(id), /*isSigned=*/true));
      }
      Value constant = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, values));
      argument.replaceAllUsesWith(constant);
    }
    (void)f.eraseArguments(integers);
    Operation* end = f.front().getTerminator();
    b.setInsertionPoint(end);
    LinalgBuilder l(b, loc);
    Value loss;
    for (Value result : end->getOperands()) {
      ArrayRef<int64_t> shape = shapeOf(result);
      SmallVector<unsigned> all(llvm::to_vector(llvm::seq<unsigned>(0, shape.size())));
      Value sum = l.sum(shape, all, b.getF64Type(), result, l.identity(shape.size()),
                        [](ElementwiseBuilder e, ValueRange v) { return e.sin(v[0]); });
      loss = loss ? arith::AddFOp::create(b, loc, loss, sum).getResult() : sum;
    }
    end->setOperands(loss);
    f.setFunctionType(b.getFunctionType(f.front().getArgumentTypes(), loss.getType()));
    f.setResultAttr(0, "weir.output", b.getStringAttr("loss"));
    std::string text;
    llvm::raw_string_ostream stream(text);
    module->print(stream);
    check(text, -1.5, 1.5);
  }
};

TEST_F(AttentionStepTest, ChunksOfOne) { expectAllPiecesAreWhole(chunked(1), 1, 61); }
TEST_F(AttentionStepTest, ChunksOfFour) { expectAllPiecesAreWhole(chunked(4), 4, 61); }
TEST_F(AttentionStepTest, ChunksOfSeven) { expectAllPiecesAreWhole(chunked(7), 7, 61); }
TEST_F(AttentionStepTest, ChunksBare) { expectAllPiecesAreWhole(chunked(4, false, false), 4, 61); }

// Attention sees all of a row that is no longer than the context.
TEST_F(AttentionStepTest, Causal) {
  expectAllPiecesAreWhole(attention("softmax", "\"causal\""), 7, 29);
}
TEST_F(AttentionStepTest, Local) {
  expectAllPiecesAreWhole(attention("softmax", "\"local\", 6"), 7, 61);
  expectAllPiecesAreWhole(attention("softmax", "\"local\", 1", true), 2, 29);
}
TEST_F(AttentionStepTest, BiasAndGate) {
  expectAllPiecesAreWhole(attention("relu_squared", "\"causal\"", true, true), 7, 29);
}

TEST_F(AttentionStepTest, GradientsOfChunks) {
  for (bool segments : {false, true}) {
    for (int64_t start : {10, 11}) checkGradients(chunked(4), 1, start, segments);
    checkGradients(chunked(4), 4, 8, segments);
    checkGradients(chunked(4), 6, 11, segments);
  }
}

TEST_F(AttentionStepTest, GradientsOfAttention) {
  for (bool segments : {false, true}) {
    checkGradients(attention("softmax", "\"local\", 4"), 1, 3, segments);
    checkGradients(attention("relu_squared", "\"local\", 3", true, true), 4, 9, segments);
  }
}

// A document's tokens get what they would alone, on the same grid: with v = 0 elsewhere, and a mean
// over the chunks in which the document is.
TEST_F(AttentionStepTest, BidirectionalSegments) {
  constexpr int64_t kTime = 29, kChunk = 4, kChunks = 8;
  Layer layer = bidirectional(kChunk);
  std::vector<HostTensor> sequences;
  for (int64_t features : layer.sequences)
    sequences.push_back(random(
        RankedTensorType::get({kBatch, kTime, features}, Float64Type::get(&context)), -2, 2));
  HostTensor ids = someSegments(kTime);
  std::vector<HostTensor> packed = sequences;
  packed.push_back(ids);
  OwningOpRef<ModuleOp> module = wholeOf(layer, kTime, true), alone = wholeOf(layer, kTime, false);
  decompose(*module);
  decompose(*alone);
  HostTensor actual = (*Evaluator().run(functionOf(*module), packed))[0];
  int64_t compared = 0;
  for (double id : std::set<double>(ids.data.begin(), ids.data.end())) {
    std::vector<HostTensor> inputs = sequences;
    for (size_t i = 0; i < inputs[4].data.size(); ++i)
      if (ids.data[i / kFeatures] != id) inputs[4].data[i] = 0;
    HostTensor both = (*Evaluator().run(functionOf(*alone), inputs))[0];
    inputs[2] = HostTensor::zeros(inputs[2].shape);
    HostTensor inside = (*Evaluator().run(functionOf(*alone), inputs))[0];
    for (int64_t row = 0; row < kBatch; ++row) {
      std::set<int64_t> chunks;
      for (int64_t t = 0; t < kTime; ++t)
        if (ids.data[row * kTime + t] == id) chunks.insert(t / kChunk);
      for (int64_t t = 0; t < kTime; ++t) {
        if (ids.data[row * kTime + t] != id) continue;
        for (int64_t i = (row * kTime + t) * kFeatures, end = i + kFeatures; i < end; ++i) {
          double across = (both.data[i] - inside.data[i]) * kChunks / chunks.size();
          EXPECT_NEAR(actual.data[i], inside.data[i] + across, 1e-12) << "token " << t;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, kBatch * kTime * kFeatures);
}

}  // namespace
}  // namespace weir
