// write_toy_program FOLDER: files for tests that aren't in C++.
//   toy.weir        ToyStreamProgram of batch 2, prefill size 4 and a vocabulary of 5
//   single.weir     the same for batch 1, without prefill
//   train.weir      ToyProgram, which is for training
//   truncated.weir  the first half of toy.weir
//   amx.weir        toy.weir with code for AMX only, which is none
//   a.safetensors, b.safetensors  two sets of parameters
#include <string>

#include "runtime/base/file.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/testing/toy_program.h"

namespace {

using namespace weir::runtime;

bool WriteParameters(const std::string& path, double factor) {
  HostTensor weight({"bigram.weight", ElementType::kF32, {5, 5}});
  for (int i = 0; i < 25; ++i) weight.SetNumber(i, factor * i);
  return WriteSafetensors(path, {weight}, {}).ok();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  Program program = ToyStreamProgram(2, 4, 5);
  program.metadata["author"] = "nobody";
  const std::string bytes = SerializeProgram(program);
  Program amx = program;
  amx.code[0].isa = "amx";
  bool ok =
      WriteFileAtomically(folder + "/toy.weir", {bytes}).ok() &&
      WriteFileAtomically(folder + "/truncated.weir", {bytes.substr(0, bytes.size() / 2)}).ok() &&
      SaveProgram(ToyStreamProgram(1, 0, 5), folder + "/single.weir").ok() &&
      SaveProgram(ToyProgram(2, 3, 4), folder + "/train.weir").ok() &&
      SaveProgram(amx, folder + "/amx.weir").ok() &&
      WriteParameters(folder + "/a.safetensors", 1) &&
      WriteParameters(folder + "/b.safetensors", 1.5);
  return ok ? 0 : 1;
}
