#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/task_registry.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/testing/toy_program.h"
#include "runtime/training/checkpoint.h"
#include "runtime/training/compare.h"
#include "runtime/training/loop.h"
#include "runtime/training/metrics.h"

namespace weir::runtime {
namespace {

constexpr int64_t kBatch = 4, kContext = 12;

class TrainingTest : public testing::Test {
 protected:
  TrainingTest() : device_(CpuDevice::Create({}).value()) {
    root_ =
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    EXPECT_TRUE(MakeDirectories(root_).ok());
    std::string text;
    for (int i = 0; i < 700; ++i) text += "abcdefgh"[(i * i + i / 3) % 8];
    EXPECT_TRUE(WriteFileAtomically(root_ + "/text.txt", {text}).ok());
    task_ = TaskRegistry::WithBuiltinTasks()
                .Create("text",
                        {{"data", root_ + "/text.txt"}, {"context", kContext}, {"batch", kBatch}})
                .value();
  }

  // `accumulate`: batches of the task in one step.
  std::unique_ptr<Session> NewSession(int64_t accumulate = 1) {
    Program program = ToyProgram(kBatch * accumulate, kContext, task_->spec().vocabulary);
    return Session::Create(std::move(program), *device_, {1}).value();
  }

  TrainingOptions Options(const std::string& name, int64_t steps) {
    TrainingOptions options;
    options.steps = steps;
    options.eval_every = 5;
    options.directory = root_ + "/" + name;
    options.experiment = "weir.experiment @e";
    options.progress = nullptr;
    return options;
  }

  // The metrics without what depends on the clock.
  std::vector<std::string> Losses(const std::string& name) {
    std::vector<std::string> lines;
    auto records = ReadMetrics(root_ + "/" + name + "/metrics.jsonl").value();
    for (MetricsRecord& record : records) {
      record.seconds = record.tokens_per_second = 0;
      lines.push_back(MetricsLine(record));
    }
    return lines;
  }

  std::string Variable(const std::string& name, const std::string& variable) {
    auto file = SafetensorsFile::Open(root_ + "/" + name + "/checkpoint.safetensors").value();
    return std::string(file.Find(variable)->data);
  }

  std::string root_;
  std::unique_ptr<CpuDevice> device_;
  std::unique_ptr<Task> task_;
};

TEST_F(TrainingTest, LearnsAndWritesItAllDown) {
  auto session = NewSession();
  absl::StatusOr<TrainingResult> result = Train(*session, *task_, Options("run", 60));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 60);
  auto records = ReadMetrics(root_ + "/run/metrics.jsonl").value();
  ASSERT_EQ(records.size(), 72u);
  EXPECT_EQ(records[0].step, 1);
  EXPECT_EQ(records[0].split, "train");
  EXPECT_NEAR(records[0].loss, std::log(8.0), 0.1);
  EXPECT_TRUE(records[0].accuracy && records[0].gradient_norm && records[0].learning_rate);
  EXPECT_FALSE(records[0].sequence_accuracy);
  EXPECT_EQ(records[4].tokens, 5 * kBatch * kContext);
  EXPECT_EQ(records[5].split, "eval");
  EXPECT_EQ(records.back().split, "eval");
  EXPECT_LT(records.back().loss, 1.9);
  EXPECT_EQ(ReadFile(root_ + "/run/experiment.mlir").value(), "weir.experiment @e");
  auto best = SafetensorsFile::Open(root_ + "/run/best.safetensors").value();
  EXPECT_EQ(best.entries().size(), 1u);
  EXPECT_EQ(best.metadata().at("step"), std::to_string(result->best_step));

