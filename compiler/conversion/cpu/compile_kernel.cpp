#include "compiler/conversion/cpu/compile_kernel.h"

#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/support/phase_times.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

namespace weir {

using namespace mlir;

namespace {

/// A kernel in a context of its own.
struct IsolatedKernel {
  ~IsolatedKernel() {
    Phase phase("release");
    module = {};
    context.reset();
  }
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp kernel;
  std::string errors;
  int64_t sharedBytes = 0, threadBytes = 0;
  SmallVector<bool> exclusive;
  bool usesTiles = false;
};

constexpr const char* kBodySuffix = "__body";

LogicalResult isolate(func::FuncOp kernel, IsolatedKernel& result) {
  Phase phase("isolate");
  DialectRegistry registry;
  kernel->getContext()->getDialectRegistry().appendTo(registry);
  registerLoweringDialects(registry);
  result.context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  loadLoweringDialects(*result.context);
  result.context->getDiagEngine().registerHandler([&result](Diagnostic& diagnostic) {
    llvm::raw_string_ostream stream(result.errors);
    stream << (result.errors.empty() ? "" : "\n") << diagnostic;
  });
  std::string text;
  llvm::raw_string_ostream stream(text);
  kernel->print(stream, OpPrintingFlags().useLocalScope().printGenericOpForm());
  result.module = parseSourceString<ModuleOp>(text, ParserConfig(result.context.get()));
  if (!result.module) return failure();
  result.kernel = *result.module->getOps<func::FuncOp>().begin();
  return success();
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

/// Emits the body function and erases the kernel.
LogicalResult emitBody(IsolatedKernel& isolated, CpuTarget target) {
  Phase phase("emit");
  func::FuncOp kernel = isolated.kernel;
  MLIRContext* context = isolated.context.get();
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
  auto bytes = MemRefType::get({int64_t(1) << 40}, b.getI8Type());
  types.push_back(bytes);
  types.push_back(bytes);

  auto body = func::FuncOp::create(b, (kernel.getName() + kBodySuffix).str(),
                                   FunctionType::get(context, types, {}));
  Block* entry = body.addEntryBlock();
  b.setInsertionPointToStart(entry);
  for (auto [i, value] : llvm::enumerate(arguments)) {
    Value source = kernel.getArgument(i), memref = entry->getArgument(i);
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
    value.memref = entry->getArgument(numArguments + i);
  f.sharedScratch = entry->getArgument(types.size() - 2);
  f.threadScratch = entry->getArgument(types.size() - 1);

  if (failed(expandRegionOps(kernel.getBody()))) return failure();
  if (failed(emitKernel(f))) return failure();
  f.finishThreadScratch();
  func::ReturnOp::create(b);
  isolated.sharedBytes = f.shared.size();
  isolated.threadBytes = f.thread.size();
  isolated.usesTiles = f.usesTiles;
  kernel.erase();
  // Scratch pointers come only if they are used.
  if (isolated.threadBytes == 0) body.eraseArgument(types.size() - 1);
  if (isolated.sharedBytes == 0) body.eraseArgument(types.size() - 2);
  isolated.exclusive.resize(body.getNumArguments(), true);
  return verify(*isolated.module);
}

LogicalResult lower(IsolatedKernel& isolated, CpuTarget target, StringRef name) {
  Phase phase("lower");
  if (failed(lowerToLlvm(*isolated.module, target, isolated.usesTiles))) return failure();
  return addEntryPoint(*isolated.module, name, (name + kBodySuffix).str(), isolated.exclusive);
}

InFlightDiagnostic report(func::FuncOp kernel, const IsolatedKernel& isolated) {
  return kernel.emitError("kernel '")
         << kernel.getName() << "' cannot be compiled for the CPU: "
         << (isolated.errors.empty() ? "internal error" : isolated.errors);
}

}  // namespace

FailureOr<CompiledKernel> compileKernel(func::FuncOp kernel, IsaLevel level) {
  CpuTarget target{level};
  IsolatedKernel isolated;
  if (failed(isolate(kernel, isolated)) || failed(emitBody(isolated, target)) ||
      failed(lower(isolated, target, kernel.getName())))
    return report(kernel, isolated);
  FailureOr<std::vector<char>> object = generateCode(*isolated.module, target);
  if (failed(object)) return report(kernel, isolated);
  CompiledKernel result;
  result.name = kernel.getName().str();
  result.object = std::move(*object);
  result.sharedScratchBytes = isolated.sharedBytes;
  result.threadScratchBytes = isolated.threadBytes;
  return result;
}

FailureOr<std::string> printKernel(func::FuncOp kernel, IsaLevel level, KernelText text) {
  CpuTarget target{level};
  IsolatedKernel isolated;
  if (failed(isolate(kernel, isolated)) || failed(emitBody(isolated, target)))
    return report(kernel, isolated);
  if (text != KernelText::Emitted && failed(lower(isolated, target, kernel.getName())))
    return report(kernel, isolated);
  FailureOr<std::string> result = generateText(*isolated.module, target, text);
  if (failed(result)) return report(kernel, isolated);
  return result;
}

}  // namespace weir
