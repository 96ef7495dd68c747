// Random programs of launches and views: what they mean against what memory holds when they run as
// planned.
//
// A launch gives numbers that depend on its kernel and on everything it reads, so a buffer that is
// overwritten too early, or a part that is written to the wrong place, shows in the results.

#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "llvm/ADT/Hashing.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/dialect/ring_ops.h"
#include "compiler/transforms/plan.h"
#include "compiler/transforms/plan_layout.h"

namespace weir {
namespace {

using namespace mlir;
using Numbers = std::vector<uint64_t>;

constexpr char kIdAttr[] = "test.id";
/// Of a kernel that writes rows of a ring: the first one's.
constexpr char kStartAttr[] = "test.start";

/// What a kernel computes: an elementwise one from the operands' elements at the same place, any
/// other from all of them.
std::vector<Numbers> compute(func::FuncOp kernel, const std::vector<Numbers>& operands) {
  auto id = kernel->getAttrOfType<IntegerAttr>(kIdAttr);
  if (!id) return operands;  // a copy
  bool elementwise = kernel->hasAttr("test.elementwise");
  std::vector<Numbers> results;
  for (unsigned r = 0; r < kernel.getNumResults(); ++r) {
    int64_t size = cast<RankedTensorType>(kernel.getResultTypes()[r]).getNumElements();
    Numbers& result = results.emplace_back(size);
    for (int64_t i = 0; i < size; ++i) {
      uint64_t h = llvm::hash_combine(id.getInt(), r, i);
      for (const Numbers& operand : operands) {
        h = elementwise
                ? llvm::hash_combine(h, operand[i])
                : llvm::hash_combine(h, llvm::hash_combine_range(operand.begin(), operand.end()));
      }
      result[i] = h;
    }
  }
  return results;
}

/// Element numbers of a strided tensor in row-major order.
std::vector<int64_t> addresses(ArrayRef<int64_t> shape, int64_t offset, ArrayRef<int64_t> strides) {
  std::vector<int64_t> result = {offset};
  for (auto [extent, stride] : llvm::zip(shape, strides)) {
    std::vector<int64_t> next;
    for (int64_t base : result) {
      for (int64_t i = 0; i < extent; ++i) next.push_back(base + i * stride);
    }
    result = std::move(next);
  }
  return result;
}

ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

/// Makes random entry points, and says what they mean.
class RandomProgram {
 public:
  RandomProgram(MLIRContext& context, unsigned seed) : random(seed), b(&context) {
    module = ModuleOp::create(b.getUnknownLoc());
    build();
  }

  ModuleOp get() { return *module; }
  /// Inputs and variables by name, filled; then what outputs and variables should be after a run.
  std::map<std::string, Numbers> before, after;

 private:
  int64_t pick(int64_t n) { return static_cast<int64_t>(random() % n); }
  RankedTensorType type(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, b.getF32Type());
  }
  Value anyValue() { return values[pick(values.size())]; }

