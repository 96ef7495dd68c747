#include "runtime/plugin/registry.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/plugin/check_plugin.h"

namespace weir::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The plugins that BUILD makes of testdata/.
std::string TestPlugin(const std::string& name) {
  return "runtime/plugin/testdata/" + name + ".so";
}

void Write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

std::string LayerIr(const std::string& name) {
  return "// The layer " + name + ".\nweir.layer @" + name +
         "(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {\n"
         "  weir.return %x : tensor<?x?x?xf32>\n}\n";
}

// A directory of its own for each test.
class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  fs::path directory_;
};

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

std::string LoadError(const std::string& file) {
  Registry registry;
  const absl::Status status = registry.AddFile(file);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(registry.layers().empty() && registry.tasks().empty() && registry.kernels().empty());
  EXPECT_THAT(ErrorOf(status), HasSubstr(file));
  return ErrorOf(status);
}

TEST_F(RegistryTest, DirectoryOfTexts) {
  Write(directory_ / "alone.mlir", LayerIr("alone"));
  Write(directory_ / "gru/gru.mlir", LayerIr("gru") + LayerIr("gru_cell"));
  Write(directory_ / "gru/gru_test.mlir", "not looked at \"");
  Write(directory_ / "empty/README", "");
  Registry registry;
  ASSERT_TRUE(registry.AddDirectory(directory_).ok());
  std::vector<std::string> names;
  for (const auto& [name, layer] : registry.layers()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("alone", "gru", "gru_cell"));

  absl::StatusOr<const RegisteredLayer*> cell = registry.FindLayer("gru_cell");
  ASSERT_TRUE(cell.ok());
  EXPECT_EQ((*cell)->source, directory_ / "gru/gru.mlir");
  EXPECT_EQ((*cell)->line, 6);
  EXPECT_EQ((*cell)->doc, "The layer gru_cell.");
  EXPECT_EQ((*cell)->ir, (*registry.FindLayer("gru"))->ir);
  EXPECT_EQ(*(*cell)->ir, LayerIr("gru") + LayerIr("gru_cell"));

  const absl::Status missing = registry.FindLayer("grue").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ErrorOf(missing), AllOf(HasSubstr("'grue'"), HasSubstr("alone, gru, gru_cell")));
}

TEST_F(RegistryTest, GoodPluginLooksLikeAText) {
  Registry registry;
  ASSERT_TRUE(registry.AddFile(TestPlugin("good")).ok());
  absl::StatusOr<const RegisteredLayer*> layer = registry.FindLayer("decay");
  ASSERT_TRUE(layer.ok()) << layer.status();
  EXPECT_EQ((*layer)->source, TestPlugin("good"));
  EXPECT_EQ((*layer)->line, 2);
  EXPECT_EQ((*layer)->doc, "h_t = sigmoid(W x_t + b) h_{t-1} + x_t");
  EXPECT_THAT(*(*layer)->ir, HasSubstr("weir.layer @decay"));
  ASSERT_EQ(registry.plugins().size(), 1u);
  EXPECT_EQ(registry.plugins()[0].version_text, "1.2");
  // The same file again is the same plugin.
  EXPECT_TRUE(registry.AddFile(fs::absolute(TestPlugin("good"))).ok());
  EXPECT_EQ(registry.plugins().size(), 1u);
}

TEST_F(RegistryTest, KernelRuns) {
  Registry registry;
  ASSERT_TRUE(registry.AddFile(TestPlugin("good")).ok());
  absl::StatusOr<const RegisteredKernel*> kernel = registry.FindKernel("twice");
  ASSERT_TRUE(kernel.ok());
  EXPECT_EQ((*kernel)->kernel.vjp_name, "twice_vjp");
  EXPECT_EQ((*kernel)->kernel.step_name, "");
  alignas(64) float in[] = {1, 2, 3}, out[] = {0, 0, 0};
  const int64_t shape[] = {3};
  WeirTensor input = {sizeof(WeirTensor), in, WEIR_F32, 1, shape};
  const WeirTensor output = {sizeof(WeirTensor), out, WEIR_F32, 1, shape};
  const WeirTensor* const inputs[] = {&input};
  const WeirTensor* const outputs[] = {&output};
  char error[64] = "";
  const WeirKernelCall call = {sizeof(WeirKernelCall), inputs, 1, outputs, 1, "", error, 64};
  EXPECT_EQ((*kernel)->kernel.function(&call), 0);
  EXPECT_THAT(out, ElementsAre(2, 4, 6));
  input.type = WEIR_I32;
  EXPECT_NE((*kernel)->kernel.function(&call), 0);
  EXPECT_THAT(error, HasSubstr("f32"));
}

