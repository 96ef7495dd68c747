#include "runtime/checkpoint/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

std::string FileOf(const std::string& header, size_t data_bytes) {
  uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header +
         std::string(data_bytes, '\1');
}

// The message for a file with this header.
std::string ErrorOf(const std::string& header, size_t data_bytes) {
  return std::string(ParseSafetensors(FileOf(header, data_bytes), "f").status().message());
}

TEST(Safetensors, WritesAndReadsEveryType) {
  std::vector<HostTensor> tensors;
  for (ElementType type :
       {ElementType::kF64, ElementType::kF32, ElementType::kBF16, ElementType::kI64,
        ElementType::kI32, ElementType::kU8, ElementType::kBool}) {
    HostTensor tensor({absl::StrCat("layer.", ElementTypeName(type)), type, {3, 2}});
    for (size_t i = 0; i < tensor.bytes().size(); ++i) tensor.bytes()[i] = i * 7;
    tensors.push_back(tensor);
  }
  tensors.push_back(HostTensor({"empty", ElementType::kF32, {0, 5}}));
  tensors.push_back(HostTensor({"scalar", ElementType::kI64, {}}));
  tensors.back().As<int64_t>()[0] = -3;
  std::string path = testing::TempDir() + "/all.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"step", "12"}}).ok());
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata().at("step"), "12");
  ASSERT_EQ(file->entries().size(), tensors.size());
  for (const HostTensor& tensor : tensors) {
    absl::StatusOr<HostTensor> read = file->Read(tensor.spec().name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->spec().ToString(), tensor.spec().ToString());
    EXPECT_EQ(read->bytes(), tensor.bytes());
  }
  EXPECT_EQ(file->Read("scalar")->Number(0), -3);
  EXPECT_EQ(file->Read("absent").status().message(), path + ": there is no tensor 'absent'");
}

TEST(Safetensors, EveryTruncationIsAnError) {
  std::string bytes = FileOf(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})",
      11);
  ASSERT_TRUE(ParseSafetensors(bytes, "f").ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseSafetensors(absl::string_view(bytes).substr(0, size), "f").ok()) << size;
  }
}

TEST(Safetensors, MessagesSayWhatIsWrong) {
  EXPECT_EQ(ParseSafetensors("hi", "x.safetensors").status().message(),
            "x.safetensors: this is no safetensors file: it has 2 bytes");
  EXPECT_EQ(ParseSafetensors("a text file, longer than eight", "f").status().message(),
            "f: this is no safetensors file, or its header is corrupt: a header of "
            "7359009851570397281 bytes");
  EXPECT_EQ(ErrorOf("[1]", 0), "f: the header is no JSON object");
  EXPECT_EQ(ErrorOf("{\"a\":", 0), "f: the header is no JSON object");
  EXPECT_EQ(ErrorOf(R"({"a":{},"a":{}})", 0), "f: 'a' appears twice");
  EXPECT_EQ(ErrorOf(R"({"a":3})", 0), "f: tensor 'a' has no description");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,0]}})", 0),
            "f: tensor 'a' has an unknown dtype 'F31'");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", 2),
            "f: tensor 'a' is of type F16, which Weir doesn't read (F64, F32, BF16, I64, I32, U8, "
            "BOOL)");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
            "f: tensor 'a' has no valid shape");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4),
            "f: tensor 'a' has no valid shape");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 8),
            "f: tensor 'a' has no valid data_offsets");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
            "f: tensor 'a' of shape [2] and type F32 needs 8 bytes, but has 4");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
            "f: tensor 'a' has bytes 0 to 8, but the file has 4 bytes of data: it is truncated or "
            "corrupt");
  EXPECT_EQ(
      ErrorOf(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
      "f: tensor 'a' has an impossible shape [4294967296, 4294967296]");
  EXPECT_EQ(ErrorOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                    R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                    3),
            "f: tensor 'b' overlaps another");
  EXPECT_EQ(ErrorOf(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
            "f: tensor 'b' leaves a hole before it");
  EXPECT_EQ(ErrorOf(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3),
            "f: 1 bytes of data belong to no tensor");
  EXPECT_EQ(ErrorOf(R"({"__metadata__":{"a":1}})", 0),
            "f: '__metadata__' has 'a', which is no text");
}

TEST(Safetensors, DeepNestingIsAnErrorNotACrash) {
  EXPECT_FALSE(ParseSafetensors(FileOf(std::string(1000000, '['), 0), "f").ok());
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "{\"a\":";
  EXPECT_FALSE(ParseSafetensors(FileOf(nested, 0), "f").ok());
}

TEST(Safetensors, RefusesToWriteANameTwice) {
  std::vector<HostTensor> tensors(2, HostTensor({"a", ElementType::kF32, {1}}));
  EXPECT_FALSE(WriteSafetensors(testing::TempDir() + "/twice", tensors, {}).ok());
  EXPECT_FALSE(FileExists(testing::TempDir() + "/twice"));
}

}  // namespace
}  // namespace weir::runtime
