#include "compiler/cache/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

namespace weir {

using llvm::StringRef;
namespace fs = llvm::sys::fs;

namespace {

constexpr char kMagic[8] = {'w', 'e', 'i', 'r', 'c', 'h', '0', '1'};
/// Where entries lie below the folder; others may put other things there.
constexpr StringRef kEntries = "entries";
/// Written first and renamed when they are whole; what a killed process left is removed in time.
constexpr StringRef kTemporary = "tmp-";
constexpr int64_t kTemporarySeconds = 3600;

/// What an entry's file begins with.
struct Header {
  char magic[8];
  uint64_t bytes;
  uint8_t checksum[32];  // of the key and the bytes
};

Header headerOf(StringRef key, StringRef bytes) {
  Header header;
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.bytes = bytes.size();
  llvm::BLAKE3 hasher;
  hasher.update(key);
  hasher.update(bytes);
  auto checksum = hasher.final<32>();
  std::copy(checksum.begin(), checksum.end(), header.checksum);
  return header;
}

std::string below(StringRef directory, StringRef name) {
  llvm::SmallString<128> path = directory;
  llvm::sys::path::append(path, name);
  return std::string(path);
}

/// The file `size` of a cache, locked for as long as this lives. It holds the bytes of all entries,
/// as far as they are known: each is added before it is written.
class LockedSize {
 public:
  explicit LockedSize(const std::string& directory)
      : descriptor(::open(below(directory, "size").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (descriptor >= 0 && ::flock(descriptor, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      ::close(descriptor);
      descriptor = -1;
    }
  }
  ~LockedSize() {
    if (descriptor >= 0) ::close(descriptor);
  }
  bool isHeld() const { return descriptor >= 0; }

  /// Nothing if it isn't known.
  std::optional<int64_t> read() const {
    char text[32] = {};
    if (::pread(descriptor, text, sizeof(text) - 1, 0) <= 0) return std::nullopt;
    int64_t size;
    if (StringRef(text).trim().getAsInteger(10, size) || size < 0) return std::nullopt;
    return size;
  }

  bool write(int64_t size) const {
    std::string text = std::to_string(size) + "\n";
    return ::ftruncate(descriptor, 0) == 0 &&
           ::pwrite(descriptor, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  }

 private:
  int descriptor;
};

/// A file that stays is no harm.
void removeIfPossible(const llvm::Twine& path) {
  std::error_code ignored = fs::remove(path);
  static_cast<void>(ignored);
}

struct Entry {
  std::string path;
  int64_t bytes;
  llvm::sys::TimePoint<> used;
};

/// The entries of a folder. Leftovers of killed processes are removed on the way.
std::vector<Entry> entriesOf(const std::string& directory) {
  std::vector<Entry> entries;
  std::error_code error;
  auto now = std::chrono::system_clock::now();
  for (fs::recursive_directory_iterator it(below(directory, kEntries), error), end;
       it != end && !error; it.increment(error)) {
    llvm::ErrorOr<fs::basic_file_status> status = it->status();
    if (!status || status->type() != fs::file_type::regular_file) continue;
    auto used = status->getLastModificationTime();
    if (llvm::sys::path::filename(it->path()).starts_with(kTemporary)) {
      if (now - used > std::chrono::seconds(kTemporarySeconds)) removeIfPossible(it->path());
      continue;
    }
    entries.push_back({it->path(), static_cast<int64_t>(status->getSize()), used});
  }
  return entries;
}

void printWarning(const std::string& what) {
  std::fprintf(stderr, "weir: warning: %s\n", what.c_str());
}

}  // namespace

std::optional<std::string> cacheDirectory(StringRef wanted) {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return StringRef(value ? value : "");
  };
  if (wanted.empty()) wanted = variable("WEIR_CACHE");
  if (wanted == "off") return std::nullopt;
  if (!wanted.empty()) return wanted.str();
  // Relative paths are to be ignored, says the standard of these variables.
  if (StringRef caches = variable("XDG_CACHE_HOME"); llvm::sys::path::is_absolute(caches))
    return below(caches, "weir");
  StringRef home = variable("HOME");
  if (!llvm::sys::path::is_absolute(home)) return std::nullopt;
  return below(below(home, ".cache"), "weir");
}

std::unique_ptr<Cache> Cache::open(std::string directory, int64_t maxBytes, Warn warn) {
  if (!warn) warn = printWarning;
  return std::unique_ptr<Cache>(new Cache(std::move(directory), maxBytes, std::move(warn)));
}

std::string Cache::pathOf(StringRef key) const {
  return below(below(below(directory_, kEntries), key.take_front(2)), key.drop_front(2));
}

void Cache::warnOnce(const std::string& what) {
  std::lock_guard<std::mutex> lock(mutex_);
  unwritable_ = true;
  if (warned_) return;
  warned_ = true;
  warn_("nothing is kept in the cache '" + directory_ + "': " + what);
}

std::optional<std::string> Cache::find(StringRef key) {
  std::string path = pathOf(key);
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false);
  if (!file) {
    if (file.getError() != std::errc::no_such_file_or_directory &&
        file.getError() != std::errc::not_a_directory)
      warnOnce("cannot read '" + path + "': " + file.getError().message());
    return std::nullopt;
  }
  StringRef content = (*file)->getBuffer(),
            bytes = content.drop_front(std::min(content.size(), sizeof(Header)));
  Header expected = headerOf(key, bytes);
  if (content.size() < sizeof(Header) ||
      std::memcmp(content.data(), &expected, sizeof(Header)) != 0) {
    warn_("the cache's entry '" + path + "' is damaged; it is removed");
    removeIfPossible(path);
    return std::nullopt;
  }
  // Used now; where that can't be written, it is forgotten sooner.
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return bytes.str();
}

/// Removes entries, the longest unused first, until at most `target` bytes are left, and returns
/// how many are.
int64_t Cache::evict(int64_t target) {
  std::vector<Entry> entries = entriesOf(directory_);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  int64_t total = 0;
  for (const Entry& entry : entries) total += entry.bytes;
  for (const Entry& entry : entries) {
    if (total <= target) break;
    if (!fs::remove(entry.path)) total -= entry.bytes;
  }
  return total;
}

/// Counts the bytes of a new entry, and removes old ones if they are too many.
bool Cache::makeRoomFor(int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  LockedSize size(directory_);
  if (!size.isHeld()) return false;
  std::optional<int64_t> known = size.read();
  // More than needs to be, so that it isn't done for each entry.
  if (!known || *known + bytes > maxBytes_)
    known = evict(known ? std::min(maxBytes_ * 3 / 4, maxBytes_ - bytes) : maxBytes_ - bytes);
  return size.write(*known + bytes);
}

void Cache::insert(StringRef key, StringRef bytes) {
  int64_t total = static_cast<int64_t>(bytes.size() + sizeof(Header));
  if (total > maxBytes_) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (unwritable_) return;
  }
  std::string path = pathOf(key);
  StringRef folder = llvm::sys::path::parent_path(path);
  // What is here will be executed: nobody else may write it.
  if (std::error_code error = fs::create_directories(folder, true, fs::owner_all))
    return warnOnce(error.message());
  if (!makeRoomFor(total)) return warnOnce(std::strerror(errno));
  int descriptor;
  llvm::SmallString<128> temporary;
  if (std::error_code error =
          fs::createUniqueFile(below(folder, (kTemporary + "%%%%%%%%").str()), descriptor,
                               temporary, fs::OF_None, fs::owner_read | fs::owner_write))
    return warnOnce(error.message());
  llvm::scope_exit cleanUp([&] { removeIfPossible(temporary); });
  Header header = headerOf(key, bytes);
  llvm::raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
  stream.write(reinterpret_cast<const char*>(&header), sizeof(header)) << bytes;
  stream.close();
  if (stream.has_error()) {
    std::string message = stream.error().message();
    stream.clear_error();
    return warnOnce(message);
  }
  if (std::error_code error = fs::rename(temporary, path)) return warnOnce(error.message());
  cleanUp.release();
}

}  // namespace weir
