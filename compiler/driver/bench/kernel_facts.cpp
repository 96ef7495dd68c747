#include "compiler/driver/bench/kernel_facts.h"

#include <algorithm>

#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/cost.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/dialect/ring_ops.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/plan_kernels.h"

namespace weir::bench {

using namespace mlir;

std::string placeOf(Location location) {
  std::string place;
  location->walk([&](Location part) {
    auto name = dyn_cast<NameLoc>(part);
    if (!name) return WalkResult::advance();
    place = name.getName().str();
    return WalkResult::interrupt();
  });
  return place;
}

namespace {

constexpr char kPartAttr[] = "weir.part";

func::FuncOp findEntry(ModuleOp module, StringRef name) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function.getSymName() == name && function->hasAttr(host::kEntryAttr)) return function;
  return nullptr;
}

/// How often an op inside of a kernel runs: what is in the region of a recurrence, once a token.
double timesRun(Operation* op) {
  double times = 1;
  for (auto around = op->getParentOfType<RecurrenceOp>(); around;
       around = around->getParentOfType<RecurrenceOp>())
    times *= static_cast<double>(
        cast<RankedTensorType>(around.getInputs().front().getType()).getDimSize(1));
  return times;
}

double sizeOf(Value value, int64_t dim) {
  return static_cast<double>(cast<RankedTensorType>(value.getType()).getDimSize(dim));
}

/// Products of attention that is a kernel, by q (queries, of s features), v (of e) and the keys
/// that a query sees on average: two products of a pair forward, and backward four more than the
/// scores, which are computed again. Across chunks there are two products with the state forward,
/// four backward.
double attentionFlops(Operation* op) {
  auto count = [](Value q, Value v, double seen, bool isBackward, bool hasState) {
    double tokens = sizeOf(q, 0) * sizeOf(q, 1), s = sizeOf(q, 2), e = sizeOf(v, 2);
    double pair = isBackward ? 6 * s + 4 * e : 2 * s + 2 * e;
    double state = hasState ? (isBackward ? 8 : 4) * s * e : 0;
    return tokens * (seen * pair + state);
  };
  if (auto mixed = dyn_cast<MixedChunksOp>(op))
    return count(mixed.getQuadQ(), mixed.getV(),
                 (static_cast<double>(mixed.getChunkSize()) + 1) / 2, false, true);
  if (auto mixed = dyn_cast<MixedChunksVjpOp>(op))
    return count(mixed.getQuadQ(), mixed.getV(),
                 (static_cast<double>(mixed.getChunkSize()) + 1) / 2, true, true);
  auto vjp = dyn_cast<AttentionVjpOp>(op);
  if (!vjp) return 0;
  double seen = sizeOf(vjp.getK(), 1);
  if (vjp.getWindow() == "causal") seen = (seen + 1) / 2;
  if (vjp.getWindowSize()) seen = static_cast<double>(*vjp.getWindowSize());
  return count(vjp.getQ(), vjp.getV(), seen, true, false);
}

double productFlops(Operation* op) {
  if (double flops = attentionFlops(op)) return flops;
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return isContraction(generic) ? 2.0 * static_cast<double>(numPoints(generic)) : 0;
  // The ops in a recurrence are counted one by one.
  auto known = dyn_cast<CostOpInterface>(op);
  if (!known || isa<RecurrenceOp>(op) || op->getNumOperands() == 0) return 0;
  auto type = dyn_cast<RankedTensorType>(op->getOperand(0).getType());
  if (!type || type.getRank() < 2) return 0;
  return known.cost().products.evaluate(static_cast<double>(type.getDimSize(0)),
                                        static_cast<double>(type.getDimSize(1)));
}

/// Bytes of `argument` that the kernel reads.
double bytesRead(Value argument) {
  auto whole = static_cast<double>(byteSize(argument.getType()));
  double bytes = 0;
  for (OpOperand& use : argument.getUses()) {
    Operation* user = use.getOwner();
    // Of a ring, rows are written.
    auto write = dyn_cast<WriteRingOp>(user);
    if (write && use.get() == write.getRing()) continue;
    auto gather = dyn_cast<GatherRowsOp>(user);
    bool isTable = gather && use.get() == gather.getTable();
    if (!isTable && !isa<tensor::ExtractSliceOp>(user)) return whole;
    bytes += static_cast<double>(byteSize(user->getResult(0).getType()));
  }
  return std::min(bytes, whole);
}

/// Bytes of result `number` that the kernel writes.
double bytesWritten(func::FuncOp kernel, unsigned number) {
  Value result = kernel.getBody().front().getTerminator()->getOperand(number);
  if (auto write = result.getDefiningOp<WriteRingOp>()) result = write.getRows();
  return static_cast<double>(byteSize(result.getType()));
}

