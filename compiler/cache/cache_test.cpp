#include "compiler/cache/cache.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "compiler/cache/cache_key.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

class CacheTest : public testing::Test {
 protected:
  void SetUp() override {
    directory = testing::TempDir() + "/cache_test_" + std::to_string(::getpid());
    fs::remove_all(directory);
  }
  void TearDown() override { fs::remove_all(directory); }

  std::unique_ptr<Cache> open(int64_t maxBytes = Cache::kDefaultBytes) {
    return Cache::open(directory, maxBytes,
                       [this](const std::string& what) { warnings.push_back(what); });
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    if (!fs::exists(directory + "/entries")) return found;
    for (const auto& entry : fs::recursive_directory_iterator(directory + "/entries"))
      if (entry.is_regular_file()) found.push_back(entry.path());
    return found;
  }
  int64_t bytesOfFiles() const {
    int64_t bytes = 0;
    for (const fs::path& file : files()) bytes += static_cast<int64_t>(fs::file_size(file));
    return bytes;
  }

  std::string directory;
  std::vector<std::string> warnings;
};

TEST_F(CacheTest, FindsWhatWasInsertedAndNothingElse) {
  std::string binary("\0\xff\n", 3), key = CacheKey("kernel").add("text").str();
  EXPECT_EQ(open()->find(key), std::nullopt);
  open()->insert(key, binary);
  EXPECT_EQ(open()->find(key), binary);
  EXPECT_EQ(open()->find(CacheKey("kernel").add("texts").str()), std::nullopt);
  open()->insert(key, "other");
  EXPECT_EQ(open()->find(key), "other");
  EXPECT_TRUE(warnings.empty()) << warnings[0];
}

TEST_F(CacheTest, KeysDependOnAllPieces) {
  std::string key = CacheKey("kernel").add("ab").add("c").str();
  EXPECT_EQ(key.size(), 64u);
  EXPECT_EQ(key, CacheKey("kernel").add("ab").add("c").str());
  EXPECT_NE(key, CacheKey("program").add("ab").add("c").str());
  EXPECT_NE(key, CacheKey("kernel").add("a").add("bc").str());
  EXPECT_NE(key, CacheKey("kernel").add("c").add("ab").str());
  EXPECT_NE(key, CacheKey("kernel").add("ab").add("c").add("").str());
}

TEST_F(CacheTest, TheCompilerIsKnownByItsBuild) {
  // At least this program, MLIR and LLVM, a line each.
  std::string identity = compilerIdentity();
  EXPECT_GE(std::count(identity.begin(), identity.end(), '\n'), 3) << identity;
}

TEST_F(CacheTest, DamagedEntriesAreDroppedWithAWarning) {
  for (int damage = 0; damage < 4; ++damage) {
    open()->insert("abcdef", "some bytes");
    ASSERT_EQ(files().size(), 1u);
    fs::path file = files()[0];
    if (damage == 0) fs::resize_file(file, 0);
    if (damage == 1) fs::resize_file(file, fs::file_size(file) - 1);
    if (damage == 2) std::ofstream(file, std::ios::app) << "x";
    if (damage == 3) {
      std::fstream stream(file, std::ios::in | std::ios::out);
      stream.seekp(static_cast<std::streamoff>(fs::file_size(file)) - 3);
      stream << "X";
    }
    warnings.clear();
    EXPECT_EQ(open()->find("abcdef"), std::nullopt) << damage;
    ASSERT_EQ(warnings.size(), 1u) << damage;
    EXPECT_NE(warnings[0].find("damaged"), std::string::npos) << warnings[0];
    EXPECT_TRUE(files().empty());
  }
  // One entry's file in the place of another's is damage too.
  open()->insert("abcdef", "some bytes");
  fs::rename(files()[0], files()[0].parent_path() / "0000");
  EXPECT_EQ(open()->find("ab0000"), std::nullopt);
}

TEST_F(CacheTest, AFolderThatCannotBeWrittenIsOneWarning) {
  std::ofstream(directory) << "a file where the folder should be";
  std::unique_ptr<Cache> cache = open();
  EXPECT_EQ(cache->find("abcdef"), std::nullopt);
  EXPECT_TRUE(warnings.empty());
  for (int i = 0; i < 3; ++i) cache->insert("abcdef", "bytes");
  EXPECT_EQ(cache->find("abcdef"), std::nullopt);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find(directory), std::string::npos) << warnings[0];
}

