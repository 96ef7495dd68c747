// The flags of all subcommands; which of them a subcommand takes, it says itself.

#ifndef WEIR_COMPILER_DRIVER_FLAGS_H_
#define WEIR_COMPILER_DRIVER_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"

ABSL_DECLARE_FLAG(std::vector<std::string>, set);
ABSL_DECLARE_FLAG(std::vector<std::string>, plugin);
ABSL_DECLARE_FLAG(std::string, experiment);
ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(int64_t, steps);
ABSL_DECLARE_FLAG(int64_t, seed);
ABSL_DECLARE_FLAG(int, threads);
ABSL_DECLARE_FLAG(std::string, data);
ABSL_DECLARE_FLAG(std::string, out);
ABSL_DECLARE_FLAG(bool, resume);
ABSL_DECLARE_FLAG(bool, quiet);
ABSL_DECLARE_FLAG(bool, profile);
ABSL_DECLARE_FLAG(bool, timing);
ABSL_DECLARE_FLAG(std::string, cache);
ABSL_DECLARE_FLAG(std::string, isa);
ABSL_DECLARE_FLAG(std::string, matrix_chunk);
ABSL_DECLARE_FLAG(std::string, checkpoint);
ABSL_DECLARE_FLAG(std::string, params);
ABSL_DECLARE_FLAG(std::string, inputs);
ABSL_DECLARE_FLAG(std::string, outputs);
ABSL_DECLARE_FLAG(std::string, gradients);
ABSL_DECLARE_FLAG(std::string, precision);
ABSL_DECLARE_FLAG(std::string, stop_after);
ABSL_DECLARE_FLAG(std::string, emit);
ABSL_DECLARE_FLAG(std::string, entry);
ABSL_DECLARE_FLAG(std::string, kernel);
ABSL_DECLARE_FLAG(int64_t, batch);
ABSL_DECLARE_FLAG(int64_t, length);
ABSL_DECLARE_FLAG(int64_t, features);
ABSL_DECLARE_FLAG(std::string, only);
ABSL_DECLARE_FLAG(std::string, device);
ABSL_DECLARE_FLAG(bool, memory);
ABSL_DECLARE_FLAG(bool, tasks);
ABSL_DECLARE_FLAG(std::vector<std::string>, prompt);
ABSL_DECLARE_FLAG(std::string, prompt_file);
ABSL_DECLARE_FLAG(int64_t, tokens);
ABSL_DECLARE_FLAG(double, temperature);
ABSL_DECLARE_FLAG(int64_t, top_k);
ABSL_DECLARE_FLAG(double, top_p);
ABSL_DECLARE_FLAG(int64_t, samples);
ABSL_DECLARE_FLAG(int64_t, context);
ABSL_DECLARE_FLAG(int64_t, chunk);
ABSL_DECLARE_FLAG(bool, segments);
ABSL_DECLARE_FLAG(int64_t, warmup);
ABSL_DECLARE_FLAG(int64_t, repeats);
ABSL_DECLARE_FLAG(std::string, clock);
ABSL_DECLARE_FLAG(bool, kernels);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(std::string, trace);
ABSL_DECLARE_FLAG(std::string, state);
ABSL_DECLARE_FLAG(std::string, save_state);

namespace weir {

/// Abseil counts a flag as given once it is set; so do we.
bool isGiven(const char* flag);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_FLAGS_H_
