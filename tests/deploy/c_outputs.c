/*
 * c_outputs PROGRAM PARAMETERS TOKENS LENGTH SPLIT OUT: the outputs of all tokens through the C
 * interface. TOKENS are raw i32, batch x LENGTH. The first SPLIT are read by single steps of one
 * session, and its state goes by a file to a second one, which reads the rest at once. OUT: raw
 * f32, first part (time x batch x ...), then second (batch x time x ...).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir.h"

#define CHECK(call)                                          \
  do {                                                       \
    if ((call) != WEIR_OK) {                                 \
      fprintf(stderr, "%s: %s\n", #call, weir_last_error()); \
      return 1;                                              \
    }                                                        \
  } while (0)

int main(int argc, char** argv) {
  weir_program* program;
  weir_session *first, *second;
  weir_tensor_info info = {sizeof info, NULL, 0, 0, NULL, 0};
  weir_const_buffer in;
  weir_buffer out;
  int64_t batch, length, split, t, row;
  int32_t *tokens, *piece;
  FILE *source, *target;
  if (argc != 7) return 2;
  CHECK(weir_program_load(argv[1], NULL, &program));
  CHECK(weir_program_load_parameters(program, argv[2]));
  CHECK(weir_session_create(program, NULL, &first));
  CHECK(weir_session_create(program, NULL, &second));
  CHECK(weir_program_output(program, 0, &info));
  batch = weir_program_batch(program);
  length = atoll(argv[4]);
  split = atoll(argv[5]);
  tokens = malloc(batch * length * sizeof *tokens);
  piece = malloc(batch * length * sizeof *piece);
  out.data = malloc(info.bytes * length);
  source = fopen(argv[3], "rb");
  target = fopen(argv[6], "wb");
  if (source == NULL || target == NULL ||
      fread(tokens, sizeof *tokens, batch * length, source) != (size_t)(batch * length)) {
    return 2;
  }
  in.data = piece;
  in.bytes = batch * sizeof *piece;
  out.bytes = info.bytes;
  for (t = 0; t < split; ++t) {
    for (row = 0; row < batch; ++row) piece[row] = tokens[row * length + t];
    CHECK(weir_session_step(first, &in, 1, &out, 1));
    fwrite(out.data, 1, out.bytes, target);
  }
  CHECK(weir_session_save_state(first, "c_outputs.state"));
  CHECK(weir_session_load_state(second, "c_outputs.state"));
  for (row = 0; row < batch; ++row) {
    memcpy(piece + row * (length - split), tokens + row * length + split,
           (length - split) * sizeof *piece);
  }
  in.bytes = batch * (length - split) * sizeof *piece;
  out.bytes = info.bytes * (length - split);
  CHECK(weir_session_prefill(second, length - split, &in, 1, WEIR_ALL_OUTPUTS, &out, 1));
  fwrite(out.data, 1, out.bytes, target);
  if (weir_session_position(second) != length) return 2;
  fclose(source);
  fclose(target);
  free(tokens);
  free(piece);
  free(out.data);
  weir_session_free(first);
  weir_session_free(second);
  weir_program_free(program);
  return 0;
}