TEST_F(CacheTest, StaysBelowItsSizeAndKeepsWhatIsUsed) {
  constexpr int64_t kMax = 20000;
  std::string kilobyte(1000, 'x');
  auto keyOf = [](int i) { return "key" + std::to_string(100 + i); };
  auto age = [&](int hours) {
    for (const fs::path& file : files())
      fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(hours));
  };
  for (int i = 0; i < 60; ++i) {
    open(kMax)->insert(keyOf(i), kilobyte);
    EXPECT_LE(bytesOfFiles(), kMax);
    age(1);  // all that is there, so that entries differ by more than the clock's grain
    EXPECT_EQ(open(kMax)->find(keyOf(0)), kilobyte) << "used after each of " << i << " others";
  }
  EXPECT_GT(bytesOfFiles(), kMax / 2);
  EXPECT_EQ(open(kMax)->find(keyOf(1)), std::nullopt);
  EXPECT_EQ(open(kMax)->find(keyOf(59)), kilobyte);
  // What doesn't fit at all isn't kept, and drives nothing else out.
  size_t before = files().size();
  open(kMax)->insert("large", std::string(kMax, 'x'));
  EXPECT_EQ(files().size(), before);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
}

TEST_F(CacheTest, ItsSizeIsFoundOutAgainWhenTheFileSaysNonsense) {
  open()->insert("abcdef", std::string(1000, 'x'));
  std::ofstream(directory + "/size") << "nonsense";
  open(1500)->insert("ghijkl", std::string(1000, 'y'));
  EXPECT_EQ(files().size(), 1u);
  EXPECT_EQ(open()->find("ghijkl"), std::string(1000, 'y'));
}

TEST_F(CacheTest, LeftoversOfKilledProcessesGo) {
  open()->insert("abcdef", std::string(1000, 'x'));
  fs::path leftover = files()[0].parent_path() / "tmp-leftover";
  std::ofstream(leftover) << "half an entry";
  fs::last_write_time(leftover, fs::last_write_time(leftover) - std::chrono::hours(2));
  open(1500)->insert("ghijkl", std::string(1000, 'y'));
  EXPECT_FALSE(fs::exists(leftover));
}

std::string valueOf(int i) { return std::string(100 + 37 * i, static_cast<char>('a' + i % 26)); }

TEST_F(CacheTest, ProcessesShareAFolder) {
  constexpr int kProcesses = 4, kEntries = 60;
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      // All write the same entries, each from another place on, and read while others write.
      bool good = true;
      std::unique_ptr<Cache> cache = Cache::open(directory, 100000, [&](auto&) { good = false; });
      for (int step = 0; step < kEntries; ++step) {
        int i = (step + child * kEntries / kProcesses) % kEntries;
        std::optional<std::string> known = cache->find("key" + std::to_string(i));
        good &= !known || *known == valueOf(i);
        cache->insert("key" + std::to_string(i), valueOf(i));
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_LE(bytesOfFiles(), 100000);
  std::unique_ptr<Cache> cache = open(100000);
  int found = 0;
  for (int i = 0; i < kEntries; ++i) {
    std::optional<std::string> known = cache->find("key" + std::to_string(i));
    if (!known) continue;
    ++found;
    EXPECT_EQ(*known, valueOf(i));
  }
  EXPECT_GT(found, kEntries / 4);
}

TEST_F(CacheTest, ThreadsShareACache) {
  std::unique_ptr<Cache> cache = open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        cache->insert("key" + std::to_string(i), valueOf(i));
        EXPECT_EQ(cache->find("key" + std::to_string(i)), valueOf(i));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(files().size(), 50u);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
}

TEST(CacheDirectory, IsWhatIsAskedForFirst) {
  ::setenv("HOME", "/users/someone", 1);
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("WEIR_CACHE");
  EXPECT_EQ(cacheDirectory(""), "/users/someone/.cache/weir");
  ::setenv("XDG_CACHE_HOME", "/caches", 1);
  EXPECT_EQ(cacheDirectory(""), "/caches/weir");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(cacheDirectory(""), "/users/someone/.cache/weir");
  ::setenv("WEIR_CACHE", "/mine", 1);
  EXPECT_EQ(cacheDirectory(""), "/mine");
  EXPECT_EQ(cacheDirectory("given"), "given");
  EXPECT_EQ(cacheDirectory("off"), std::nullopt);
  ::setenv("WEIR_CACHE", "off", 1);
  EXPECT_EQ(cacheDirectory(""), std::nullopt);
  EXPECT_EQ(cacheDirectory("given"), "given");
  ::unsetenv("WEIR_CACHE");
  ::unsetenv("HOME");
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(cacheDirectory(""), std::nullopt);
}

}  // namespace
}  // namespace weir
