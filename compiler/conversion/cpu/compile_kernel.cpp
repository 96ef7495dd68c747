#include "compiler/conversion/cpu/compile_kernel.h"

#include <cstring>
#include <optional>

#include "compiler/cache/cache_key.h"
#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/dialect/dispatch_ops.h"
#include "compiler/dialect/upstream_vjp.h"
#include "compiler/support/phase_times.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

namespace weir {

using namespace mlir;

namespace {

/// A kernel in a compiler's own context.
struct IsolatedKernel {
  OwningOpRef<ModuleOp> module;
  func::FuncOp kernel;
  int64_t sharedBytes = 0, threadBytes = 0;
  SmallVector<bool> exclusive;
  bool usesTiles = false;
  /// The body takes the addresses of its buffers as one argument.
  bool takesAddresses = false;
};

constexpr const char* kBodySuffix = "__body";

DialectRegistry registryFor(MLIRContext& context) {
  DialectRegistry registry;
  context.getDialectRegistry().appendTo(registry);
  registerLoweringDialects(registry);
  registerUpstreamVjpModels(registry);
  return registry;
}

/// The kernel by itself, under the name `symbol`. Equal texts are equal code.
std::string textOf(func::FuncOp kernel, StringRef symbol) {
  OwningOpRef<func::FuncOp> copy(kernel.clone());
  copy->setSymName(symbol);
  std::string text;
  llvm::raw_string_ostream stream(text);
  copy->print(stream, OpPrintingFlags().useLocalScope().printGenericOpForm());
  return text;
}

int64_t spanOf(ArrayRef<int64_t> shape, ArrayRef<int64_t> strides) {
  int64_t last = 0;
  for (auto [extent, stride] : llvm::zip(shape, strides)) last += (extent - 1) * stride;
  return last + 1;
}

FailureOr<TensorValue> describe(func::FuncOp kernel, Type type, DictionaryAttr attributes) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape() || tensor.getNumElements() == 0)
    return kernel.emitError("a kernel takes and returns tensors of static, non-empty shape, not ")
           << type;
  if (!tensor.getElementType().isIntOrIndexOrFloat())
    return kernel.emitError("a kernel has no elements of type ") << tensor.getElementType();
  TensorValue value;
  value.element = tensor.getElementType();
  value.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
  value.strides = denseStrides(value.shape);
  if (attributes)
    if (auto strides = attributes.getAs<DenseI64ArrayAttr>("weir.strides")) {
      if (strides.size() != tensor.getRank())
        return kernel.emitError("weir.strides needs one stride per dimension");
      value.strides.assign(strides.asArrayRef().begin(), strides.asArrayRef().end());
    }
  return value;
}