  // The best parameters give the best loss again, in a session of their own.
  auto other = NewSession();
  ASSERT_TRUE(LoadParameters(*other, root_ + "/run/best.safetensors").ok());
  EXPECT_EQ(Evaluate(*other, *task_, nullptr)->loss, *result->best_loss);
}

TEST_F(TrainingTest, KilledAndResumedIsTheSameRun) {
  ASSERT_TRUE(Train(*NewSession(), *task_, Options("whole", 23)).ok());
  for (int64_t killed_at : {3, 5, 7, 19}) {
    std::string name = "killed" + std::to_string(killed_at);
    TrainingOptions options = Options(name, 23);
    options.after_step = [&](int64_t step) {
      return step == killed_at ? absl::AbortedError("killed") : absl::OkStatus();
    };
    EXPECT_EQ(Train(*NewSession(), *task_, options).status().message(), "killed");
    // What a kill in the middle of a line leaves.
    std::string log = root_ + "/" + name + "/metrics.jsonl";
    std::string torn = ReadFile(log).value() + "{\"step\":";
    ASSERT_TRUE(WriteFileAtomically(log, {torn}).ok());
    options.after_step = nullptr;
    options.resume = true;
    absl::StatusOr<TrainingResult> result = Train(*NewSession(), *task_, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(Losses(name), Losses("whole"));
    for (const char* variable : {"bigram.weight", "optimizer.m.bigram.weight", "rng"}) {
      EXPECT_EQ(Variable(name, variable), Variable("whole", variable)) << variable;
    }
    EXPECT_EQ(ReadFile(root_ + "/" + name + "/best.safetensors").value(),
              ReadFile(root_ + "/whole/best.safetensors").value());
  }
}

TEST_F(TrainingTest, InterruptSavesAndTheRestIsTheSame) {
  ASSERT_TRUE(Train(*NewSession(), *task_, Options("whole", 12)).ok());
  // Step 10 ends with an evaluation, which the interrupt cuts off.
  for (int64_t at : {7, 10}) {
    std::string name = "interrupted" + std::to_string(at);
    TrainingOptions options = Options(name, 12);
    options.after_step = [&](int64_t step) {
      if (step == at) std::raise(SIGINT);
      return absl::OkStatus();
    };
    absl::StatusOr<TrainingResult> result = Train(*NewSession(), *task_, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->interrupted);
    EXPECT_EQ(result->steps, at);
    options.after_step = nullptr;
    options.resume = true;
    ASSERT_TRUE(Train(*NewSession(), *task_, options).ok());
    EXPECT_EQ(Losses(name), Losses("whole"));
  }
}

TEST_F(TrainingTest, SecondInterruptEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto run = [&] {
    TrainingOptions options = Options("twice", 12);
    options.after_step = [](int64_t) {
      std::raise(SIGINT);
      std::raise(SIGINT);
      return absl::OkStatus();
    };
    Train(*NewSession(), *task_, options).IgnoreError();
    std::exit(0);
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGINT), "");
}

TEST_F(TrainingTest, AccumulatesTheTasksBatchesInTheirOrder) {
  auto session = NewSession(3);
  TrainingOptions options = Options("accumulated", 4);
  ASSERT_TRUE(Train(*session, *task_, options).ok());
  auto feeder = BatchFeeder::Create(*session, "train_step", *task_).value();
  EXPECT_EQ(feeder.batches(), 3);
  ASSERT_TRUE(feeder.FillTrain(1, 2).ok());
  std::vector<int32_t> tokens(kBatch * kContext), targets(kBatch * kContext);
  auto bytes = [](std::vector<int32_t>& v) {
    return absl::MakeSpan(reinterpret_cast<char*>(v.data()), v.size() * 4);
  };
  ASSERT_TRUE(task_->FillTrain(1, 2 * 3 + 1, {bytes(tokens), bytes(targets), {}}).ok());
  absl::Span<const int32_t> middle =
      feeder.inputs()[0].As<int32_t>().subspan(tokens.size(), tokens.size());
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), middle.begin()));
  // 70 held-out bytes: 6 windows, 2 batches of 4, one call of 12.
  auto eval = BatchFeeder::Create(*session, "eval", *task_).value();
  EXPECT_EQ(eval.eval_calls(), 1);
  EXPECT_EQ(Evaluate(*session, *task_, nullptr)->targets, 69);
}

TEST_F(TrainingTest, StopsWithoutGain) {
  auto session = NewSession();
  TrainingOptions options = Options("patience", 100000);
  options.patience = 3;
  options.eval_every = 20;
  absl::StatusOr<TrainingResult> result = Train(*session, *task_, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->stopped_early);
  EXPECT_EQ(result->steps, result->best_step + 3 * 20);
  // A resume doesn't go on.
  options.resume = true;
  result = Train(*NewSession(), *task_, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, result->best_step + 3 * 20);
}

