#include "tests/golden/compare.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::golden {
namespace {

using runtime::ElementType;
using runtime::HostTensor;
using runtime::SafetensorsFile;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

HostTensor Tensor(const std::string& name, const std::vector<float>& values) {
  HostTensor tensor({name, ElementType::kF32, {static_cast<int64_t>(values.size())}});
  std::copy(values.begin(), values.end(), tensor.As<float>().begin());
  return tensor;
}

SafetensorsFile File(const std::string& name, const std::vector<HostTensor>& tensors) {
  const std::string path = ::testing::TempDir() + "/" + name + ".safetensors";
  EXPECT_TRUE(runtime::WriteSafetensors(path, tensors, {}).ok());
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

SafetensorsFile Golden() {
  return File("golden",
              {Tensor("param.w", {1}), Tensor("input.x", {2}), Tensor("input.state.h", {3}),
               Tensor("cotangent", {4}), Tensor("output", {-100, 1}), Tensor("output.state.h", {5}),
               Tensor("gradient.param.w", {6}), Tensor("gradient.input.x", {7}),
               Tensor("gradient.state.h", {8})});
}

std::vector<HostTensor> Outputs() { return {Tensor("output", {-100, 1}), Tensor("state.h", {5})}; }
std::vector<HostTensor> Gradients() {
  return {Tensor("w", {6}), Tensor("input.x", {7}), Tensor("state.h", {8})};
}

// The problems by name.
std::map<std::string, std::string> Problems(const std::vector<HostTensor>& outputs,
                                            const std::vector<HostTensor>& gradients) {
  const SafetensorsFile golden = Golden(), o = File("outputs", outputs),
                        g = File("gradients", gradients);
  absl::StatusOr<std::vector<Comparison>> comparisons = Compare(golden, &o, &g, 1e-5);
  EXPECT_TRUE(comparisons.ok()) << comparisons.status();
  std::map<std::string, std::string> problems;
  for (const Comparison& comparison : *comparisons) {
    EXPECT_EQ(comparison.error <= 1e-5, comparison.problem.empty());
    if (!comparison.problem.empty()) problems[comparison.name] = comparison.problem;
  }
  return problems;
}

TEST(Compare, EqualIsFine) {
  EXPECT_TRUE(Problems(Outputs(), Gradients()).empty());
  const SafetensorsFile golden = Golden();
  EXPECT_TRUE(Compare(golden, nullptr, nullptr, 1e-5)->empty());
}

TEST(Compare, ErrorIsRelativeToTheLargestElement) {
  auto outputs = Outputs();
  outputs[0].As<float>()[1] = 1.0009f;  // 9e-6 of 100
  EXPECT_TRUE(Problems(outputs, Gradients()).empty());
  outputs[0].As<float>()[1] = 1.002f;
  EXPECT_THAT(Problems(outputs, Gradients())["output"], HasSubstr("is off by 1.99"));
}

TEST(Compare, SeesEveryKindOfProblem) {
  for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    auto gradients = Gradients();
    gradients[0].As<float>()[0] = bad;
    EXPECT_THAT(Problems(Outputs(), gradients)["gradient.param.w"], HasSubstr("element 0 is"));
  }
  auto gradients = Gradients();
  gradients[1] = Tensor("input.x", {7, 7});
  EXPECT_THAT(Problems(Outputs(), gradients)["gradient.input.x"], HasSubstr("has the shape [2]"));
  gradients[1] = Tensor("input.y", {7});
  auto problems = Problems(Outputs(), gradients);
  EXPECT_THAT(problems["gradient.input.x"], HasSubstr("missing: there is no 'input.x'"));
  EXPECT_THAT(problems["input.y"], HasSubstr("not in the golden file"));
  EXPECT_THAT(Problems({}, Gradients())["output.state.h"], HasSubstr("missing"));
}

TEST(Split, NamesAreThoseOfWeirRun) {
  const SafetensorsFile golden = Golden();
  const auto values = [](const std::vector<HostTensor>& tensors) {
    std::map<std::string, float> result;
    for (const HostTensor& tensor : tensors) result[tensor.spec().name] = tensor.Number(0);
    return result;
  };
  absl::StatusOr<std::vector<HostTensor>> parameters = Parameters(golden);
  absl::StatusOr<std::vector<HostTensor>> inputs = Inputs(golden);
  ASSERT_TRUE(parameters.ok() && inputs.ok());
  EXPECT_THAT(values(*parameters), UnorderedElementsAre(std::make_pair("w", 1.0f)));
  EXPECT_THAT(values(*inputs),
              UnorderedElementsAre(std::make_pair("x", 2.0f), std::make_pair("state.h", 3.0f),
                                   std::make_pair("cotangent", 4.0f)));
}

// What make_golden.py promises of its files.
TEST(Cases, AreComplete) {
  std::set<std::string> models, files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden")) {
    const std::filesystem::path path = entry.path();
    if (path.extension() == ".mlir") models.insert(path.stem());
    if (path.extension() == ".safetensors") files.insert(path.stem());
  }
  EXPECT_EQ(models, files);
  EXPECT_GE(files.size(), 40u);
  for (const std::string& name : files) {
    absl::StatusOr<SafetensorsFile> golden =
        SafetensorsFile::Open("tests/golden/" + name + ".safetensors");
    ASSERT_TRUE(golden.ok()) << golden.status();
    EXPECT_EQ(golden->metadata().count("layer"), 1u) << name;
    EXPECT_NE(golden->Find("output"), nullptr) << name;
    EXPECT_NE(golden->Find("cotangent"), nullptr) << name;
    for (const auto& entry : golden->entries()) {
      std::string tensor = entry.spec.name;
      if (tensor.rfind("input.state.", 0) == 0) tensor = tensor.substr(6);
      const bool goes_in = tensor.rfind("param.", 0) == 0 || tensor.rfind("input.", 0) == 0 ||
                           tensor.rfind("state.", 0) == 0;
      if (!goes_in || entry.spec.type != ElementType::kF32) continue;
      const auto* gradient = golden->Find("gradient." + tensor);
      ASSERT_NE(gradient, nullptr) << name << ": " << tensor;
      EXPECT_EQ(gradient->spec.shape, entry.spec.shape) << name << ": " << tensor;
    }
  }
}

}  // namespace
}  // namespace weir::golden
