#include "compiler/conversion/cpu/lowering_pipeline.h"

#include <mutex>

#include "compiler/conversion/cpu/math_expansion.h"
#include "compiler/support/phase_times.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/AMX/Transforms.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"

namespace weir {

using namespace mlir;

void registerLoweringDialects(DialectRegistry& registry) {
  registry
      .insert<affine::AffineDialect, amx::AMXDialect, arith::ArithDialect, cf::ControlFlowDialect,
              func::FuncDialect, index::IndexDialect, LLVM::LLVMDialect, linalg::LinalgDialect,
              math::MathDialect, memref::MemRefDialect, omp::OpenMPDialect, scf::SCFDialect,
              tensor::TensorDialect, ub::UBDialect, vector::VectorDialect>();
  registerAllToLLVMIRTranslations(registry);
  registerConvertAMXToLLVMInterface(registry);
  arith::registerConvertArithToLLVMInterface(registry);
  cf::registerConvertControlFlowToLLVMInterface(registry);
  registerConvertMemRefToLLVMInterface(registry);
}

void loadLoweringDialects(MLIRContext& context) {
  context.loadDialect<amx::AMXDialect, arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect,
                      linalg::LinalgDialect, math::MathDialect, memref::MemRefDialect,
                      scf::SCFDialect, tensor::TensorDialect, vector::VectorDialect>();
}

namespace {

void addLowering(PassManager& pm, CpuTarget target, bool usesTiles) {
  pm.enableVerifier(false);
  pm.addPass(createExpandVectorMathPass(target));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createConvertSCFToOpenMPPass());
  // Without this pass the alloca scopes that the previous one wraps around loops cannot be lowered.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createSCFToControlFlowPass());
  // This order: libm first would turn vector math into scalar calls.
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(createConvertVectorToLLVMPass());
  if (usesTiles) {
    // Tiles that loops carry need the conversions of amx and cf in one set.
    ConvertToLLVMPassOptions options;
    options.filterDialects = {"amx", "memref", "cf", "arith"};
    pm.addPass(createConvertToLLVMPass(options));
  }
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  ConvertFuncToLLVMPassOptions options;
  options.useBarePtrCallConv = true;
  pm.addPass(createConvertFuncToLLVMPass(options));
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createConvertOpenMPToLLVMPass());  // after everything inside of its regions
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (PhaseTimes::enabled()) pm.addInstrumentation(PhaseTimes::instrumentation());
}

}  // namespace

Lowering::Lowering(MLIRContext& context, CpuTarget target) : plain(&context), withTiles(&context) {
  addLowering(plain, target, /*usesTiles=*/false);
  addLowering(withTiles, target, /*usesTiles=*/true);
}

LogicalResult Lowering::run(ModuleOp module, bool usesTiles) {
  if (!usesTiles) return plain.run(module);
  if (failed(withTiles.run(module))) return failure();
  // The amx dialect has no word for TILELOADDT1.
  module.walk([](LLVM::CallIntrinsicOp call) {
    if (call->hasAttr(kPastL1Attr)) call.setIntrin("llvm.x86.tileloaddt164.internal");
  });
  return success();
}

