// The system's libraries are there, compile with our flags and link together.

#include <sstream>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"
#include "nlohmann/json.hpp"
#include "omp.h"

LLD_HAS_DRIVER(elf)

ABSL_FLAG(int, count, 3, "a flag");

namespace weir {
namespace {

absl::StatusOr<int> half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError(absl::StrCat(n, " is odd"));
  return n / 2;
}

TEST(System, Abseil) {
  EXPECT_EQ(absl::GetFlag(FLAGS_count), 3);
  EXPECT_EQ(*half(6), 3);
  EXPECT_EQ(half(5).status().message(), "5 is odd");
  absl::flat_hash_map<std::string, absl::InlinedVector<int, 4>> map;
  map["a"].push_back(1);
  EXPECT_THAT(map["a"], testing::ElementsAre(1));
  absl::Mutex mutex;
  absl::MutexLock lock(&mutex);
  absl::BitGen gen;
  EXPECT_LT(absl::Uniform(gen, 0, 10), 10);
  EXPECT_EQ(absl::StrFormat("%d", 5), "5");
  EXPECT_GT(absl::Now(), absl::UnixEpoch());
}

TEST(System, Json) {
  nlohmann::json json = nlohmann::json::parse(R"({"a": [1, 2]})");
  EXPECT_EQ(json["a"][1], 2);
}

TEST(System, OpenMp) {
  int sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int i = 0; i < 100; ++i) sum += i;
  EXPECT_EQ(sum, 4950);
  EXPECT_GE(omp_get_max_threads(), 1);
}

TEST(System, Lld) {
  std::string text;
  llvm::raw_string_ostream out(text);
  const char* args[] = {"ld.lld", "--version"};
  lld::Result result = lld::lldMain(args, out, out, {{lld::Gnu, &lld::elf::link}});
  EXPECT_EQ(result.retCode, 0);
  EXPECT_NE(text.find("LLD 22"), std::string::npos) << text;
}

}  // namespace
}  // namespace weir
