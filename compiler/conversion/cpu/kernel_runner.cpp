#include "compiler/conversion/cpu/kernel_runner.h"

#include <dlfcn.h>
#include <omp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "compiler/conversion/cpu/link_shared_object.h"
#include "compiler/dialect/dialect.h"
#include "mlir/Parser/Parser.h"

namespace weir {

using namespace mlir;

namespace {

struct Parsed {
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp kernel;
};

Parsed parse(const std::string& text) {
  DialectRegistry registry;
  registerLoweringDialects(registry);
  registry.insert<WeirDialect>();
  Parsed parsed;
  parsed.context = std::make_unique<MLIRContext>(registry);
  parsed.module = parseSourceString<ModuleOp>(text, ParserConfig(parsed.context.get()));
  if (parsed.module) parsed.kernel = *parsed.module->getOps<func::FuncOp>().begin();
  return parsed;
}

char* aligned(std::vector<char>& bytes) {
  return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64);
}

}  // namespace

IsaLevel hostLevel() {
  if (__builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, 0x1023, 18) == 0)
    return IsaLevel::Amx;
  return __builtin_cpu_supports("avx512bw") ? IsaLevel::Avx512 : IsaLevel::Avx2;
}

namespace {

std::string printed(const std::string& text, IsaLevel level, KernelText kind) {
  Parsed parsed = parse(text);
  if (!parsed.module) return "";
  FailureOr<std::string> result = printKernel(parsed.kernel, level, kind);
  return succeeded(result) ? *result : "";
}

}  // namespace

std::string assemblyOf(const std::string& text, IsaLevel level) {
  return printed(text, level, KernelText::Assembly);
}

std::string tiledTextOf(const std::string& text, IsaLevel level) {
  return printed(text, level, KernelText::Tiled);
}

std::unique_ptr<LoadedKernel> LoadedKernel::create(const std::string& text, IsaLevel level) {
  Parsed parsed = parse(text);
  if (!parsed.module) return nullptr;
  if (const char* show = std::getenv("WEIR_SHOW_KERNEL")) {
    KernelText kind = show[0] == 'a'   ? KernelText::Assembly
                      : show[0] == 'l' ? KernelText::LlvmIr
                                       : KernelText::Emitted;
    FailureOr<std::string> result = printKernel(parsed.kernel, level, kind);
    if (succeeded(result)) llvm::errs() << *result;
  }
  FailureOr<CompiledKernel> compiled = compileKernel(parsed.kernel, level);
  if (failed(compiled)) return nullptr;
  FailureOr<std::string> elf = linkSharedObject({*compiled}, parsed.kernel.getLoc());
  if (failed(elf)) return nullptr;
  auto result = std::make_unique<LoadedKernel>();
  result->kernel = *compiled;
  int file = memfd_create("kernel", 0);
  if (file < 0 || write(file, elf->data(), elf->size()) != static_cast<ssize_t>(elf->size()))
    return nullptr;
  result->library =
      dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  // The file stays open: the loader takes a path it has seen for the library it has loaded.
  result->file = file;
  if (!result->library) {
    llvm::errs() << dlerror() << "\n";
    return nullptr;
  }
  result->entry =
      reinterpret_cast<void (*)(void* const*)>(dlsym(result->library, compiled->name.c_str()));
  if (!result->entry) return nullptr;
  return result;
}

LoadedKernel::~LoadedKernel() {
  if (library) dlclose(library);
  if (file >= 0) close(file);
}

void LoadedKernel::run(std::vector<void*> buffers, int threads) {
  omp_set_num_threads(threads);
  shared.assign(kernel.sharedScratchBytes + 64, char(0xff));
  thread.assign(kernel.threadScratchBytes * threads + 64, char(0xff));
  if (kernel.sharedScratchBytes) buffers.push_back(aligned(shared));
  if (kernel.threadScratchBytes) buffers.push_back(aligned(thread));
  entry(buffers.data());
}

void LoadedKernel::runAgain(const std::vector<void*>& buffers) {
  std::vector<void*> all = buffers;
  if (kernel.sharedScratchBytes) all.push_back(aligned(shared));
  if (kernel.threadScratchBytes) all.push_back(aligned(thread));
  entry(all.data());
}

}  // namespace weir
