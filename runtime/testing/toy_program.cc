#include "runtime/testing/toy_program.h"

#include <string>

#include "runtime/base/file.h"

namespace weir::runtime {

Program ToyProgram(int64_t batch, int64_t length, int64_t vocabulary) {
  Program program;
  program.kernels = {"toy_init", "toy_train_step", "toy_eval", "toy_threads", "toy_unwritten"};
  TensorSpec weight{"bigram.weight", ElementType::kF32, {vocabulary, vocabulary}};
  TensorSpec momentum = weight;
  momentum.name = "optimizer.m.bigram.weight";
  program.variables = {{weight, Role::kParameter},
                       {momentum, Role::kOptimizer},
                       {{"rng", ElementType::kI64, {2}}, Role::kCounter}};
  int64_t sizes[] = {batch, length, vocabulary};
  program.constants = {std::string(reinterpret_cast<const char*>(sizes), sizeof(sizes))};

  auto variable = [](int64_t i) { return BufferRef{Space::kVariable, i, 0}; };
  auto input = [](int64_t i) { return BufferRef{Space::kInput, i, 0}; };
  auto output = [](int64_t i) { return BufferRef{Space::kOutput, i, 0}; };
  BufferRef size{Space::kConstant, 0, 0};
  std::vector<TensorSpec> batch_specs = {{"tokens", ElementType::kI32, {batch, length}},
                                         {"targets", ElementType::kI32, {batch, length}}};

  EntryPoint init;
  init.name = "init";
  init.launches = {{0, {variable(0), variable(1), variable(2), size}}};

  EntryPoint train;
  train.name = "train_step";
  train.inputs = batch_specs;
  train.outputs = {{"loss", ElementType::kF32, {}},
                   {"gradient_norm", ElementType::kF32, {}},
                   {"learning_rate", ElementType::kF32, {}},
                   {"correct", ElementType::kI64, {}},
                   {"count", ElementType::kI64, {}}};
  train.launches = {
      {1,
       {input(0), input(1), variable(0), variable(1), variable(2), size,
        BufferRef{Space::kArena, 0, 64}, output(0), output(1), output(2), output(3), output(4)}}};
  train.arena_bytes = 64 + weight.NumBytes();

  EntryPoint eval;
  eval.name = "eval";
  eval.inputs = batch_specs;
  eval.outputs = {{"loss", ElementType::kF32, {}},
                  {"correct", ElementType::kI64, {}},
                  {"count", ElementType::kI64, {}},
                  {"sequences_correct", ElementType::kI64, {}}};
  eval.launches = {
      {2, {input(0), input(1), variable(0), size, output(0), output(1), output(2), output(3)}}};

  EntryPoint threads;
  threads.name = "threads";
  threads.outputs = {{"threads", ElementType::kI64, {}}};
  threads.launches = {{3, {output(0), BufferRef{Space::kThreadScratch, 0, 0}}}};
  threads.thread_scratch_bytes = 8;

  EntryPoint unwritten;
  unwritten.name = "unwritten";
  unwritten.outputs = {{"read", ElementType::kF32, {3}}};
  unwritten.launches = {
      {4, {BufferRef{Space::kArena, 0, 0}, BufferRef{Space::kSharedScratch, 0, 0}, output(0)}}};
  unwritten.arena_bytes = unwritten.shared_scratch_bytes = 4;

  program.entry_points = {init, train, eval, threads, unwritten};
  program.code = {{"avx2", ReadFile("runtime/testing/toy_kernels.so").value()}};
  return program;
}

Program ToyStreamProgram(int64_t batch, int64_t chunk, int64_t vocabulary) {
  Program program = ToyProgram(batch, chunk, vocabulary);
  program.kernels = {"toy_init", "toy_reset", "toy_step", "toy_prefill"};
  const int64_t sum = program.variables.size(), start = sum + 1;
  program.variables.push_back(
      {{"state.sum", ElementType::kF32, {batch, vocabulary}}, Role::kState});
  program.variables.push_back({{"state.stream.start", ElementType::kI64, {}}, Role::kState});

  BufferRef size{Space::kConstant, 0, 0};
  BufferRef sum_ref{Space::kVariable, sum, 0}, start_ref{Space::kVariable, start, 0};
  EntryPoint init = *program.FindEntryPoint("init");
  EntryPoint reset;
  reset.name = "reset";
  reset.launches = {{1, {sum_ref, start_ref, size}}};
  auto reads = [&](const std::string& name, int32_t kernel, int64_t tokens) {
    EntryPoint entry;
    entry.name = name;
    entry.inputs = {{"tokens", ElementType::kI32, {batch, tokens}}};
    entry.outputs = {{"output", ElementType::kF32, {batch, tokens, vocabulary}}};
    entry.launches = {{kernel,
                       {BufferRef{Space::kInput, 0, 0}, BufferRef{Space::kVariable, 0, 0}, sum_ref,
                        start_ref, size, BufferRef{Space::kOutput, 0, 0}}}};
    return entry;
  };
  program.entry_points = {init, reset, reads("step", 2, 1)};
  if (chunk > 0) program.entry_points.push_back(reads("prefill", 3, chunk));
  return program;
}

}  // namespace weir::runtime
