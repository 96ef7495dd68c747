#include "compiler/cache/cache_key.h"

#include <link.h>
#include <sys/stat.h>

#include <algorithm>

#include "llvm/ADT/StringExtras.h"

namespace weir {

namespace {

using llvm::StringRef;

uint64_t roundUpToFour(uint64_t size) { return (size + 3) / 4 * 4; }

/// The bytes of the GNU build id among an object's notes; empty if it has none.
StringRef buildId(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader says where as a number.
    const char* notes = reinterpret_cast<const char*>(object.dlpi_addr + segment.p_vaddr);
    for (uint64_t at = 0; at + sizeof(ElfW(Nhdr)) <= segment.p_memsz;) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(notes + at);
      const char* name = notes + at + sizeof(ElfW(Nhdr));
      const char* value = name + roundUpToFour(note->n_namesz);
      if (note->n_type == NT_GNU_BUILD_ID && StringRef(name, note->n_namesz) == StringRef("GNU", 4))
        return {value, note->n_descsz};
      at += sizeof(ElfW(Nhdr)) + roundUpToFour(note->n_namesz) + roundUpToFour(note->n_descsz);
    }
  }
  return {};
}

int addObject(dl_phdr_info* object, size_t, void* identity) {
  std::string& text = *static_cast<std::string*>(identity);
  if (StringRef id = buildId(*object); !id.empty()) {
    text += llvm::toHex(id) + "\n";
    return 0;
  }
  // The program itself has no name here. What is no file (the kernel's vDSO) compiles nothing.
  const char* file = *object->dlpi_name ? object->dlpi_name : "/proc/self/exe";
  struct stat info;
  if (::stat(file, &info) != 0) return 0;
  text += std::string(file) + " " + std::to_string(info.st_size) + " " +
          std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + "\n";
  return 0;
}

}  // namespace

const std::string& compilerIdentity() {
  static const auto* identity = [] {
    auto* text = new std::string;
    ::dl_iterate_phdr(addObject, text);
    return text;
  }();
  return *identity;
}

CacheKey::CacheKey(StringRef kind) { add(compilerIdentity()).add(kind); }

ContentHash& ContentHash::add(StringRef piece) {
  add(static_cast<int64_t>(piece.size()));
  hasher.update(piece);
  return *this;
}

ContentHash& ContentHash::add(int64_t number) {
  hasher.update(StringRef(reinterpret_cast<const char*>(&number), sizeof(number)));
  return *this;
}

std::string ContentHash::str() { return llvm::toHex(hasher.final<32>(), /*LowerCase=*/true); }

}  // namespace weir
