#include "runtime/program/session.h"

#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/testing/toy_program.h"

namespace weir::runtime {
namespace {

class SessionTest : public testing::Test {
 protected:
  SessionTest() : device_(CpuDevice::Create({}).value()) {
    session_ = Session::Create(ToyProgram(2, 3, 4), *device_, {2}).value();
  }
  HostTensor Ids(std::vector<int32_t> values, const std::string& name) {
    HostTensor tensor({name, ElementType::kI32, {2, 3}});
    for (size_t i = 0; i < values.size(); ++i) tensor.As<int32_t>()[i] = values[i];
    return tensor;
  }

  std::unique_ptr<CpuDevice> device_;
  std::unique_ptr<Session> session_;
  std::vector<HostTensor> outputs_;
};

TEST_F(SessionTest, RunsEntryPointsOverSharedVariables) {
  HostTensor weight({"bigram.weight", ElementType::kF32, {4, 4}});
  ASSERT_TRUE(session_->WriteVariable("bigram.weight", weight).ok());
  std::vector<HostTensor> batch = {Ids({0, 1, 2, 3, 0, 1}, "tokens"),
                                   Ids({1, 2, 3, 0, 1, -1}, "targets")};
  ASSERT_TRUE(session_->Run("eval", batch, &outputs_).ok());
  EXPECT_EQ(outputs_[0].spec().name, "loss");
  EXPECT_NEAR(outputs_[0].Number(0), 5 * std::log(4.0), 1e-5);
  EXPECT_EQ(outputs_[2].As<int64_t>()[0], 5);
  double before = outputs_[0].Number(0);
  std::vector<HostTensor> train_outputs;
  ASSERT_TRUE(session_->Run("train_step", batch, &train_outputs).ok());
  EXPECT_NEAR(train_outputs[0].Number(0), std::log(4.0), 1e-5);
  EXPECT_EQ(session_->ReadVariable("rng").value().As<int64_t>()[1], 1);
  ASSERT_TRUE(session_->Run("eval", batch, &outputs_).ok());
  EXPECT_LT(outputs_[0].Number(0), before);
}

TEST_F(SessionTest, ObserversReadWhatALaunchWrote) {
  HostTensor weight({"bigram.weight", ElementType::kF32, {4, 4}});
  ASSERT_TRUE(session_->WriteVariable("bigram.weight", weight).ok());
  float loss = 0;
  absl::Status out_of_range;
  session_->SetObserver([&](const LaunchTime& time) {
    auto bytes = absl::MakeSpan(reinterpret_cast<char*>(&loss), sizeof(loss));
    EXPECT_TRUE(session_->ReadBuffer(time.entry_point, time.launch, 4, bytes).ok());
    out_of_range = session_->ReadBuffer(time.entry_point, time.launch, 100, bytes);
  });
  std::vector<HostTensor> batch = {Ids({0, 1, 2, 3, 0, 1}, "tokens"),
                                   Ids({1, 2, 3, 0, 1, -1}, "targets")};
  ASSERT_TRUE(session_->Run("eval", batch, &outputs_).ok());
  EXPECT_EQ(loss, outputs_[0].Number(0));
  EXPECT_EQ(out_of_range.message(), "'eval' has no buffer 100 of launch 0");
  EXPECT_EQ(session_->ReadBuffer("init", 0, 0, {}).message(), "'init' hasn't run");
}

TEST_F(SessionTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(session_->Run("step", {}, &outputs_).message(),
            "the program has no entry point 'step'");
  EXPECT_EQ(session_->Run("eval", {}, &outputs_).message(), "'eval' has 2 inputs; it was given 0");
  std::vector<HostTensor> wrong = {Ids({}, "tokens"),
                                   HostTensor({"targets", ElementType::kI64, {2, 3}})};
  EXPECT_EQ(session_->Run("eval", wrong, &outputs_).message(),
            "'eval' wants targets: tensor<2x3xi32> as input 1, not targets: tensor<2x3xi64>");
  EXPECT_EQ(session_->ReadVariable("bias").status().message(),
            "the program has no variable 'bias'");
  EXPECT_EQ(session_->WriteVariable("rng", wrong[1]).message(),
            "the program wants rng: tensor<2xi64>, not targets: tensor<2x3xi64>");
  EXPECT_FALSE(Session::Create(ToyProgram(2, 3, 4), *device_, {-1}).ok());
}

TEST_F(SessionTest, PoisonShowsWhatIsReadUnwritten) {
  ASSERT_TRUE(session_->Run("unwritten", {}, &outputs_).ok());
  EXPECT_EQ(outputs_[0].Number(2), 0);
  auto poisoned = Session::Create(ToyProgram(2, 3, 4), *device_, {2, /*poison=*/true}).value();
  for (int run = 0; run < 2; ++run) {
    ASSERT_TRUE(poisoned->Run("unwritten", {}, &outputs_).ok());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(outputs_[0].Number(i))) << i;
  }
  // What is computed stays as it is.
  std::vector<HostTensor> batch = {Ids({0, 1, 2, 3, 0, 1}, "tokens"),
                                   Ids({1, 2, 3, 0, 1, -1}, "targets")};
  ASSERT_TRUE(poisoned->Run("train_step", batch, &outputs_).ok());
  EXPECT_NEAR(outputs_[0].Number(0), std::log(4.0), 1e-5);
}

TEST_F(SessionTest, SharingSessionsHaveTheSameParametersAndStatesOfTheirOwn) {
  auto other = Session::CreateSharing(*session_, {1}).value();
  EXPECT_EQ(other->threads(), 1);
  EXPECT_LT(other->own_memory_bytes(), other->memory_bytes());
  HostTensor rng({"rng", ElementType::kI64, {2}});
  rng.As<int64_t>()[0] = 7;
  ASSERT_TRUE(session_->WriteVariable("rng", rng).ok());
  ASSERT_TRUE(session_->Run("init", {}, &outputs_).ok());
  EXPECT_EQ(other->ReadVariable("rng").value().Number(0), 0);
  EXPECT_NE(session_->ReadVariable("bigram.weight").value().Number(0), 0);
  EXPECT_EQ(other->ReadVariable("bigram.weight").value().bytes(),
            session_->ReadVariable("bigram.weight").value().bytes());
  std::vector<HostTensor> batch = {Ids({0, 1, 2, 3, 0, 1}, "tokens"),
                                   Ids({1, 2, 3, 0, 1, -1}, "targets")};
  ASSERT_TRUE(session_->Run("eval", batch, &outputs_).ok());
  double loss = outputs_[0].Number(0);
  // What is shared stays when the first session goes.
  session_.reset();
  ASSERT_TRUE(other->Run("eval", batch, &outputs_).ok());
  EXPECT_EQ(outputs_[0].Number(0), loss);
  EXPECT_FALSE(Session::CreateSharing(*other, {-1}).ok());
}

TEST_F(SessionTest, SharingSessionsRunAtOnce) {
  ASSERT_TRUE(session_->Run("init", {}, &outputs_).ok());
  auto run = [&](int thread) {
    auto session = Session::CreateSharing(*session_, {thread}).value();
    std::vector<HostTensor> batch = {Ids({0, 1, 2, 3, 0, thread}, "tokens"),
                                     Ids({1, 2, 3, 0, 1, -1}, "targets")};
    std::vector<HostTensor> outputs;
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(session->Run("threads", {}, &outputs).ok());
      ASSERT_EQ(outputs[0].As<int64_t>()[0], thread);
      ASSERT_TRUE(session->Run("eval", batch, &outputs).ok());
      ASSERT_EQ(outputs[2].As<int64_t>()[0], 5);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i <= 3; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(SessionTest, ObserverSeesEveryLaunch) {
  std::vector<std::string> seen;
  session_->SetObserver([&](const LaunchTime& time) {
    EXPECT_GE(time.seconds, 0);
    seen.push_back(std::string(time.entry_point) + "/" + std::string(time.kernel));
  });
  ASSERT_TRUE(session_->Run("init", {}, &outputs_).ok());
  EXPECT_EQ(seen, std::vector<std::string>{"init/toy_init"});
}

}  // namespace
}  // namespace weir::runtime
