// The name of something that was compiled: a hash of all that it follows from.
//
//   std::string key = CacheKey("kernel").add(text).add(target.name()).str();

#ifndef WEIR_COMPILER_CACHE_CACHE_KEY_H_
#define WEIR_COMPILER_CACHE_CACHE_KEY_H_

#include <string>

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/BLAKE3.h"

namespace weir {

/// The compiler's own identity: the build ids of the program and of each library it has loaded,
/// MLIR and LLVM among them; of those without a build id, file, size and time of change.
const std::string& compilerIdentity();

class CacheKey {
 public:
  /// `kind` keeps keys of different things apart. The compiler's identity is part of every key.
  explicit CacheKey(llvm::StringRef kind);

  /// Order matters, and where one piece ends and the next begins.
  CacheKey& add(llvm::StringRef piece);
  CacheKey& add(int64_t number);

  /// 64 hexadecimal digits.
  std::string str();

 private:
  llvm::BLAKE3 hasher;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CACHE_CACHE_KEY_H_
