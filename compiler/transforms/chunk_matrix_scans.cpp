// Scans of outer products as products over chunks of tokens (Yang et al., "Gated Linear Attention
// Transformers with Hardware-Efficient Training", arXiv:2312.06635; Dao and Gu, "Transformers are
// SSMs", arXiv:2405.21060, section 6).
//
// Dimensions are letters: those of the scan's iteration space, and chunk, t, s in place of time. A
// tensor goes with the letters of its dimensions.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/transforms/chunk_matrix_scans_pass.h"
#include "compiler/transforms/matrix_scan.h"

namespace weir {

#define GEN_PASS_DEF_CHUNKMATRIXSCANS
#include "compiler/transforms/chunk_matrix_scans_pass.h.inc"

using namespace mlir;

namespace {

using Letters = SmallVector<unsigned>;

struct Lettered {
  Value value;
  Letters letters;
};

/// Tensors that go into a body, with the letters of their dimensions.
using Operands = SmallVector<Lettered>;

/// The value that `x` widens, if it does nothing else.
Value widened(Value x, Type narrow) {
  auto op = x.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op.getNumReductionLoops() > 0) return {};
  auto ext = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::ExtFOp>();
  if (!ext || ext.getIn() != op.getBody()->getArgument(0)) return {};
  Value input = op.getInputs()[0];
  bool inPlace =
      llvm::all_of(op.getIndexingMapsArray(), [](AffineMap m) { return m.isIdentity(); });
  return inPlace && getElementTypeOrSelf(input.getType()) == narrow ? input : Value();
}

bool isZero(Value x) {
  auto fill = x.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
}

class Rewriter {
 public:
  Rewriter(OpBuilder& b, const MatrixScan& form, int64_t chunkSize, bool bf16)
      : form(form),
        scan(form.scan),
        loc(scan.getLoc()),
        b(b),
        l(b, loc),
        wide(scan.getStateElementType()),
        narrow(bf16 && wide.isF32() ? Type(b.getBF16Type()) : wide),
        size(chunkSize),
        chunks(llvm::divideCeil(form.sizes[form.time], chunkSize)),
        extents(form.sizes) {
    chunk = extents.size();
    t = chunk + 1;
    s = chunk + 2;
    extents.append({chunks, size, size});
  }

  void run();

 private:
  using Decay = MatrixScan::Decay;

  // Letters of the groups before and after time, with `middle` between them and `last` behind.
  Letters around(ArrayRef<unsigned> middle, ArrayRef<unsigned> last,
                 const llvm::SmallBitVector* among = nullptr) {
    Letters letters;
    auto addGroups = [&](bool before) {
      for (unsigned dim : form.groups)
        if ((dim < form.time) == before && (!among || among->test(dim))) letters.push_back(dim);
    };
    addGroups(true);
    letters.append(middle.begin(), middle.end());
    addGroups(false);
    letters.append(last.begin(), last.end());
    return letters;
  }
  SmallVector<int64_t> shapeFor(ArrayRef<unsigned> letters) {
    return llvm::map_to_vector(letters, [&](unsigned letter) { return extents[letter]; });
  }
  /// How `letters` are read where the loops are over `loops`.
  AffineMap mapOf(ArrayRef<unsigned> letters, ArrayRef<unsigned> loops) {
    Letters targets;
    for (unsigned letter : letters) targets.push_back(llvm::find(loops, letter) - loops.begin());
    return l.map(loops.size(), targets);
  }
  static Letters lettersOf(AffineMap map) {
    return llvm::map_to_vector(map.getResults(), [](AffineExpr expr) -> unsigned {
      return cast<AffineDimExpr>(expr).getPosition();
    });
  }