/// Emits the body function. What decisions that took is left on the kernel's ops.
LogicalResult emitBody(IsolatedKernel& isolated, CpuTarget target) {
  Phase phase("emit");
  func::FuncOp kernel = isolated.kernel;
  MLIRContext* context = kernel.getContext();
  OpBuilder moduleBuilder(context);
  moduleBuilder.setInsertionPointToEnd(isolated.module->getBody());
  KernelBuilder b(kernel.getLoc(), moduleBuilder, target);
  auto threadNumber = func::FuncOp::create(b, "omp_get_thread_num",
                                           FunctionType::get(context, {}, {b.getI32Type()}));
  threadNumber.setPrivate();
  KernelFunction f(kernel, b);

  SmallVector<Type> types;
  SmallVector<TensorValue> arguments;
  for (auto [i, type] : llvm::enumerate(kernel.getArgumentTypes())) {
    TensorValue value;
    if (type.isIntOrIndexOrFloat()) {
      value.element = type;
      types.push_back(MemRefType::get({1}, storageType(type)));
    } else {
      FailureOr<TensorValue> tensor = describe(kernel, type, kernel.getArgAttrDict(i));
      if (failed(tensor)) return failure();
      value = *tensor;
      types.push_back(
          MemRefType::get({spanOf(value.shape, value.strides)}, storageType(value.element)));
    }
    arguments.push_back(value);
  }
  size_t numArguments = arguments.size();
  for (auto [i, type] : llvm::enumerate(kernel.getResultTypes())) {
    FailureOr<TensorValue> tensor = describe(kernel, type, kernel.getResultAttrDict(i));
    if (failed(tensor)) return failure();
    types.push_back(
        MemRefType::get({spanOf(tensor->shape, tensor->strides)}, storageType(tensor->element)));
    tensor->streamed = kernel.getResultAttr(i, kStreamedAttr) != nullptr;
    f.results.push_back(*tensor);
  }
  isolated.exclusive.assign(types.size(), true);
  for (unsigned i = 0; i < f.results.size(); ++i)
    if (auto tied = kernel.getResultAttrOfType<IntegerAttr>(i, "weir.tied")) {
      if (tied.getInt() < 0 || tied.getInt() >= static_cast<int64_t>(numArguments))
        return kernel.emitError("weir.tied names argument ")
               << tied.getInt() << ", which does not exist";
      isolated.exclusive[numArguments + i] = isolated.exclusive[tied.getInt()] = false;
    }
  // Read-only arguments may share memory with each other; nothing is written through them.
  auto bytes = MemRefType::get({kEverything}, b.getI8Type());
  types.push_back(bytes);
  types.push_back(bytes);
  size_t numBuffers = types.size();
  isolated.takesAddresses = isSweep(kernel);
  if (isolated.takesAddresses) {
    types.assign(1, LLVM::LLVMPointerType::get(context));
    isolated.exclusive.clear();
  }

  auto body = func::FuncOp::create(b, (kernel.getName() + kBodySuffix).str(),
                                   FunctionType::get(context, types, {}));
  Block* entry = body.addEntryBlock();
  b.setInsertionPointToStart(entry);
  if (isolated.takesAddresses) f.addresses = entry->getArgument(0);
  auto memrefOf = [&](size_t number, bool isTensor, Type element) -> Value {
    if (!isolated.takesAddresses) return entry->getArgument(number);
    return isTensor ? Value() : f.buffer(b.constant(number), element);
  };
  for (auto [i, value] : llvm::enumerate(arguments)) {
    Value source = kernel.getArgument(i);
    Value memref = memrefOf(i, isa<RankedTensorType>(source.getType()), value.element);
    if (isa<RankedTensorType>(source.getType())) {
      value.memref = memref;
      value.root = source;
      f.tensors[source] = value;
      continue;
    }
    Access scalar;
    scalar.memref = memref;
    scalar.element = value.element;
    f.scalars.map(source, loadScalar(b, scalar, b.constant(0)));
  }
  for (auto [i, value] : llvm::enumerate(f.results))
    value.memref = memrefOf(numArguments + i, /*isTensor=*/true, value.element);
  f.sharedScratch = memrefOf(numBuffers - 2, /*isTensor=*/false, b.getI8Type());
  f.threadScratch = memrefOf(numBuffers - 1, /*isTensor=*/false, b.getI8Type());

  if (failed(expandRegionOps(kernel.getBody())) || failed(layOutGatheredTables(f)))
    return failure();
  if (failed(emitKernel(f))) return failure();
  f.finishThreadScratch();
  b.fenceStreamedStores();
  func::ReturnOp::create(b);
  isolated.sharedBytes = f.shared.size();
  isolated.threadBytes = f.thread.size();
  isolated.usesTiles = f.usesTiles;
  if (isolated.takesAddresses) return success();
  // Scratch pointers come only if they are used.
  if (isolated.threadBytes == 0) (void)body.eraseArgument(types.size() - 1);
  if (isolated.sharedBytes == 0) (void)body.eraseArgument(types.size() - 2);
  isolated.exclusive.resize(body.getNumArguments(), true);
  return success();
}

/// The body function takes the kernel's place.
LogicalResult dropKernel(IsolatedKernel& isolated) {
  isolated.kernel.erase();
  return verify(*isolated.module);
}

/// In the cache: a CompiledKernel without its names.
std::string encode(const CompiledKernel& kernel) {
  std::string bytes(2 * sizeof(int64_t), 0);
  std::memcpy(bytes.data(), &kernel.sharedScratchBytes, sizeof(int64_t));
  std::memcpy(bytes.data() + sizeof(int64_t), &kernel.threadScratchBytes, sizeof(int64_t));
  return bytes.append(kernel.object.begin(), kernel.object.end());
}

bool decode(StringRef bytes, CompiledKernel& kernel) {
  if (bytes.size() < 2 * sizeof(int64_t)) return false;
  std::memcpy(&kernel.sharedScratchBytes, bytes.data(), sizeof(int64_t));
  std::memcpy(&kernel.threadScratchBytes, bytes.data() + sizeof(int64_t), sizeof(int64_t));
  kernel.object.assign(bytes.begin() + 2 * sizeof(int64_t), bytes.end());
  return true;
}

}  // namespace

