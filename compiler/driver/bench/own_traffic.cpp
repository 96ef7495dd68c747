#include "compiler/driver/bench/own_traffic.h"

#include <algorithm>

#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Parser/Parser.h"

#include "compiler/conversion/cpu/lowering_pipeline.h"

namespace weir::bench {

using namespace mlir;

namespace {

double bytesOf(Type type) {
  if (auto tile = dyn_cast<amx::TileType>(type))
    return static_cast<double>(tile.getNumElements()) * tile.getElementTypeBitWidth() / 8;
  double elements = 1;
  if (auto vector = dyn_cast<VectorType>(type)) {
    elements = static_cast<double>(vector.getNumElements());
    type = vector.getElementType();
  }
  return elements * (type.isIndex() ? 8 : std::max(8U, type.getIntOrFloatBitWidth()) / 8);
}

/// A load or a store.
struct AccessOp {
  Value memref, mask;
  Type type;
  bool isStore = false;
};

std::optional<AccessOp> accessOf(Operation* op) {
  if (auto o = dyn_cast<memref::LoadOp>(op)) return AccessOp{o.getMemref(), {}, o.getType()};
  if (auto o = dyn_cast<vector::LoadOp>(op)) return AccessOp{o.getBase(), {}, o.getType()};
  if (auto o = dyn_cast<vector::MaskedLoadOp>(op))
    return AccessOp{o.getBase(), o.getMask(), o.getType()};
  if (auto o = dyn_cast<vector::GatherOp>(op))
    return AccessOp{o.getBase(), o.getMask(), o.getType()};
  if (auto o = dyn_cast<amx::TileLoadOp>(op)) return AccessOp{o.getBase(), {}, o.getType()};
  if (auto o = dyn_cast<memref::StoreOp>(op))
    return AccessOp{o.getMemref(), {}, o.getValue().getType(), true};
  if (auto o = dyn_cast<vector::StoreOp>(op))
    return AccessOp{o.getBase(), {}, o.getValueToStore().getType(), true};
  if (auto o = dyn_cast<vector::MaskedStoreOp>(op))
    return AccessOp{o.getBase(), o.getMask(), o.getValueToStore().getType(), true};
  if (auto o = dyn_cast<vector::ScatterOp>(op))
    return AccessOp{o.getBase(), o.getMask(), o.getValueToStore().getType(), true};
  if (auto o = dyn_cast<amx::TileStoreOp>(op))
    return AccessOp{o.getBase(), {}, o.getVal().getType(), true};
  return std::nullopt;
}

/// Bytes of an operand up to which it stays in the first cache: half of the smallest.
constexpr double kSmall = 16 << 10;

/// What an access goes to: an argument of the function, or memory that was allocated in it.
Value baseOf(Value memref) {
  while (auto view = memref.getDefiningOp<ViewLikeOpInterface>()) memref = view.getViewSource();
  return memref;
}

/// Scratch memory is the function's buffers of bytes, and what it has itself; all else is tensors.
/// A kernel that sweeps makes its buffers of addresses.
bool isScratch(Value base) {
  auto type = cast<MemRefType>(base.getType());
  Operation* maker = base.getDefiningOp();
  return (maker && !isa<UnrealizedConversionCastOp>(maker)) ||
         (type.getElementType().isInteger(8) && type.getNumElements() >= int64_t{1} << 40);
}

class Counter {
 public:
  /// Returns whether everything was known.
  bool count(Block& block, double times) {
    for (Operation& op : block)
      if (!countOp(op, times)) return false;
    return true;
  }

  OwnTraffic traffic() const {
    OwnTraffic traffic;
    for (const auto& [base, moved] : operands) {
      if (isScratch(base)) {
        traffic.near += moved.loaded + moved.stored;
        continue;
      }
      auto type = cast<MemRefType>(base.getType());
      double size = bytesOf(type.getElementType()) * static_cast<double>(type.getNumElements());
      double most = size <= kSmall ? size : moved.loaded + moved.stored;
      traffic.loaded += std::min(moved.loaded, most);
      traffic.stored += std::min(moved.stored, most);
      traffic.near += std::max(0.0, moved.loaded - most) + std::max(0.0, moved.stored - most);
    }
    return traffic;
  }