  Lettered pointwise(const Letters& letters, Type element, const Operands& operands,
                     LinalgBuilder::Body body) {
    SmallVector<Value> values;
    SmallVector<AffineMap> maps;
    for (const Lettered& operand : operands) {
      values.push_back(operand.value);
      maps.push_back(mapOf(operand.letters, letters));
    }
    return {l.elementwise(shapeFor(letters), element, values, maps, body), letters};
  }
  /// As it is read by products.
  Lettered rounded(const Lettered& x) {
    if (Value before = widened(x.value, narrow)) return {before, x.letters};
    if (getElementTypeOrSelf(x.value.getType()) == narrow) return x;
    return pointwise(x.letters, narrow, {x},
                     [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], narrow); });
  }
  Lettered times(const Letters& letters, Type element, const Lettered& x, const Lettered& y) {
    return pointwise(letters, element, {x, y}, [&](ElementwiseBuilder e, ValueRange v) {
      return e.cast(e.mul(e.cast(v[0], wide), e.cast(v[1], wide)), element);
    });
  }
  Lettered product(const Lettered& x, const Lettered& y, const Letters& out) {
    Letters loops = out;
    for (const Lettered* operand : {&x, &y})
      for (unsigned letter : operand->letters)
        if (!llvm::is_contained(loops, letter)) loops.push_back(letter);
    auto number = [&](const Letters& letters) {
      return llvm::map_to_vector(letters, [&](unsigned letter) -> unsigned {
        return llvm::find(loops, letter) - loops.begin();
      });
    };
    return {l.contract(x.value, number(x.letters), y.value, number(y.letters), number(out),
                       loops.size()),
            out};
  }

  /// The values of a scan's region that are factors, multiplied in a body in which `known` stands
  /// for the region's arguments; null if there are none.
  Value multiplied(ElementwiseBuilder e, ArrayRef<Value> factors, IRMapping& known) {
    Value result;
    for (Value factor : factors) {
      Value value = copied(e.builder(), factor, known);
      result = result ? e.mul(result, value) : value;
    }
    return result;
  }
  Value copied(OpBuilder& builder, Value value, IRMapping& known) {
    if (Value copy = known.lookupOrNull(value)) return copy;
    Operation* op = value.getDefiningOp();
    if (!scan->isProperAncestor(op)) return value;
    for (Value operand : op->getOperands()) copied(builder, operand, known);
    builder.clone(*op, known);
    return known.lookup(value);
  }
  /// The inputs of the scan that `factors` depend on.
  SmallVector<BlockArgument> argumentsOf(ArrayRef<Value> factors) {
    SmallVector<BlockArgument> arguments;
    llvm::SmallPtrSet<Value, 8> seen;
    SmallVector<Value> worklist(llvm::reverse(factors));
    while (!worklist.empty()) {
      Value value = worklist.pop_back_val();
      if (!seen.insert(value).second) continue;
      if (auto argument = dyn_cast<BlockArgument>(value)) {
        arguments.push_back(argument);
      } else if (scan->isProperAncestor(value.getDefiningOp())) {
        llvm::append_range(worklist, llvm::reverse(value.getDefiningOp()->getOperands()));
      }
    }
    return arguments;
  }
  Lettered inputOf(BlockArgument argument) {
    bool isEpilogue = argument.getOwner()->getParent() == &scan.getEpilogue();
    unsigned number = argument.getArgNumber() - (isEpilogue ? 1 : 0);
    return {scan.getInputs()[number], lettersOf(scan.getMaps()[number])};
  }
  /// body(e, values of `operands`, product of `factors` or null) at each point of `letters`.
  Lettered withFactors(const Letters& letters, Type element, Operands operands,
                       ArrayRef<Value> factors,
                       llvm::function_ref<Value(ElementwiseBuilder, ValueRange, Value)> body) {
    SmallVector<BlockArgument> arguments = argumentsOf(factors);
    size_t own = operands.size();
    for (BlockArgument argument : arguments) operands.push_back(inputOf(argument));
    return pointwise(letters, element, operands, [&](ElementwiseBuilder e, ValueRange v) {
      IRMapping known;
      for (auto [argument, value] : llvm::zip(arguments, v.drop_front(own)))
        known.map(argument, value);
      return body(e, v.take_front(own), multiplied(e, factors, known));
    });
  }
  /// The product of `factors` as a tensor; an input of the scan where it is one.
  Lettered materialized(ArrayRef<Value> factors, const Letters& letters) {
    if (factors.size() == 1 && factors[0].getType() == wide) {
      if (auto argument = dyn_cast<BlockArgument>(factors[0])) {
        Lettered input = inputOf(argument);
        if (input.letters == letters) return input;
      }
    }
    return withFactors(letters, wide, {}, factors,
                       [](ElementwiseBuilder, ValueRange, Value value) { return value; });
  }

  /// Time as chunks and the tokens of each, which are called t or s; the last chunk is filled up.
  Lettered cut(Lettered x, double filler, unsigned token) {
    unsigned dim = llvm::find(x.letters, form.time) - x.letters.begin();
    SmallVector<int64_t> shape(shapeOf(x.value));
    if (int64_t missing = chunks * size - shape[dim]) {
      shape[dim] = missing;
      Type element = getElementTypeOrSelf(x.value.getType());
      x.value = l.concat(dim, {x.value, l.filled(filler, shape, element)});
    }
    x.letters[dim] = chunk;
    x.letters.insert(x.letters.begin() + dim + 1, token);
    x.value = l.reshape(x.value, shapeFor(x.letters));
    return x;
  }
  /// The same tensor where a token is called s instead of t.
  Lettered asS(Lettered x) {
    llvm::replace(x.letters, t, s);
    return x;
  }
  /// `x` with its dimensions in another order, and repeated along those that it lacks.
  Lettered spread(const Lettered& x, const Letters& letters) {
    if (x.letters == letters) return x;
    return pointwise(letters, getElementTypeOrSelf(x.value.getType()), {x},
                     [](ElementwiseBuilder, ValueRange v) { return v[0]; });
  }
  Lettered cutDecay();

  struct Scan {
    Lettered output, last;
  };
  /// A scan over `time`, one of the `loops`, with one output.
  Scan makeScan(
      const Letters& loops, unsigned time, const Operands& operands, Value initial,
      const Letters& output, Type element,
      llvm::function_ref<std::pair<Value, Value>(ElementwiseBuilder, ValueRange)> prologue,
      llvm::function_ref<Value(ElementwiseBuilder, ValueRange)> epilogue);

  /// What tokens take from their own chunk, and the keys (values, where the decay is theirs) as the
  /// chunk's end sees them.
  struct Inside {
    Lettered y, keys, values;
  };
  Inside inside(const Lettered& decay, const Lettered& q, const Lettered& k, const Lettered& v);
  Lettered unit();

  const MatrixScan& form;
  ScanOp scan;
  Location loc;
  OpBuilder& b;
  LinalgBuilder l;
  /// The type of sums, and of what products read.
  Type wide, narrow;
  int64_t size, chunks;
  SmallVector<int64_t> extents;
  unsigned chunk, t, s;
};