LogicalResult addEntryPoint(ModuleOp module, StringRef name, StringRef inner,
                            ArrayRef<bool> exclusive, bool takesAddresses) {
  auto callee = module.lookupSymbol<LLVM::LLVMFuncOp>(inner);
  if (!callee) return module.emitError("internal error: kernel function is missing after lowering");
  MLIRContext* context = module.getContext();
  ImplicitLocOpBuilder b(callee.getLoc(), context);
  callee.setLinkage(LLVM::Linkage::Internal);
  for (auto [i, alone] : llvm::enumerate(exclusive))
    if (alone) callee.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(), b.getUnitAttr());
  b.setInsertionPointToEnd(module.getBody());
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {pointer});
  auto entry = LLVM::LLVMFuncOp::create(b, name, type);
  entry.setVisibility_(LLVM::Visibility::Hidden);  // objects are linked under other names
  b.setInsertionPointToStart(entry.addEntryBlock(b));
  SmallVector<Value> buffers;
  if (takesAddresses) buffers.push_back(entry.getArgument(0));
  for (unsigned i = 0; !takesAddresses && i < callee.getNumArguments(); ++i) {
    Value slot = LLVM::GEPOp::create(b, pointer, pointer, entry.getArgument(0),
                                     ArrayRef<LLVM::GEPArg>{int32_t(i)});
    buffers.push_back(LLVM::LoadOp::create(b, pointer, slot));
  }
  LLVM::CallOp::create(b, callee, buffers);
  LLVM::ReturnOp::create(b, ValueRange{});
  return success();
}

namespace {

std::unique_ptr<llvm::TargetMachine> createTargetMachine(CpuTarget target) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string error;
  const llvm::Target* x86 = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!x86) return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast;  // a * b + c in one rounding
  return std::unique_ptr<llvm::TargetMachine>(
      x86->createTargetMachine(triple, target.cpu(), target.features(), options, llvm::Reloc::PIC_,
                               std::nullopt, llvm::CodeGenOptLevel::Default));
}

std::unique_ptr<llvm::Module> translate(ModuleOp module, CpuTarget target,
                                        llvm::TargetMachine& machine, llvm::LLVMContext& context) {
  Phase phase("translate to LLVM IR");
  std::unique_ptr<llvm::Module> result = translateModuleToLLVMIR(module, context, "kernel");
  if (!result) return nullptr;
  result->setTargetTriple(machine.getTargetTriple());
  result->setDataLayout(machine.createDataLayout());
  for (llvm::Function& function : *result) {
    if (function.isDeclaration()) continue;
    function.addFnAttr("target-cpu", target.cpu());
    if (!target.features().empty()) function.addFnAttr("target-features", target.features());
    if (target.level != IsaLevel::Avx2) function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  return result;
}

FailureOr<llvm::SmallVector<char, 0>> emitFile(ModuleOp module, CpuTarget target,
                                               llvm::CodeGenFileType type) {
  std::unique_ptr<llvm::TargetMachine> machine = createTargetMachine(target);
  if (!machine) return module.emitError("LLVM has no x86-64 code generator");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translate(module, target, *machine, context);
  if (!code) return module.emitError("cannot be translated to LLVM IR");
  Phase phase("generate code");
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager pm;
  if (machine->addPassesToEmitFile(pm, stream, nullptr, type))
    return module.emitError("LLVM cannot emit this file");
  pm.run(*code);
  return bytes;
}

}  // namespace

FailureOr<std::vector<char>> generateCode(ModuleOp module, CpuTarget target) {
  FailureOr<llvm::SmallVector<char, 0>> bytes =
      emitFile(module, target, llvm::CodeGenFileType::ObjectFile);
  if (failed(bytes)) return failure();
  return std::vector<char>(bytes->begin(), bytes->end());
}

FailureOr<std::string> generateText(ModuleOp module, CpuTarget target, KernelText level) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (level == KernelText::Emitted || level == KernelText::Llvm) {
    module.print(stream);
    return text;
  }
  if (level == KernelText::Assembly) {
    FailureOr<llvm::SmallVector<char, 0>> bytes =
        emitFile(module, target, llvm::CodeGenFileType::AssemblyFile);
    if (failed(bytes)) return failure();
    return std::string(bytes->begin(), bytes->end());
  }
  std::unique_ptr<llvm::TargetMachine> machine = createTargetMachine(target);
  if (!machine) return module.emitError("LLVM has no x86-64 code generator");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translate(module, target, *machine, context);
  if (!code) return module.emitError("cannot be translated to LLVM IR");
  code->print(stream, nullptr);
  return text;
}

}  // namespace weir