  func::FuncOp makeKernel(ArrayRef<Type> arguments, ArrayRef<Type> results, bool elementwise) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(module->getBody());
    auto kernel = func::FuncOp::create(b, b.getUnknownLoc(), "k" + std::to_string(kernels),
                                       b.getFunctionType(arguments, results));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, b.getUnitAttr());
    kernel->setAttr(kIdAttr, b.getI64IntegerAttr(kernels++));
    b.setInsertionPointToEnd(kernel.addEntryBlock());
    SmallVector<Value> yields;
    for (Type result : results) {
      auto tensor = cast<RankedTensorType>(result);
      Value empty =
          tensor::EmptyOp::create(b, b.getUnknownLoc(), tensor.getShape(), tensor.getElementType());
      if (!elementwise) {
        yields.push_back(empty);
        continue;
      }
      SmallVector<AffineMap> maps(arguments.size() + 1, b.getMultiDimIdentityMap(tensor.getRank()));
      SmallVector<utils::IteratorType> loops(tensor.getRank(), utils::IteratorType::parallel);
      auto generic = linalg::GenericOp::create(
          b, b.getUnknownLoc(), TypeRange{result}, kernel.getArguments(), ValueRange{empty}, maps,
          loops,
          [](OpBuilder& b, Location loc, ValueRange v) { linalg::YieldOp::create(b, loc, v[0]); });
      yields.push_back(generic.getResult(0));
      kernel->setAttr(kRowRankAttr, b.getI64IntegerAttr(tensor.getRank()));
      kernel->setAttr("test.elementwise", b.getUnitAttr());
    }
    func::ReturnOp::create(b, b.getUnknownLoc(), yields);
    return kernel;
  }

  void add(Value value, Numbers meaning) {
    values.push_back(value);
    meanings[value] = std::move(meaning);
  }

  void addLaunch() {
    SmallVector<Value> operands = {anyValue()};
    bool elementwise = pick(2) == 0;
    for (int64_t i = pick(3); i > 0; --i) {
      Value other = anyValue();
      if (!llvm::is_contained(operands, other) &&
          (!elementwise || other.getType() == operands[0].getType())) {
        operands.push_back(other);
      }
    }
    if (!elementwise && pick(4) == 0) operands.clear();
    SmallVector<Type> results = {elementwise ? operands[0].getType()
                                             : Type(type({4, 2 << pick(3)}))};
    if (pick(3) == 0) results.push_back(elementwise ? results[0] : Type(type({4, 8})));
    SmallVector<Type> arguments =
        llvm::map_to_vector(operands, [](Value v) { return v.getType(); });
    func::FuncOp kernel = makeKernel(arguments, results, elementwise);
    auto launch = LaunchOp::create(b, b.getUnknownLoc(), results, SymbolRefAttr::get(kernel),
                                   operands, ArrayAttr());
    std::vector<Numbers> read;
    for (Value operand : operands) read.push_back(meanings[operand]);
    std::vector<Numbers> written = compute(kernel, read);
    for (auto [result, numbers] : llvm::zip(launch.getResults(), written)) add(result, numbers);
  }

  void addSlice() {
    Value source = anyValue();
    ArrayRef<int64_t> shape = shapeOf(source);
    if (shape.size() != 2) return;
    SmallVector<OpFoldResult> offsets, sizes, ones(2, b.getIndexAttr(1));
    SmallVector<int64_t> from, size;
    for (int64_t extent : shape) {
      int64_t first = pick(extent), count = 1 + pick(extent - first);
      if (pick(2) == 0) first = 0, count = extent;
      offsets.push_back(b.getIndexAttr(first));
      sizes.push_back(b.getIndexAttr(count));
      from.push_back(first);
      size.push_back(count);
    }
    auto slice = tensor::ExtractSliceOp::create(b, b.getUnknownLoc(), source, offsets, sizes, ones);
    Numbers numbers;
    for (int64_t address : addresses(size, from[0] * shape[1] + from[1], {shape[1], 1})) {
      numbers.push_back(meanings[source][address]);
    }
    add(slice, numbers);
  }

  void addConcat() {
    int64_t dim = pick(2);
    Value first = anyValue(), second = anyValue();
    if (shapeOf(first).size() != 2 || shapeOf(second).size() != 2) return;
    if (shapeOf(first)[1 - dim] != shapeOf(second)[1 - dim]) return;
    SmallVector<int64_t> shape(shapeOf(first));
    shape[dim] += shapeOf(second)[dim];
    auto concat =
        tensor::ConcatOp::create(b, b.getUnknownLoc(), type(shape), dim, ValueRange{first, second});
    add(concat, joined(shape, {{first, 0, 0},
                               {second, dim == 0 ? shapeOf(first)[0] : 0,
                                dim == 1 ? shapeOf(first)[1] : 0}}));
  }

  /// Rows of what a launch gives, moved by one: another row comes first or last.
  void addShifted() {
    Value source = anyValue();
    if (shapeOf(source).size() != 2 || shapeOf(source)[0] < 3) return;
    SmallVector<int64_t> shape(shapeOf(source));
    int64_t from = pick(2), rows = shape[0] - 1;
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(from), b.getIndexAttr(0)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(rows), b.getIndexAttr(shape[1])},
                              ones(2, b.getIndexAttr(1));
    auto slice = tensor::ExtractSliceOp::create(b, b.getUnknownLoc(), source, offsets, sizes, ones);
    const Numbers& all = meanings[source];
    Numbers numbers(all.begin() + from * shape[1], all.begin() + (from + rows) * shape[1]);
    meanings[slice] = numbers;
    func::FuncOp kernel = makeKernel({}, {type({1, shape[1]})}, false);
    auto row = LaunchOp::create(b, b.getUnknownLoc(), kernel.getResultTypes(),
                                SymbolRefAttr::get(kernel), ValueRange(), ArrayAttr());
    meanings[row.getResult(0)] = compute(kernel, {})[0];
    bool rowFirst = pick(2) == 0;
    Value first = rowFirst ? row.getResult(0) : slice.getResult();
    Value second = rowFirst ? slice.getResult() : row.getResult(0);
    auto concat =
        tensor::ConcatOp::create(b, b.getUnknownLoc(), type(shape), 0, ValueRange{first, second});
    add(concat, joined(shape, {{first, 0, 0}, {second, rowFirst ? 1 : rows, 0}}));
  }

  void addInsert() {
    Value part = anyValue(), whole = anyValue();
    ArrayRef<int64_t> p = shapeOf(part), w = shapeOf(whole);
    if (p.size() != 2 || w.size() != 2 || p[0] > w[0] || p[1] > w[1] || part == whole) return;
    int64_t i = pick(w[0] - p[0] + 1), j = pick(w[1] - p[1] + 1);
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(i), b.getIndexAttr(j)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(p[0]), b.getIndexAttr(p[1])},
                              ones(2, b.getIndexAttr(1));
    auto insert =
        tensor::InsertSliceOp::create(b, b.getUnknownLoc(), part, whole, offsets, sizes, ones);
    add(insert, joined(w, {{whole, 0, 0}, {part, i, j}}));
  }

  struct Part {
    Value value;
    int64_t row, column;
  };
  Numbers joined(ArrayRef<int64_t> shape, std::vector<Part> parts) {
    Numbers numbers(shape[0] * shape[1]);
    for (const Part& part : parts) {
      std::vector<int64_t> to =
          addresses(shapeOf(part.value), part.row * shape[1] + part.column, {shape[1], 1});
      for (size_t k = 0; k < to.size(); ++k) numbers[to[k]] = meanings[part.value][k];
    }
    return numbers;
  }

  /// Rows of a ring, in a kernel that leaves the others alone.
  void addUpdate() {
    Location loc = b.getUnknownLoc();
    Value ring = rings[pick(rings.size())], flat = anyValue();
    if (pick(2) == 0 && flat.getType() == type({4, 8})) {
      Numbers meaning = meanings[flat];
      ring = tensor::ExpandShapeOp::create(b, loc, type({1, 4, 8}), flat,
                                           ArrayRef<ReassociationIndices>{{0, 1}, {2}});
      meanings[ring] = meaning;
    }
    int64_t start = pick(4), count = 1 + pick(3);
    func::FuncOp source = makeKernel({}, {type({1, count, 8})}, false);
    auto rows = LaunchOp::create(b, loc, source.getResultTypes(), SymbolRefAttr::get(source),
                                 ValueRange(), ArrayAttr());
    Numbers written = compute(source, {})[0], numbers = meanings[ring];
    meanings[rows.getResult(0)] = written;
    for (size_t i = 0; i < written.size(); ++i) numbers[(start * 8 + i) % 32] = written[i];
    auto launch =
        LaunchOp::create(b, loc, ring.getType(), SymbolRefAttr::get(makeUpdate(start, count)),
                         ValueRange{ring, rows.getResult(0)}, ArrayAttr());
    rings.push_back(launch.getResult(0));
    meanings[rings.back()] = numbers;
    add(tensor::CollapseShapeOp::create(b, loc, rings.back(),
                                        ArrayRef<ReassociationIndices>{{0, 1}, {2}}),
        numbers);
  }

  func::FuncOp makeUpdate(int64_t start, int64_t count) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(module->getBody());
    Location loc = b.getUnknownLoc();
    Type ring = type({1, 4, 8});
    auto kernel = func::FuncOp::create(b, loc, "k" + std::to_string(kernels++),
                                       b.getFunctionType({ring, type({1, count, 8})}, ring));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, b.getUnitAttr());
    kernel->setAttr(kStartAttr, b.getI64IntegerAttr(start));
    b.setInsertionPointToEnd(kernel.addEntryBlock());
    auto place = RankedTensorType::get({}, b.getI64Type());
    Value from = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(place, start));
    Value written =
        WriteRingOp::create(b, loc, ring, kernel.getArgument(0), kernel.getArgument(1), from);
    func::ReturnOp::create(b, loc, written);
    return kernel;
  }

  void addReshape() {
    Value source = anyValue();
    ArrayRef<int64_t> shape = shapeOf(source);
    Value reshaped;
    if (shape.size() == 2) {
      reshaped = tensor::CollapseShapeOp::create(b, b.getUnknownLoc(), source,
                                                 ArrayRef<ReassociationIndices>{{0, 1}});
    } else if (shape.size() == 1 && shape[0] % 4 == 0) {
      reshaped = tensor::ExpandShapeOp::create(b, b.getUnknownLoc(), type({4, shape[0] / 4}),
                                               source, ArrayRef<ReassociationIndices>{{0, 1}});
    } else {
      return;
    }
    add(reshaped, meanings[source]);
  }

  void build() {
    b.setInsertionPointToEnd(module->getBody());
    SmallVector<Type> arguments(4, type({4, 8}));
    arguments.push_back(type({1, 4, 8}));
    auto entry =
        func::FuncOp::create(b, b.getUnknownLoc(), "run", b.getFunctionType(arguments, {}));
    entry->setAttr(host::kEntryAttr, b.getUnitAttr());
    b.setInsertionPointToEnd(entry.addEntryBlock());
    std::vector<std::string> names = {"x", "y", "p", "q", "ring"};
    for (auto [i, name] : llvm::enumerate(names)) {
      entry.setArgAttr(i, i < 2 ? host::kInputAttr : host::kVariableAttr, b.getStringAttr(name));
      Numbers numbers(32);
      for (int64_t k = 0; k < 32; ++k) numbers[k] = llvm::hash_combine(i, k);
      before[name] = numbers;
      if (i < 4)
        add(entry.getArgument(i), numbers);
      else
        meanings[rings.emplace_back(entry.getArgument(i))] = numbers;
    }
    for (int64_t steps = 4 + pick(24); steps > 0; --steps) {
      int64_t kind = pick(11);
      if (kind < 5) addLaunch();
      if (kind == 5) addSlice();
      if (kind == 6) addConcat();
      if (kind == 7) addInsert();
      if (kind == 8) addReshape();
      if (kind == 9) addShifted();
      if (kind == 10) addUpdate();
    }
    SmallVector<Value> results;
    SmallVector<std::pair<const char*, std::string>> attributes;
    for (int64_t k = 0; k < 1 + pick(4); ++k) {
      results.push_back(anyValue());
      attributes.push_back({host::kOutputAttr, "out" + std::to_string(k)});
    }
    for (const char* variable : {"p", "q"}) {
      for (int64_t tries = 0; tries < 40; ++tries) {
        Value value = values[values.size() - 1 - pick(values.size())];
        if (value.getType() != arguments[0]) continue;
        results.push_back(value);
        attributes.push_back({host::kVariableAttr, variable});
        break;
      }
    }
    results.push_back(rings[pick(rings.size())]);
    attributes.push_back({host::kVariableAttr, "ring"});
    func::ReturnOp::create(b, b.getUnknownLoc(), results);
    entry.setFunctionType(b.getFunctionType(arguments, TypeRange(ValueRange(results))));
    for (const char* name : {"p", "q", "ring"}) after[name] = before[name];
    for (auto [i, attribute] : llvm::enumerate(attributes)) {
      entry.setResultAttr(i, attribute.first, b.getStringAttr(attribute.second));
      after[attribute.second] = meanings[results[i]];
    }
  }

  std::mt19937 random;
  OpBuilder b;
  OwningOpRef<ModuleOp> module;
  std::vector<Value> values, rings;
  DenseMap<Value, Numbers> meanings;
  int64_t kernels = 0;
};