Rewriter::Scan Rewriter::makeScan(
    const Letters& loops, unsigned time, const Operands& operands, Value initial,
    const Letters& output, Type element,
    llvm::function_ref<std::pair<Value, Value>(ElementwiseBuilder, ValueRange)> prologue,
    llvm::function_ref<Value(ElementwiseBuilder, ValueRange)> epilogue) {
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<Type> types;
  for (const Lettered& operand : operands) {
    inputs.push_back(operand.value);
    types.push_back(getElementTypeOrSelf(operand.value.getType()));
    maps.push_back(mapOf(operand.letters, loops));
  }
  maps.push_back(mapOf(output, loops));
  SmallVector<Attribute> iterators;
  Letters state;
  for (unsigned letter : loops) {
    iterators.push_back(b.getStringAttr(letter == time ? "time" : "parallel"));
    if (letter != time) state.push_back(letter);
  }
  SmallVector<Type> results{RankedTensorType::get(shapeFor(output), element),
                            RankedTensorType::get(shapeFor(state), wide)};
  auto op = ScanOp::create(b, loc, results, inputs, initial, Value(), b.getAffineMapArrayAttr(maps),
                           b.getArrayAttr(iterators), UnitAttr(), IntegerAttr());
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Location> locs(types.size(), loc);
  Block* first = b.createBlock(&op.getPrologue(), {}, types, locs);
  auto [decay, added] = prologue(ElementwiseBuilder(b, loc), first->getArguments());
  YieldOp::create(b, loc, {decay, added});
  types.insert(types.begin(), wide);
  locs.push_back(loc);
  Block* second = b.createBlock(&op.getEpilogue(), {}, types, locs);
  YieldOp::create(b, loc, epilogue(ElementwiseBuilder(b, loc), second->getArguments()));
  return {{op.getResults()[0], output}, {op.getFinal(), state}};
}

