// Bytes by key in a folder that outlives the process, such as code that was compiled before.
//
//   std::unique_ptr<Cache> cache = Cache::open(*cacheDirectory(""), Cache::kDefaultBytes);
//   if (std::optional<std::string> known = cache->find(key)) return *known;
//   ...
//   cache->insert(key, bytes);
//
// A cache can only make things faster: what goes wrong with its files is at most a warning. Several
// processes may use a folder at once, and several threads a Cache. An entry is written whole or not
// at all, and one whose checksum is wrong is dropped.

#ifndef WEIR_COMPILER_CACHE_CACHE_H_
#define WEIR_COMPILER_CACHE_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "llvm/ADT/StringRef.h"

namespace weir {

/// The folder that `wanted` names, or else the environment's WEIR_CACHE, or else
/// $XDG_CACHE_HOME/weir or ~/.cache/weir. Nothing if that is "off", or if there is no home either.
std::optional<std::string> cacheDirectory(llvm::StringRef wanted);

class Cache {
 public:
  static constexpr int64_t kDefaultBytes = int64_t{2} << 30;
  using Warn = std::function<void(const std::string&)>;

  /// The cache in a folder, which is made when the first entry is. Of its entries the ones that
  /// weren't used for the longest time are removed as soon as all together have more than
  /// `maxBytes`. Warnings go to `warn`, by default to standard error; one that nothing can be
  /// written comes once.
  static std::unique_ptr<Cache> open(std::string directory, int64_t maxBytes, Warn warn = {});

  /// The bytes that were last inserted under the key.
  std::optional<std::string> find(llvm::StringRef key);

  /// Keys are file names: letters and digits, at least three.
  void insert(llvm::StringRef key, llvm::StringRef bytes);

  const std::string& directory() const { return directory_; }

 private:
  Cache(std::string directory, int64_t maxBytes, Warn warn)
      : directory_(std::move(directory)), maxBytes_(maxBytes), warn_(std::move(warn)) {}

  std::string pathOf(llvm::StringRef key) const;
  bool makeRoomFor(int64_t bytes);
  int64_t evict(int64_t target);
  void warnOnce(const std::string& what);

  std::string directory_;
  int64_t maxBytes_;
  Warn warn_;
  std::mutex mutex_;  // of the two below, and of the folder's size among the threads of a process
  bool warned_ = false;
  bool unwritable_ = false;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CACHE_CACHE_H_