 private:
  struct Moved {
    double loaded = 0, stored = 0;
  };

  bool countOp(Operation& op, double times) {
    if (auto access = accessOf(&op)) {
      add(*access, times);
      lookUp(op);
      return true;
    }
    if (auto loop = dyn_cast<scf::ForOp>(op)) return countFor(loop, times);
    if (auto loop = dyn_cast<scf::ParallelOp>(op)) return countParallel(loop, times);
    if (auto choice = dyn_cast<scf::IfOp>(op)) return countIf(choice, times);
    if (op.getNumRegions() > 0)
      return isa<scf::ReduceOp, vector::MaskOp>(op) && countRegions(op, times);
    evaluate(op);
    // What neither is an access nor pure, a call to a function of numbers aside, would go
    // uncounted.
    bool loadsAddress =
        isa<LLVM::LoadOp>(op) && isa<LLVM::LLVMPointerType>(op.getResult(0).getType());
    return isMemoryEffectFree(&op) || isa<func::CallOp, func::ReturnOp, memref::AllocaOp>(op) ||
           op.getDialect()->getNamespace() == "amx" || isa<memref::PrefetchOp>(op) || loadsAddress;
  }

  bool countRegions(Operation& op, double times) {
    for (Region& region : op.getRegions())
      for (Block& block : region)
        if (!count(block, times)) return false;
    return true;
  }

  void add(const AccessOp& access, double times) {
    double bytes = bytesOf(access.type);
    if (std::optional<double> lanes = lanesOf(access.mask))
      bytes *= *lanes / static_cast<double>(cast<VectorType>(access.type).getNumElements());
    Moved& moved = operands[baseOf(access.memref)];
    (access.isStore ? moved.stored : moved.loaded) += bytes * times;
  }

  /// Lanes that a mask lets through, if that is known.
  std::optional<double> lanesOf(Value mask) {
    auto made = mask ? mask.getDefiningOp<vector::CreateMaskOp>() : nullptr;
    if (!made || made.getOperands().size() != 1) return std::nullopt;
    std::optional<int64_t> lanes = known(made.getOperand(0));
    if (!lanes) return std::nullopt;
    return static_cast<double>(
        std::clamp<int64_t>(*lanes, 0, cast<VectorType>(mask.getType()).getNumElements()));
  }

  /// Whether the values of `iterators` decide how often, or whether, something in the body runs.
  static bool steers(ValueRange iterators, Operation* loop) {
    llvm::SetVector<Operation*> deciding;
    bool found = false;
    auto need = [&](Value value) {
      if (llvm::is_contained(iterators, value)) found = true;
      Operation* op = value.getDefiningOp();
      if (op && loop->isProperAncestor(op)) deciding.insert(op);
    };
    loop->walk([&](Operation* op) {
      if (op == loop) return;
      if (auto inner = dyn_cast<scf::ForOp>(op)) {
        for (Value bound : {inner.getLowerBound(), inner.getUpperBound(), inner.getStep()})
          need(bound);
      } else if (auto inner = dyn_cast<scf::ParallelOp>(op)) {
        for (ValueRange bounds :
             {ValueRange(inner.getLowerBound()), ValueRange(inner.getUpperBound())})
          for (Value bound : bounds) need(bound);
      } else if (auto choice = dyn_cast<scf::IfOp>(op)) {
        need(choice.getCondition());
      } else if (auto mask = dyn_cast<vector::CreateMaskOp>(op)) {
        for (Value bound : mask.getOperands()) need(bound);
      }
    });
    for (size_t i = 0; i < deciding.size() && !found; ++i)
      for (Value operand : deciding[i]->getOperands()) need(operand);
    return found;
  }

  bool countFor(scf::ForOp loop, double times) {
    std::optional<int64_t> low = known(loop.getLowerBound()), high = known(loop.getUpperBound()),
                           step = known(loop.getStep());
    if (!low || !high || !step || *step <= 0) return false;
    int64_t trips = std::max<int64_t>(0, (*high - *low + *step - 1) / *step);
    return countTrips(loop, loop.getInductionVar(), *low, *step, trips, times);
  }

