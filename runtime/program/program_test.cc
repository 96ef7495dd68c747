#include "runtime/program/program.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "runtime/base/file.h"

namespace weir::runtime {
namespace {

Program SmallProgram() {
  Program program;
  program.kernels = {"k0", "k1"};
  program.variables = {{{"layer.0.weight", ElementType::kF32, {4, 3}}, Role::kParameter},
                       {{"rng", ElementType::kI64, {2}}, Role::kCounter}};
  program.constants = {std::string("\0\1\2\3", 4)};
  EntryPoint entry;
  entry.name = "train_step";
  entry.inputs = {{"tokens", ElementType::kI32, {2, 5}}, {"targets", ElementType::kI32, {2, 5}}};
  entry.outputs = {{"loss", ElementType::kF32, {}}};
  entry.launches = {{0, {{Space::kInput, 1, 0}, {Space::kArena, 0, 64}, {Space::kConstant, 0, 0}}},
                    {1, {{Space::kVariable, 1, 8}, {Space::kOutput, 0, 0}}}};
  entry.arena_bytes = 128;
  entry.shared_scratch_bytes = 7;
  entry.thread_scratch_bytes = 9;
  program.entry_points = {entry};
  program.code = {{"avx2", "not really an ELF"}};
  program.metadata = {{"experiment", "weir.model @m"}, {"name", ""}};
  return program;
}

TEST(Program, SurvivesSavingAndLoading) {
  Program program = SmallProgram();
  std::string path = testing::TempDir() + "/program.weir";
  ASSERT_TRUE(SaveProgram(program, path).ok());
  absl::StatusOr<Program> loaded = LoadProgram(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  // The format is a function of the program, so equal bytes mean equal programs.
  EXPECT_EQ(SerializeProgram(*loaded), SerializeProgram(program));
  ASSERT_EQ(loaded->entry_points.size(), 1u);
  const EntryPoint& entry = loaded->entry_points[0];
  EXPECT_EQ(entry.inputs[1].ToString(), "targets: tensor<2x5xi32>");
  EXPECT_EQ(entry.launches[1].buffers[0].byte_offset, 8);
  EXPECT_EQ(entry.thread_scratch_bytes, 9);
  EXPECT_EQ(loaded->variables[1].role, Role::kCounter);
  EXPECT_EQ(loaded->constants[0], std::string("\0\1\2\3", 4));
  EXPECT_EQ(loaded->metadata, program.metadata);
}

TEST(Program, EveryTruncationIsAnError) {
  std::string bytes = SerializeProgram(SmallProgram());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseProgram(absl::string_view(bytes).substr(0, size), "p").ok()) << size;
  }
}

TEST(Program, EveryFlippedByteIsAnError) {
  const std::string bytes = SerializeProgram(SmallProgram());
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 12 && i < 16) continue;  // reserved, not read
    std::string corrupt = bytes;
    corrupt[i] ^= 0x41;
    EXPECT_FALSE(ParseProgram(corrupt, "p").ok()) << i;
  }
}

TEST(Program, OtherVersionsAreRefusedWithTheirNumber) {
  std::string bytes = SerializeProgram(SmallProgram());
  bytes[8] = 77;
  absl::Status status = ParseProgram(bytes, "old.weir").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("old.weir: the program has format version 77"),
            std::string::npos)
      << status;
}

TEST(Program, InconsistentProgramsAreRefused) {
  auto message = [](auto change) {
    Program program = SmallProgram();
    change(program);
    return std::string(ValidateProgram(program).message());
  };
  EXPECT_EQ(message([](Program&) {}), "");
  EXPECT_EQ(message([](Program& p) { p.entry_points[0].launches[1].kernel = 2; }),
            "entry point 'train_step', launch 1: there is no kernel 2");
  EXPECT_EQ(message([](Program& p) { p.entry_points[0].launches[0].buffers[0].index = 2; }),
            "entry point 'train_step', launch 0 of 'k0': buffer 0 is outside the program's memory");
  EXPECT_EQ(message([](Program& p) { p.entry_points[0].launches[0].buffers[1].byte_offset = 129; }),
            "entry point 'train_step', launch 0 of 'k0': buffer 1 is outside the program's memory");
  EXPECT_EQ(message([](Program& p) { p.variables[0].spec.name = "rng"; }),
            "variables: 'rng' appears twice");
  EXPECT_EQ(
      message([](Program& p) { p.variables[0].spec.shape = {int64_t{1} << 40, int64_t{1} << 40}; }),
      "variables: 'layer.0.weight' is too large");
  EXPECT_EQ(message([](Program& p) { p.kernels[1] = "k0"; }),
            "the kernel name 'k0' is empty or appears twice");
}

TEST(Program, MissingAndForeignFiles) {
  std::string path = testing::TempDir() + "/absent.weir";
  EXPECT_EQ(LoadProgram(path).status().code(), absl::StatusCode::kNotFound);
  path = testing::TempDir() + "/foreign.weir";
  ASSERT_TRUE(WriteFileAtomically(path, {"hello"}).ok());
  EXPECT_EQ(LoadProgram(path).status().message(), path + ": this is no Weir program");
}

}  // namespace
}  // namespace weir::runtime
