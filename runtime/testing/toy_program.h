#ifndef WEIR_RUNTIME_TESTING_TOY_PROGRAM_H_
#define WEIR_RUNTIME_TESTING_TOY_PROGRAM_H_

#include <cstdint>

#include "runtime/program/program.h"

namespace weir::runtime {

// A program as the compiler would make it, with kernels written by hand (toy_kernels.c): a bigram
// model with the entry points `init`, `train_step`, `eval`; `threads`, which gives the number of
// threads a kernel sees; and `unwritten`, which gives what arena, shared scratch and its own output
// held before it ran. At most 256 tokens in the vocabulary. Aborts if the kernels' file isn't
// among the test's data.
Program ToyProgram(int64_t batch, int64_t length, int64_t vocabulary);

// The same for a stream: the entry points `init`, `reset`, `step` and, if `chunk` isn't 0,
// `prefill`, with the states `state.sum` and `state.stream.start` and the output `output`.
Program ToyStreamProgram(int64_t batch, int64_t chunk, int64_t vocabulary);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TESTING_TOY_PROGRAM_H_