  bool countParallel(scf::ParallelOp loop, double times) {
    // Loops of several dimensions whose iterators steer something are left to the innermost one.
    double trips = 1;
    for (auto [lower, upper, stepValue] :
         llvm::zip(loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
      std::optional<int64_t> low = known(lower), high = known(upper), step = known(stepValue);
      if (!low || !high || !step || *step <= 0) return false;
      int64_t own = std::max<int64_t>(0, (*high - *low + *step - 1) / *step);
      if (loop.getInductionVars().size() == 1)
        return countTrips(loop, loop.getInductionVars()[0], *low, *step, own, times);
      trips *= static_cast<double>(own);
    }
    return !steers(loop.getInductionVars(), loop) && count(*loop.getBody(), times * trips);
  }

  bool countTrips(Operation* loop, Value iterator, int64_t low, int64_t step, int64_t trips,
                  double times) {
    Block& body = loop->getRegion(0).front();
    if (!steers(iterator, loop)) {
      numbers.erase(iterator);
      return trips == 0 || count(body, times * static_cast<double>(trips));
    }
    for (int64_t i = 0; i < trips; ++i) {
      numbers[iterator] = low + i * step;
      if (!count(body, times)) return false;
    }
    numbers.erase(iterator);
    return true;
  }

  bool countIf(scf::IfOp choice, double times) {
    std::optional<int64_t> condition = known(choice.getCondition());
    if (!condition) return false;
    Region& taken = *condition ? choice.getThenRegion() : choice.getElseRegion();
    return taken.empty() || count(taken.front(), times);
  }

  std::optional<int64_t> known(Value value) {
    auto it = numbers.find(value);
    return it == numbers.end() ? std::nullopt : std::optional(it->second);
  }

  /// A number in a constant table.
  void lookUp(Operation& op) {
    auto load = dyn_cast<memref::LoadOp>(op);
    auto table = load ? load.getMemref().getDefiningOp<memref::GetGlobalOp>() : nullptr;
    if (!table) return;
    numbers.erase(load);
    auto global =
        SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(table, table.getNameAttr());
    std::optional<int64_t> at = known(load.getIndices()[0]);
    auto values = dyn_cast_if_present<DenseElementsAttr>(global.getConstantInitValue());
    if (at && values && values.getElementType().isIntOrIndex())
      numbers[load] = values.getValues<APInt>()[*at].getSExtValue();
  }

  /// Whole numbers, by folding with what is known.
  void evaluate(Operation& op) {
    if (op.getNumResults() != 1 || !op.getResult(0).getType().isIntOrIndex()) return;
    SmallVector<Attribute> operands;
    Builder b(op.getContext());
    for (Value operand : op.getOperands()) {
      std::optional<int64_t> number = known(operand);
      operands.push_back(number ? Attribute(b.getIntegerAttr(operand.getType(), *number))
                                : Attribute());
    }
    numbers.erase(op.getResult(0));
    SmallVector<OpFoldResult> folded;
    if (failed(op.fold(operands, folded)) || folded.size() != 1) return;
    auto number = dyn_cast_if_present<IntegerAttr>(dyn_cast<Attribute>(folded[0]));
    if (number) {
      numbers[op.getResult(0)] =
          number.getType().isInteger(1) ? number.getValue().getZExtValue() : number.getInt();
    } else if (auto same = dyn_cast<Value>(folded[0])) {
      if (std::optional<int64_t> value = known(same)) numbers[op.getResult(0)] = *value;
    }
  }

  DenseMap<Value, Moved> operands;
  DenseMap<Value, int64_t> numbers;
};

}  // namespace

std::optional<OwnTraffic> ownTrafficOfText(StringRef text) {
  DialectRegistry registry;
  registerLoweringDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  loadLoweringDialects(context);
  auto module = parseSourceString<ModuleOp>(text, ParserConfig(&context));
  if (!module) return std::nullopt;
  Counter counter;
  for (auto function : module->getOps<func::FuncOp>())
    if (!function.isExternal() && !counter.count(function.getBody().front(), 1))
      return std::nullopt;
  return counter.traffic();
}

FailureOr<std::optional<OwnTraffic>> ownTrafficOf(func::FuncOp kernel, IsaLevel level) {
  FailureOr<std::string> text = printKernel(kernel, level, KernelText::Emitted);
  if (failed(text)) return failure();
  return ownTrafficOfText(*text);
}

}  // namespace weir::bench