/// a over its own dimensions, chunks and t; over t alone, the same in every chunk, where it is the
/// same at all times and no chunk is filled up.
Lettered Rewriter::cutDecay() {
  llvm::SmallBitVector dims = form.decayDims;
  SmallVector<unsigned, 1> last;
  if (form.decayKind == Decay::PerKey) last.push_back(form.key);
  if (form.decayKind == Decay::PerValue) last.push_back(form.value);
  bool isFixed = !dims.test(form.time) && chunks * size == form.sizes[form.time];
  if (isFixed) return materialized({form.decay}, around({t}, last, &dims));
  Lettered decay = materialized({form.decay}, around({form.time}, last, &dims));
  if (Value ids = scan.getSegments()) {
    // Nothing goes on where another document begins.
    Value first = l.sliceDim(ids, 1, 0, 1), rest = first;
    if (int64_t others = shapeOf(ids)[1] - 1)
      rest = l.concat(1, {first, l.sliceDim(ids, 1, 0, others)});
    Letters row{form.batch, form.time};
    decay = pointwise(decay.letters, wide, {decay, {ids, row}, {rest, row}},
                      [&](ElementwiseBuilder e, ValueRange v) {
                        return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, wide));
                      });
  }
  return cut(decay, 1, t);
}

/// 1 where t = s.
Lettered Rewriter::unit() {
  return pointwise({t, s}, wide, {}, [&](ElementwiseBuilder e, ValueRange) {
    Type i64 = b.getI64Type();
    return e.select(e.equal(e.index(0, i64), e.index(1, i64)), e.constant(1, wide),
                    e.constant(0, wide));
  });
}

Rewriter::Inside Rewriter::inside(const Lettered& decay, const Lettered& q, const Lettered& k,
                                  const Lettered& v) {
  Letters pairs = around({chunk}, {t, s});
  Letters outputs = around({chunk, t}, {form.value});
  auto first = [](ElementwiseBuilder, ValueRange v) { return v[0]; };
  if (form.decayKind == Decay::PerKey) {
    // A sum over k of products with D is no product: the scan sums.
    Letters loops = around({chunk}, {t, s, form.key});
    Scan scores = makeScan(
        loops, t, {decay, unit(), k, q}, Value(), pairs, wide,
        [](ElementwiseBuilder e, ValueRange v) { return std::pair(v[0], e.mul(v[1], v[2])); },
        [](ElementwiseBuilder e, ValueRange v) { return e.mul(v[0], v[4]); });
    Lettered values = rounded(v);
    return {product(rounded(scores.output), values, outputs), rounded(scores.last), values};
  }

  Lettered scores = product(rounded(q), rounded(k), around({chunk}, {t, s}, &form.pairDims));
  if (form.decayKind == Decay::PerValue) {
    Letters loops = around({chunk}, {t, s, form.value});
    Scan sums = makeScan(
        loops, t, {decay, unit(), v, scores}, Value(), outputs, wide,
        [](ElementwiseBuilder e, ValueRange v) { return std::pair(v[0], e.mul(v[1], v[2])); },
        [](ElementwiseBuilder e, ValueRange v) { return e.mul(v[0], v[4]); });
    return {sums.output, spread(rounded(k), around({chunk, s}, {form.key})), rounded(sums.last)};
  }
  Letters loops;
  for (unsigned letter : decay.letters)
    if (letter != t) loops.push_back(letter);
  loops.append({t, s});
  Scan spans = makeScan(
      loops, t, {decay, unit()}, Value(), loops, wide,
      [](ElementwiseBuilder, ValueRange v) { return std::pair(v[0], v[1]); }, first);
  Lettered weights = times(pairs, narrow, scores, spans.output);
  Lettered values = rounded(v);
  Lettered keys = times(around({chunk, s}, {form.key}), narrow, k, spans.last);
  return {product(weights, values, outputs), keys, values};
}