TEST_F(RegistryTest, TaskFills) {
  Registry registry;
  ASSERT_TRUE(registry.AddFile(TestPlugin("good")).ok());
  absl::StatusOr<const RegisteredTask*> found = registry.FindTask("counting");
  ASSERT_TRUE(found.ok());
  const WeirTask& task = (*found)->task.functions;
  void* user = nullptr;
  char error[128] = "";
  EXPECT_NE(task.create("lenght = 4", &user, error, sizeof(error)), 0);
  EXPECT_THAT(error, HasSubstr("lenght"));
  ASSERT_EQ(task.create("length = 4", &user, error, sizeof(error)), 0);
  ASSERT_EQ(task.length(user), 4);
  int32_t tokens[4], targets[4];
  ASSERT_EQ(task.fill(user, 7, 3, tokens, targets), 0);
  for (int t = 0; t < 3; ++t) EXPECT_EQ((tokens[t] + 1) % 11, tokens[t + 1]);
  EXPECT_EQ(targets[0], -1);
  EXPECT_EQ(targets[1], tokens[2]);
  task.destroy(user);
}

TEST_F(RegistryTest, RefusesWithAReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"too_new", "needs a newer Weir"},
      {"newer_anyway", "is of plugin version 3, newer than this Weir"},
      {"too_old", "is of plugin version 0, too old for this Weir"},
      {"null_name", "the plugin's name is null"},
      {"small_struct", "struct_size"},
      {"missing_symbol", "doesn't export weir_plugin_query"},
      {"null_layer", "layer 1 is a null pointer"},
      {"null_ir", "layer 'a_layer': its IR text is null"},
      {"other_layer", "must define weir.layer @a_layer and no other; it defines @another"},
      {"layer_twice", "defines the layer 'a_layer' twice"},
      {"null_fill", "task 'a_task': its function 'fill' is null"},
      {"no_such_vjp", "names 'its_gradient' as its gradient"},
      {"null_array", "holds 1 layers, but their array is null"},
      {"undefined_symbol", "nobody_defines_this"},
  };
  for (const auto& [name, reason] : cases) {
    EXPECT_THAT(LoadError(TestPlugin(name)), HasSubstr(reason)) << name;
  }
  EXPECT_THAT(ErrorOf(Registry().AddPlugin(nullptr, "built-in")),
              HasSubstr("built-in: the plugin is a null pointer"));
}

TEST_F(RegistryTest, RefusesFilesThatAreNoLibrary) {
  const fs::path file = directory_ / "text.so";
  Write(file, "this is no ELF file at all, but long enough to hold a header of one. Really.....");
  EXPECT_THAT(LoadError(file), HasSubstr("no ELF header"));
  Write(file, "");
  LoadError(file);
  LoadError(directory_ / "absent.so");
  LoadError(directory_ / "absent.mlir");
  LoadError(directory_);
  // An executable is an ELF file too; this test is one.
  const std::string reason = LoadError("/proc/self/exe");
  EXPECT_THAT(reason, ::testing::AnyOf(HasSubstr("dynamic loader"), HasSubstr("-shared")));
}

// Mapping a truncated library would kill the process, so it is looked at first.
TEST_F(RegistryTest, RefusesEveryTruncationOfALibrary) {
  absl::StatusOr<std::string> whole = ReadFile(TestPlugin("good"));
  ASSERT_TRUE(whole.ok());
  const fs::path file = directory_ / "truncated.so";
  for (size_t size : {size_t{4}, size_t{20}, size_t{64}, size_t{100}, whole->size() / 4,
                      whole->size() / 2, whole->size() - 1}) {
    Write(file, whole->substr(0, size));
    LoadError(file);
  }
  std::string other_machine = *whole;
  other_machine[18] = 0x28;  // e_machine: 32-bit ARM
  other_machine[19] = 0;
  Write(file, other_machine);
  EXPECT_THAT(LoadError(file), HasSubstr("another machine"));
}