/// Why what `use` reads isn't made by its reader.
std::string reasonApart(const LaunchFacts& producer, const LaunchFacts& reader, OpOperand& use) {
  if (producer.part != reader.part) {
    if (reader.part == "backward") return "kept for backward";
    if (reader.part == "optimizer" && producer.part == "backward")
      return "a gradient: the optimizer runs when all are there";
    return "made by " + producer.part + ", read by " + reader.part;
  }
  auto apart = use.getOwner()->getAttrOfType<ArrayAttr>(host::kApartAttr);
  if (!apart || use.getOperandNumber() >= apart.size()) return "one of them is a copy";
  StringRef why = cast<StringAttr>(apart[use.getOperandNumber()]).getValue();
  return why.empty() ? "the border of a function lies between them" : why.str();
}

}  // namespace

void markParts(ModuleOp module) {
  Builder b(module.getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    StringRef name = function.getSymName();
    name.consume_front("train_");
    function.walk([&](LaunchOp launch) { launch->setAttr(kPartAttr, b.getStringAttr(name)); });
  }
}

KernelFacts factsOf(func::FuncOp kernel) {
  KernelFacts facts;
  kernel.walk([&](Operation* op) { facts.flops += productFlops(op) * timesRun(op); });
  for (Value argument : kernel.getArguments()) facts.readBytes.push_back(bytesRead(argument));
  for (unsigned i = 0; i < kernel.getNumResults(); ++i)
    facts.writtenBytes += bytesWritten(kernel, i);
  return facts;
}

std::vector<LaunchFacts> launchesOf(ModuleOp module, StringRef entry) {
  std::vector<LaunchFacts> launches;
  SymbolTable symbols(module);
  llvm::StringMap<KernelFacts> kernels;
  func::FuncOp function = findEntry(module, entry);
  if (!function) return launches;
  for (auto op : function.getOps<LaunchOp>()) {
    auto [known, isNew] = kernels.try_emplace(op.getKernel());
    if (isNew) known->second = factsOf(symbols.lookup<func::FuncOp>(op.getKernel()));
    const KernelFacts& kernel = known->second;
    LaunchFacts launch;
    launch.op = op;
    launch.kernel = op.getKernel().str();
    auto part = op->getAttrOfType<StringAttr>(kPartAttr);
    launch.part = part ? part.str() : entry.str();
    launch.place = placeOf(op.getLoc());
    launch.flops = kernel.flops;
    llvm::MapVector<Value, double> read;
    for (auto [operand, bytes] : llvm::zip(op.getOperands(), kernel.readBytes))
      read[operand] = std::max(read[operand], bytes);
    for (auto& [operand, bytes] : read) launch.readBytes += bytes;
    launch.writtenBytes = kernel.writtenBytes;
    launches.push_back(std::move(launch));
  }
  return launches;
}

std::vector<Intermediate> intermediatesOf(const std::vector<LaunchFacts>& launches) {
  llvm::DenseMap<Operation*, size_t> places;
  for (size_t i = 0; i < launches.size(); ++i) places[launches[i].op] = i;
  std::vector<Intermediate> found;
  for (size_t i = 0; i < launches.size(); ++i) {
    for (OpResult result : LaunchOp(launches[i].op)->getResults()) {
      llvm::SetVector<size_t> readers;
      SmallVector<Value> shown = {result};
      for (size_t next = 0; next < shown.size(); ++next) {
        for (OpOperand& use : shown[next].getUses()) {
          Operation* user = use.getOwner();
          if (isView(user)) llvm::append_range(shown, user->getResults());
          auto reader = places.find(user);
          if (reader == places.end() || !readers.insert(reader->second)) continue;
          auto bytes = static_cast<double>(byteSize(use.get().getType()));
          found.push_back(
              {i, reader->second, bytes, reasonApart(launches[i], launches[reader->second], use)});
        }
      }
    }
  }
  return found;
}

llvm::StringMap<double> variableBytes(ModuleOp module, StringRef entry) {
  llvm::StringMap<double> bytes;
  func::FuncOp function = findEntry(module, entry);
  if (!function) return bytes;
  SymbolTable symbols(module);
  for (BlockArgument argument : function.getArguments()) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), host::kVariableAttr);
    if (!name) continue;
    double& most = bytes[name.getValue()];
    // The variable, and itself after rows of it were written.
    SmallVector<Value> values{argument};
    for (size_t next = 0; next < values.size(); ++next) {
      for (OpOperand& use : values[next].getUses()) {
        auto launch = dyn_cast<LaunchOp>(use.getOwner());
        double read = static_cast<double>(byteSize(argument.getType()));
        if (launch) {
          auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
          read = bytesRead(kernel.getArgument(use.getOperandNumber()));
          for (OpResult result : launch->getResults())
            if (updatedArgument(kernel, result.getResultNumber()) == use.getOperandNumber())
              values.push_back(result);
        } else if (use.getOwner()->hasTrait<OpTrait::IsTerminator>() && next > 0) {
          continue;
        }
        most = std::max(most, read);
      }
    }
  }
  return bytes;
}

}  // namespace weir::bench
