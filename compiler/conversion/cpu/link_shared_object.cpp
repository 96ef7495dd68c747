#include "compiler/conversion/cpu/link_shared_object.h"

#include <mutex>

#include "lld/Common/Driver.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "mlir/IR/Diagnostics.h"

LLD_HAS_DRIVER(elf)

namespace weir {

using namespace mlir;

FailureOr<std::string> linkSharedObject(ArrayRef<CompiledKernel> kernels, Location loc) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  SmallString<128> directory;
  if (std::error_code error = llvm::sys::fs::createUniqueDirectory("weir-link", directory))
    return emitError(loc) << "cannot make a directory for temporary files: " << error.message();
  llvm::scope_exit cleanUp([&] {
    std::error_code ignored = llvm::sys::fs::remove_directories(directory);
    static_cast<void>(ignored);
  });
  auto path = [&](const Twine& name) {
    SmallString<128> p = directory;
    llvm::sys::path::append(p, name);
    return std::string(p);
  };
  std::vector<std::string> arguments = {"ld.lld", "-shared", "--build-id=none", "-z",
                                        "notext", "-o",      path("kernels.so")};
  llvm::StringSet<> symbols;
  for (auto [i, kernel] : llvm::enumerate(kernels)) {
    arguments.push_back("--defsym=" + kernel.name + "=" + kernel.symbol);
    if (!symbols.insert(kernel.symbol).second) continue;  // the same code under another name
    std::string file = path("k" + Twine(i) + ".o");
    std::error_code error;
    llvm::raw_fd_ostream stream(file, error);
    if (!error) stream.write(kernel.object.data(), kernel.object.size());
    stream.close();
    if (error || stream.has_error()) return emitError(loc) << "cannot write " << file;
    arguments.push_back(file);
  }
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::string output;
  llvm::raw_string_ostream stream(output);
  lld::Result result = lld::lldMain(argv, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0) return emitError(loc) << "linking failed: " << output;
  if (!result.canRunAgain) return emitError(loc) << "the linker crashed: " << output;
  auto buffer = llvm::MemoryBuffer::getFile(arguments[6]);
  if (!buffer)
    return emitError(loc) << "cannot read the linked object: " << buffer.getError().message();
  return (*buffer)->getBuffer().str();
}

}  // namespace weir