TEST_F(RegistryTest, ANameTakenTwiceNamesBothFiles) {
  const fs::path first = directory_ / "first.mlir", second = directory_ / "second.mlir";
  Write(first, LayerIr("same"));
  Write(second, LayerIr("fresh") + LayerIr("same"));
  Registry registry;
  const absl::Status status = registry.AddDirectory(directory_);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(ErrorOf(status), AllOf(HasSubstr("layer 'same'"), HasSubstr(first.string()),
                                     HasSubstr(second.string() + ":6")));
  // All or nothing: the other layer of the refused file isn't there.
  EXPECT_FALSE(registry.FindLayer("fresh").ok());

  // Text against library, in both orders.
  Write(directory_ / "text.mlir", LayerIr("decay"));
  for (bool text_first : {true, false}) {
    Registry mixed;
    const std::string files[] = {directory_ / "text.mlir", TestPlugin("good")};
    EXPECT_TRUE(mixed.AddFile(files[text_first ? 0 : 1]).ok());
    const std::string error = ErrorOf(mixed.AddFile(files[text_first ? 1 : 0]));
    EXPECT_THAT(error, AllOf(HasSubstr("layer 'decay'"), HasSubstr(files[0]), HasSubstr(files[1])));
    EXPECT_EQ(mixed.FindTask("counting").ok(), !text_first);
  }

  // Two libraries with one plugin name.
  const fs::path copy = directory_ / "copy.so";
  fs::copy_file(TestPlugin("good"), copy);
  Registry libraries;
  EXPECT_TRUE(libraries.AddFile(TestPlugin("good")).ok());
  EXPECT_THAT(
      ErrorOf(libraries.AddFile(copy)),
      AllOf(HasSubstr("plugin 'good'"), HasSubstr(copy.string()), HasSubstr(TestPlugin("good"))));
}

TEST_F(RegistryTest, RefusesTextsWithAReason) {
  const fs::path file = directory_ / "bad.mlir";
  Write(file, "weir.model @m() {}\n");
  EXPECT_THAT(LoadError(file), HasSubstr("defines no weir.layer"));
  Write(file, LayerIr("a") + "\"");
  EXPECT_THAT(LoadError(file), HasSubstr("line 5: a string that doesn't end"));
  Write(file, LayerIr("a") + LayerIr("a"));
  EXPECT_THAT(LoadError(file), HasSubstr("layer 'a'"));
  EXPECT_THAT(ErrorOf(Registry().AddDirectory(directory_ / "absent")), HasSubstr("doesn't exist"));
}

TEST_F(RegistryTest, DefaultPathFollowsTheEnvironment) {
  Write(directory_ / "one/plain.mlir", LayerIr("plain_one"));
  Write(directory_ / "two/plain.mlir", LayerIr("plain_two"));
  const std::string path = (directory_ / "one").string() + "::" + (directory_ / "two").string();
  setenv("WEIR_PLUGIN_PATH", path.c_str(), 1);
  absl::StatusOr<Registry> registry = LoadRegistry({}, {TestPlugin("good")});
  ASSERT_TRUE(registry.ok()) << registry.status();
  EXPECT_TRUE(registry->FindLayer("plain_one").ok());
  EXPECT_TRUE(registry->FindLayer("plain_two").ok());
  EXPECT_TRUE(registry->FindLayer("decay").ok());
  setenv("WEIR_PLUGIN_PATH", (directory_ / "typing_error").c_str(), 1);
  EXPECT_THAT(ErrorOf(LoadRegistry({}, {}).status()), HasSubstr("typing_error"));
  unsetenv("WEIR_PLUGIN_PATH");
}

TEST(CheckPlugin, GoodPluginPasses) {
  const PluginReport report = CheckPlugin(TestPlugin("good"));
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_TRUE(report.findings.empty()) << report.ToString();
  EXPECT_EQ(report.passed.size(), 15u) << report.ToString();
}

TEST(CheckPlugin, SeesWhatATaskBreaks) {
  const PluginReport report = CheckPlugin(TestPlugin("bad_task"));
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.ToString(),
              AllOf(HasSubstr("ERROR: task 'a_task': fill() writes outside the tokens"),
                    HasSubstr("accepts an option that doesn't exist"),
                    HasSubstr("advice: layer 'a_layer': has no doc")));
  const PluginReport other = CheckPlugin(TestPlugin("bad_values"));
  EXPECT_THAT(other.ToString(), AllOf(HasSubstr("token 5 at position 0 of sequence 0 is outside"),
                                      HasSubstr("another sequence for the same seed and index")));
  EXPECT_THAT(CheckPlugin(TestPlugin("bad_segments")).ToString(),
              HasSubstr("ERROR: task 'a_task': sequence 0: row 0: the segment id 7 at position 2 "
                        "comes back"));
  EXPECT_FALSE(CheckPlugin(TestPlugin("too_old")).ok());
  EXPECT_FALSE(CheckPlugin("absent.so").ok());
}

}  // namespace
}  // namespace weir::runtime