/// A context of its own, used for one kernel after the other.
struct KernelCompiler::Impl {
  Impl(MLIRContext& like, IsaLevel level)
      : target{level},
        context(registryFor(like), MLIRContext::Threading::DISABLED),
        handler(&context, [this](Diagnostic& diagnostic) {
          llvm::raw_string_ostream stream(errors);
          stream << (errors.empty() ? "" : "\n") << diagnostic;
        }) {
    loadLoweringDialects(context);
  }

  LogicalResult isolate(StringRef text, IsolatedKernel& result) {
    Phase phase("isolate");
    result.module = parseSourceString<ModuleOp>(text, ParserConfig(&context));
    if (!result.module) return failure();
    result.kernel = *result.module->getOps<func::FuncOp>().begin();
    return success();
  }

  LogicalResult lower(IsolatedKernel& isolated, StringRef symbol) {
    Phase phase("lower");
    if (!lowering) lowering.emplace(context, target);
    if (failed(lowering->run(*isolated.module, isolated.usesTiles))) return failure();
    return addEntryPoint(*isolated.module, symbol, (symbol + kBodySuffix).str(), isolated.exclusive,
                         isolated.takesAddresses);
  }

  LogicalResult compile(StringRef text, CompiledKernel& result) {
    IsolatedKernel isolated;
    if (failed(isolate(text, isolated)) || failed(emitBody(isolated, target)) ||
        failed(dropKernel(isolated)) || failed(lower(isolated, result.symbol)))
      return failure();
    FailureOr<std::vector<char>> object = generateCode(*isolated.module, target);
    if (failed(object)) return failure();
    result.object = std::move(*object);
    result.sharedScratchBytes = isolated.sharedBytes;
    result.threadScratchBytes = isolated.threadBytes;
    return success();
  }

  InFlightDiagnostic report(func::FuncOp kernel) {
    std::string reason = std::move(errors);
    errors.clear();
    return kernel.emitError("kernel '")
           << kernel.getName()
           << "' cannot be compiled for the CPU: " << (reason.empty() ? "internal error" : reason);
  }

  CpuTarget target;
  MLIRContext context;
  /// Of the kernel at hand.
  std::string errors;
  ScopedDiagnosticHandler handler;
  std::optional<Lowering> lowering;
};

KernelCompiler::KernelCompiler(MLIRContext& context, IsaLevel level, Cache* cache)
    : context(context), level(level), cache(cache) {}
KernelCompiler::~KernelCompiler() = default;

FailureOr<CompiledKernel> KernelCompiler::compile(func::FuncOp kernel) {
  CpuTarget target{level};
  // The numbers at the end of its name say where in the program it is, not what it does.
  StringRef stem = kernel.getName().rtrim("0123456789_");
  std::string hash = ContentHash()
                         .add(target.name())
                         .add(target.cpu())
                         .add(target.features())
                         .add(textOf(kernel, stem))
                         .str();
  std::string key = CacheKey("kernel").add(hash).str();
  CompiledKernel result;
  result.name = kernel.getName().str();
  result.symbol = (stem + "_" + hash.substr(0, 24)).str();
  if (cache) {
    std::optional<std::string> known = cache->find(key);
    if (known && decode(*known, result)) {
      result.isFromCache = true;
      return result;
    }
  }
  if (!impl) impl = std::make_unique<Impl>(context, level);
  if (failed(impl->compile(textOf(kernel, result.symbol), result))) return impl->report(kernel);
  if (cache) cache->insert(key, encode(result));
  return result;
}

FailureOr<CompiledKernel> compileKernel(func::FuncOp kernel, IsaLevel level) {
  return KernelCompiler(*kernel.getContext(), level).compile(kernel);
}

FailureOr<std::string> printKernel(func::FuncOp kernel, IsaLevel level, KernelText text) {
  KernelCompiler::Impl impl(*kernel.getContext(), level);
  IsolatedKernel isolated;
  StringRef name = kernel.getName();
  if (failed(impl.isolate(textOf(kernel, name), isolated)) ||
      failed(emitBody(isolated, impl.target)))
    return impl.report(kernel);
  if (text == KernelText::Tiled) {
    std::string tiled;
    llvm::raw_string_ostream stream(tiled);
    isolated.kernel->print(stream, OpPrintingFlags().useLocalScope());
    return tiled;
  }
  if (failed(dropKernel(isolated))) return impl.report(kernel);
  if (text != KernelText::Emitted && failed(impl.lower(isolated, name))) return impl.report(kernel);
  FailureOr<std::string> result = generateText(*isolated.module, impl.target, text);
  if (failed(result)) return impl.report(kernel);
  return result;
}

}  // namespace weir
