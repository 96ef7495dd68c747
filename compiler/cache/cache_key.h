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

/// A hash of texts, the same for every build of the compiler.
class ContentHash {
 public:
  /// Order matters, and where one piece ends and the next begins.
  ContentHash& add(llvm::StringRef piece);
  ContentHash& add(int64_t number);

  /// 64 hexadecimal digits.
  std::string str();

 private:
  llvm::BLAKE3 hasher;
};

/// A hash that the compiler's identity is part of.
class CacheKey : public ContentHash {
 public:
  /// `kind` keeps keys of different things apart.
  explicit CacheKey(llvm::StringRef kind);
};

}  // namespace weir

#endif  // WEIR_COMPILER_CACHE_CACHE_KEY_H_