void Rewriter::run() {
  // k and q may be the same for several groups; their products are, too, then.
  Letters ofPairs = around({form.time}, {form.key}, &form.pairDims);
  Lettered q = cut(materialized(form.queryFactors, ofPairs), 0, t);
  Lettered k = asS(cut(materialized(form.keyFactors, ofPairs), 0, t));
  Lettered v = asS(cut(materialized(form.valueFactors, around({form.time}, {form.value})), 0, t));
  Lettered decay = cutDecay();
  Inside own = inside(decay, q, k, v);

  // P, and the decay of whole chunks.
  Letters whole;
  for (unsigned letter : decay.letters)
    if (letter != t) whole.push_back(letter);
  Scan since = makeScan(
      decay.letters, t, {decay}, l.filled(1, shapeFor(whole), wide), decay.letters, wide,
      [&](ElementwiseBuilder e, ValueRange v) { return std::pair(v[0], e.constant(0, wide)); },
      [](ElementwiseBuilder, ValueRange v) { return v[0]; });

  // The matrices, one for each chunk.
  Letters matrices = around({chunk}, {form.key, form.value});
  Letters matrix = around({}, {form.key, form.value});
  Lettered initial{scan.getInitial(), lettersOf(scan.getStateMap())};
  if (initial.value && isZero(initial.value)) initial.value = {};
  if (initial.value) initial = spread(initial, matrix);
  Scan states = makeScan(
      matrices, chunk, {since.last, product(own.keys, own.values, matrices)}, initial.value,
      matrices, narrow, [](ElementwiseBuilder, ValueRange v) { return std::pair(v[0], v[1]); },
      [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], narrow); });

  // What enters each chunk.
  unsigned dim = llvm::find(matrices, chunk) - matrices.begin();
  SmallVector<int64_t> one = shapeFor(matrices);
  one[dim] = 1;
  Value entering =
      initial.value ? l.reshape(rounded(initial).value, one) : l.filled(0, one, narrow);
  if (chunks > 1)
    entering = l.concat(dim, {entering, l.sliceDim(states.output.value, dim, 0, chunks - 1)});
  bool afterwards = form.decayKind == Decay::PerValue;
  Letters queries = around({chunk, t}, {form.key});
  Lettered outside =
      product(afterwards ? spread(rounded(q), queries) : times(queries, narrow, q, since.output),
              {entering, matrices}, own.y.letters);
  if (afterwards) outside = times(outside.letters, wide, outside, since.output);

  auto uncut = [&](const Lettered& x) -> Lettered {
    Letters letters = around({form.time}, {form.value});
    SmallVector<int64_t> shape = shapeFor(letters);
    unsigned time = llvm::find(letters, form.time) - letters.begin();
    shape[time] = chunks * size;
    return {l.sliceDim(l.reshape(x.value, shape), time, 0, form.sizes[form.time]), letters};
  };
  Value output = scan.getOutputs()[0];
  Type element = getElementTypeOrSelf(output.getType());
  Lettered y =
      withFactors(lettersOf(scan.getMaps().back()), element, {uncut(own.y), uncut(outside)},
                  form.outerFactors, [&](ElementwiseBuilder e, ValueRange v, Value outer) {
                    Value sum = e.add(v[0], v[1]);
                    return e.cast(outer ? e.mul(sum, outer) : sum, element);
                  });
  output.replaceAllUsesWith(y.value);

  Letters state = lettersOf(scan.getStateMap());
  if (!scan.getFinal().use_empty())
    scan.getFinal().replaceAllUsesWith(spread(states.last, state).value);
  scan.erase();
}

struct ChunkMatrixScans : impl::ChunkMatrixScansBase<ChunkMatrixScans> {
  using ChunkMatrixScansBase::ChunkMatrixScansBase;

  void runOnOperation() override {
    SmallVector<ScanOp> scans;
    getOperation().walk([&](ScanOp scan) { scans.push_back(scan); });
    for (ScanOp scan : scans) {
      if (chunk >= 0 && !scan->hasAttr(kMatrixChunkAttr))
        scan->setAttr(kMatrixChunkAttr, Builder(&getContext()).getI64IntegerAttr(chunk));
      FailureOr<MatrixScan> form = matchMatrixScan(scan);
      if (failed(form)) continue;
      int64_t size = chunkOf(*form, bf16);
      if (size == 0) continue;
      OpBuilder b(scan);
      Rewriter(b, *form, size, bf16).run();
    }
  }
};

}  // namespace
}  // namespace weir