TEST_F(TrainingTest, DivergenceNamesTheStep) {
  auto session = NewSession();
  TrainingOptions options = Options("diverged", 10);
  options.after_step = [&](int64_t step) {
    if (step < 4) return absl::OkStatus();
    HostTensor weight = session->ReadVariable("bigram.weight").value();
    for (float& value : weight.As<float>()) value = NAN;
    return session->WriteVariable("bigram.weight", weight);
  };
  absl::Status status = Train(*session, *task_, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(std::string(status.message()).substr(0, 27), "the loss is nan at step 5 (");
}

TEST_F(TrainingTest, CheckpointsSayWhatTokensStandFor) {
  TrainingOptions options = Options("run", 5);
  ASSERT_TRUE(Train(*NewSession(), *task_, options).ok());
  for (const char* file : {"checkpoint.safetensors", "best.safetensors"}) {
    absl::StatusOr<Vocabulary> vocabulary = LoadVocabulary(options.directory + "/" + file);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    EXPECT_EQ(vocabulary->bytes(), "abcdefgh");
  }
  // As many different bytes, but others.
  std::string text;
  for (int i = 0; i < 700; ++i) text += "ABCDEFGH"[(i * i + i / 3) % 8];
  ASSERT_TRUE(WriteFileAtomically(root_ + "/other.txt", {text}).ok());
  auto other =
      TaskRegistry::WithBuiltinTasks()
          .Create("text",
                  {{"data", root_ + "/other.txt"}, {"context", kContext}, {"batch", kBatch}})
          .value();
  options.resume = true;
  absl::Status status = Train(*NewSession(), *other, options).status();
  EXPECT_EQ(status.message(),
            options.directory +
                "/checkpoint.safetensors: was trained on a text of 8 different bytes, which aren't "
                "the 8 of the task's data");
  // A file without: as those that were written by hand.
  std::string bare = root_ + "/bare.safetensors";
  ASSERT_TRUE(SaveParameters(*NewSession(), bare, {}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(LoadVocabulary(bare).status()));
  EXPECT_TRUE(CheckVocabulary(bare, task_->spec().text).ok());
}

TEST_F(TrainingTest, RefusesWhatDoesNotFit) {
  TrainingOptions options = Options("a", 3);
  ASSERT_TRUE(Train(*NewSession(), *task_, options).ok());
  EXPECT_EQ(Train(*NewSession(), *task_, options).status().message(),
            "'" + options.directory +
                "' already holds a run; resume it with --resume, or name another one");
  options.resume = true;
  options.seed = 2;
  EXPECT_EQ(Train(*NewSession(), *task_, options).status().message(),
            options.directory + "/checkpoint.safetensors: this run began with seed 1, not 2");
  options.seed = 1;
  auto other = Session::Create(ToyProgram(kBatch, kContext, 9), *device_, {1}).value();
  EXPECT_EQ(Train(*other, *task_, options).status().message(),
            options.directory +
                "/checkpoint.safetensors: the program wants bigram.weight: tensor<9x9xf32>, not "
                "bigram.weight: tensor<8x8xf32>");
  auto narrow = Session::Create(ToyProgram(kBatch, 7, 8), *device_, {1}).value();
  EXPECT_EQ(Train(*narrow, *task_, Options("b", 3)).status().message(),
            "the task's batch doesn't fit 'train_step': it has tokens: tensor<4x12xi32>, "
            "targets: tensor<4x12xi32>, the program wants tokens: tensor<4x7xi32>, targets: "
            "tensor<4x7xi32>");
  ASSERT_TRUE(WriteFileAtomically(options.directory + "/checkpoint.safetensors", {"junk"}).ok());
  EXPECT_FALSE(Train(*NewSession(), *task_, options).ok());
}

TEST_F(TrainingTest, RunsWithoutADirectory) {
  TrainingOptions options = Options("", 6);
  options.directory.clear();
  absl::StatusOr<TrainingResult> result = Train(*NewSession(), *task_, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->last_evaluation->targets, 69);
}

TEST_F(TrainingTest, ComparesRuns) {
  ASSERT_TRUE(Train(*NewSession(), *task_, Options("one", 20)).ok());
  TrainingOptions options = Options("two", 10);
  options.seed = 5;
  ASSERT_TRUE(Train(*NewSession(), *task_, options).ok());
  std::string text = CompareRuns({root_ + "/one", root_ + "/two/"}).value();
  EXPECT_NE(text.find("best held-out (step)"), std::string::npos) << text;
  EXPECT_NE(text.find("\n" + root_ + "/two  "), std::string::npos) << text;
  EXPECT_NE(text.find("\n20  "), std::string::npos) << text;
  EXPECT_FALSE(CompareRuns({root_ + "/three"}).ok());
}

TEST(Metrics, LinesHoldTheKeysInOrderAndTheBits) {
  MetricsRecord record{3, "train", 0.1f, {}, {}, 1.5, 1e-3, 480, 1000, 0.25};
  std::string line = MetricsLine(record);
  EXPECT_EQ(line,
            R"({"step":3,"split":"train","loss":0.10000000149011612,"gradient_norm":1.5,)"
            R"("learning_rate":0.001,"tokens":480,"tokens_per_second":1000.0,"seconds":0.25})");
  EXPECT_EQ(ParseMetricsLine(line)->loss, record.loss);
  EXPECT_FALSE(ParseMetricsLine("{}"));
  EXPECT_FALSE(ParseMetricsLine("{\"step\": 3"));
}

}  // namespace
}  // namespace weir::runtime