/// Runs the plan on memory of one number per four bytes.
std::map<std::string, Numbers> simulate(ModuleOp module, const ModulePlan& plan,
                                        const std::map<std::string, Numbers>& before) {
  using runtime::Space;
  const PlannedEntry& entry = plan.entries[0];
  std::map<std::pair<Space, int64_t>, Numbers> memory;
  for (auto [i, spec] : llvm::enumerate(entry.inputs))
    memory[{Space::kInput, i}] = before.at(spec.name);
  for (auto [i, variable] : llvm::enumerate(plan.shared.variables)) {
    memory[{Space::kVariable, i}] = before.at(variable.spec.name);
  }
  for (auto [i, spec] : llvm::enumerate(entry.outputs))
    memory[{Space::kOutput, i}].resize(spec.NumElements());
  memory[{Space::kArena, 0}].resize(entry.arenaBytes / 4);

  SymbolTable symbols(module);
  for (const PlannedLaunch& launch : entry.launches) {
    LaunchOp op = launch.op;
    auto kernel = symbols.lookup<func::FuncOp>(op.getKernel());
    auto cells = [&](unsigned number, ArrayRef<int64_t> shape, DenseI64ArrayAttr strides) {
      const runtime::BufferRef& ref = launch.buffers[number];
      Numbers& space = memory.at({ref.space, ref.index});
      std::vector<uint64_t*> pointers;
      SmallVector<int64_t> layout =
          strides ? SmallVector<int64_t>(strides.asArrayRef()) : rowMajorStrides(shape);
      for (int64_t address : addresses(shape, ref.byte_offset / 4, layout))
        pointers.push_back(&space.at(address));
      return pointers;
    };
    std::vector<Numbers> read;
    for (unsigned i = 0; i < op->getNumOperands(); ++i) {
      Numbers& numbers = read.emplace_back();
      for (uint64_t* cell : cells(i, shapeOf(op->getOperand(i)),
                                  kernel.getArgAttrOfType<DenseI64ArrayAttr>(i, kStridesAttr))) {
        numbers.push_back(*cell);
      }
    }
    if (auto start = kernel->getAttrOfType<IntegerAttr>(kStartAttr)) {
      auto ring = cells(2, shapeOf(op->getResult(0)),
                        kernel.getResultAttrOfType<DenseI64ArrayAttr>(0, kStridesAttr));
      for (size_t k = 0; k < read[1].size(); ++k)
        *ring[(start.getInt() * 8 + k) % ring.size()] = read[1][k];
      continue;
    }
    std::vector<Numbers> written = compute(kernel, read);
    for (unsigned i = 0; i < op->getNumResults(); ++i) {
      auto to = cells(op->getNumOperands() + i, shapeOf(op->getResult(i)),
                      kernel.getResultAttrOfType<DenseI64ArrayAttr>(i, kStridesAttr));
      for (size_t k = 0; k < to.size(); ++k) *to[k] = written[i][k];
    }
  }
  std::map<std::string, Numbers> after;
  for (auto [i, spec] : llvm::enumerate(entry.outputs))
    after[spec.name] = memory[{Space::kOutput, i}];
  for (auto [i, variable] : llvm::enumerate(plan.shared.variables)) {
    after[variable.spec.name] = memory[{Space::kVariable, i}];
  }
  return after;
}

TEST(PlanEntry, RandomProgramsMeanWhatTheyMeant) {
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                  tensor::TensorDialect, WeirDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  int64_t inPlace = 0, views = 0;
  for (unsigned seed = 0; seed < 1500; ++seed) {
    RandomProgram program(context, seed);
    std::string text;
    llvm::raw_string_ostream(text) << *program.get();
    FailureOr<ModulePlan> plan = planModule(program.get());
    ASSERT_TRUE(succeeded(plan)) << "seed " << seed << "\n" << text;
    std::string planned;
    llvm::raw_string_ostream(planned) << *program.get();
    std::map<std::string, Numbers> after = simulate(program.get(), *plan, program.before);
    for (const auto& [name, numbers] : program.after) {
      ASSERT_EQ(after[name], numbers) << name << ", seed " << seed << "\n" << text << planned;
    }
    inPlace += static_cast<int64_t>(planned.find("weir.tied") != std::string::npos);
    views += static_cast<int64_t>(planned.find("weir.strides") != std::string::npos);
  }
  // What is worth testing did happen.
  EXPECT_GT(inPlace, 40);
  EXPECT_GT(views, 400);
}

}  // namespace
}  // namespace weir
