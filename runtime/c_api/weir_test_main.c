/* The C interface from C: two sessions on one program, states to files and back, every error. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/c_api/weir.h"

enum { kBatch = 2, kVocabulary = 5, kTokens = 11 };

static int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ++failures;                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (0)

#define CHECK_OK(call)                                                                  \
  do {                                                                                  \
    if ((call) != WEIR_OK) {                                                            \
      ++failures;                                                                       \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, weir_last_error()); \
    }                                                                                   \
  } while (0)

/* That the call fails with `status` and a message that holds `part`. */
#define CHECK_ERROR(call, status, part)                                                            \
  do {                                                                                             \
    weir_status got = (call);                                                                      \
    if (got != (status) || strstr(weir_last_error(), (part)) == NULL) {                            \
      ++failures;                                                                                  \
      fprintf(stderr, "%s:%d: %s: %d, '%s'\n", __FILE__, __LINE__, #call, got, weir_last_error()); \
    }                                                                                              \
  } while (0)

static weir_program* load(const char* path, const char* parameters) {
  weir_program* program = NULL;
  CHECK_OK(weir_program_load(path, NULL, &program));
  if (parameters != NULL) CHECK_OK(weir_program_load_parameters(program, parameters));
  return program;
}

static weir_session* open_session(const weir_program* program) {
  weir_session_options options = {sizeof options, 1};
  weir_session* session = NULL;
  CHECK_OK(weir_session_create(program, &options, &session));
  return session;
}

/* Row `row`'s token at `place` of stream `stream`. */
static int32_t token(int stream, int row, int place) {
  return (place * 3 + row + stream * 2) % kVocabulary;
}

/* Single steps from `begin` on; outputs [time][batch][vocabulary]. */
static void steps(weir_session* session, int stream, int begin, int count, float* outputs) {
  int t, row;
  for (t = 0; t < count; ++t) {
    int32_t tokens[kBatch];
    weir_const_buffer in = {tokens, sizeof tokens};
    weir_buffer out;
    for (row = 0; row < kBatch; ++row) tokens[row] = token(stream, row, begin + t);
    out.data = outputs + t * kBatch * kVocabulary;
    out.bytes = kBatch * kVocabulary * sizeof(float);
    CHECK_OK(weir_session_step(session, &in, 1, &out, 1));
  }
}

static void test_description(const weir_program* program) {
  weir_tensor_info info = {sizeof info, NULL, 0, 0, NULL, 0};
  CHECK(weir_api_version() >= WEIR_API_VERSION);
  CHECK(strcmp(weir_program_isa(program), "avx2") == 0);
  CHECK(strcmp(weir_program_metadata(program, "author"), "nobody") == 0);
  CHECK(weir_program_metadata(program, "title") == NULL);
  CHECK(weir_program_batch(program) == kBatch);
  CHECK(weir_program_prefill_size(program) == 4);
  CHECK(weir_program_state_bytes(program) == kBatch * kVocabulary * 4 + 8);
  CHECK(weir_program_input_count(program) == 1);
  CHECK(weir_program_output_count(program) == 1);
  CHECK_OK(weir_program_input(program, 0, &info));
  CHECK(strcmp(info.name, "tokens") == 0);
  CHECK(info.type == WEIR_I32 && info.rank == 2 && info.bytes == kBatch * 4);
  CHECK(info.shape[0] == kBatch && info.shape[1] == 1);
  /* A caller that knows the struct up to `type` only. */
  memset(&info, 0, sizeof info);
  info.struct_size = offsetof(weir_tensor_info, rank);
  CHECK_OK(weir_program_output(program, 0, &info));
  CHECK(strcmp(info.name, "output") == 0 && info.type == WEIR_F32 && info.rank == 0);
  CHECK(info.struct_size == offsetof(weir_tensor_info, rank));
  CHECK_ERROR(weir_program_input(program, 1, &info), WEIR_INVALID_ARGUMENT, "no input 1");
  CHECK_ERROR(weir_program_output(program, 0, NULL), WEIR_INVALID_ARGUMENT, "is NULL");
  info.struct_size = 1;
  CHECK_ERROR(weir_program_output(program, 0, &info), WEIR_INVALID_ARGUMENT, "struct_size");
}

/* Two streams side by side are the two streams one after the other; so is prefill. */
static void test_sessions(const weir_program* program) {
  float alone[2][kTokens][kBatch][kVocabulary], together[2][kTokens][kBatch][kVocabulary];
  float all[kBatch][kTokens][kVocabulary], last[kBatch][kVocabulary];
  int32_t prompt[kBatch][kTokens];
  weir_const_buffer in = {prompt, sizeof prompt};
  weir_buffer all_out = {all, sizeof all}, last_out = {last, sizeof last};
  weir_session* sessions[2];
  int s, t, row;
  for (s = 0; s < 2; ++s) {
    sessions[s] = open_session(program);
    steps(sessions[s], s, 0, kTokens, &alone[s][0][0][0]);
    CHECK_OK(weir_session_reset(sessions[s]));
    CHECK(weir_session_position(sessions[s]) == 0);
  }
  for (t = 0; t < kTokens; ++t) {
    for (s = 0; s < 2; ++s) steps(sessions[s], s, t, 1, &together[s][t][0][0]);
  }
  CHECK(memcmp(alone, together, sizeof alone) == 0);
  CHECK(memcmp(alone[0], alone[1], sizeof alone[0]) != 0);
  CHECK(weir_session_position(sessions[0]) == kTokens);

  for (row = 0; row < kBatch; ++row) {
    for (t = 0; t < kTokens; ++t) prompt[row][t] = token(1, row, t);
  }
  CHECK_OK(weir_session_reset(sessions[0]));
  CHECK_OK(weir_session_prefill(sessions[0], kTokens, &in, 1, WEIR_ALL_OUTPUTS, &all_out, 1));
  CHECK_OK(weir_session_reset(sessions[0]));
  CHECK_OK(weir_session_prefill(sessions[0], kTokens, &in, 1, 0, &last_out, 1));
  for (row = 0; row < kBatch; ++row) {
    for (t = 0; t < kTokens; ++t) {
      CHECK(memcmp(all[row][t], alone[1][t][row], sizeof all[row][t]) == 0);
    }
    CHECK(memcmp(last[row], alone[1][kTokens - 1][row], sizeof last[row]) == 0);
  }
  /* Outputs that nobody needs. */
  CHECK_OK(weir_session_prefill(sessions[0], kTokens, &in, 1, 0, NULL, 0));
  CHECK(weir_session_position(sessions[0]) == 2 * kTokens);
  for (s = 0; s < 2; ++s) weir_session_free(sessions[s]);
}

static void test_states(const weir_program* program) {
  float expected[5][kBatch][kVocabulary], got[5][kBatch][kVocabulary];
  float ignored[7][kBatch][kVocabulary];
  weir_session *session = open_session(program), *other;
  weir_program *again = load("toy.weir", "a.safetensors"),
               *trained = load("toy.weir", "b.safetensors");
  weir_program* single = load("single.weir", "a.safetensors");
  steps(session, 0, 0, 7, &ignored[0][0][0]);
  CHECK_OK(weir_session_save_state(session, "state.safetensors"));
  steps(session, 0, 7, 5, &expected[0][0][0]);

  other = open_session(again);
  CHECK_OK(weir_session_load_state(other, "state.safetensors"));
  CHECK(weir_session_position(other) == 7);
  steps(other, 0, 7, 5, &got[0][0][0]);
  CHECK(memcmp(expected, got, sizeof got) == 0);
  CHECK_ERROR(weir_session_load_state(other, "absent"), WEIR_NOT_FOUND, "cannot open 'absent'");
  CHECK_ERROR(weir_session_load_state(other, "a.safetensors"), WEIR_FAILED_PRECONDITION,
              "this is no file of states");
  CHECK_ERROR(weir_session_load_state(other, "toy.weir"), WEIR_INVALID_ARGUMENT, "toy.weir: ");
  CHECK_ERROR(weir_session_load_state(other, NULL), WEIR_INVALID_ARGUMENT, "the path is NULL");
  CHECK_ERROR(weir_session_save_state(other, "no/such/folder"), WEIR_NOT_FOUND, "no/such/folder");
  CHECK(weir_session_position(other) == 12);
  weir_session_free(other);

  other = open_session(trained);
  CHECK_ERROR(weir_session_load_state(other, "state.safetensors"), WEIR_FAILED_PRECONDITION,
              "made with other parameters");
  weir_session_free(other);
  other = open_session(single);
  CHECK_ERROR(weir_session_load_state(other, "state.safetensors"), WEIR_FAILED_PRECONDITION,
              "holds sum: tensor<2x5xf32>; the program has sum: tensor<1x5xf32>");
  weir_session_free(other);
  weir_session_free(session);
  weir_program_free(again);
  weir_program_free(trained);
  weir_program_free(single);
}

static void test_loading(void) {
  weir_program* program = (weir_program*)&program;
  weir_program_options options = {sizeof options, NULL, NULL};
  weir_session* session = NULL;
  char* bytes = malloc(1 << 20);
  size_t size;
  FILE* file;
  CHECK_ERROR(weir_program_load("absent", NULL, &program), WEIR_NOT_FOUND, "cannot open 'absent'");
  CHECK(program == NULL);
  CHECK_ERROR(weir_program_load("truncated.weir", NULL, &program), WEIR_DATA_LOSS,
              "truncated.weir: ");
  CHECK_ERROR(weir_program_load("a.safetensors", NULL, &program), WEIR_INVALID_ARGUMENT,
              "a.safetensors: ");
  CHECK_ERROR(weir_program_load("train.weir", NULL, &program), WEIR_FAILED_PRECONDITION,
              "no entry point 'step'");
  CHECK_ERROR(weir_program_load(NULL, NULL, &program), WEIR_INVALID_ARGUMENT, "the path is NULL");
  CHECK_ERROR(weir_program_load("toy.weir", NULL, NULL), WEIR_INVALID_ARGUMENT, "is NULL");
  options.isa = "sse";
  CHECK_ERROR(weir_program_load("toy.weir", &options, &program), WEIR_INVALID_ARGUMENT, "'sse'");
  options.isa = NULL;
  options.machine_isa = "avx2";
  CHECK_ERROR(weir_program_load("amx.weir", &options, &program), WEIR_NOT_FOUND,
              "the program has code for amx; this machine runs avx2");
  options.struct_size = 3;
  CHECK_ERROR(weir_program_load("toy.weir", &options, &program), WEIR_INVALID_ARGUMENT,
              "struct_size");

  file = fopen("toy.weir", "rb");
  size = fread(bytes, 1, 1 << 20, file);
  fclose(file);
  CHECK_ERROR(weir_program_load_bytes(bytes, size - 1, NULL, &program), WEIR_DATA_LOSS,
              "program in memory: ");
  CHECK_ERROR(weir_program_load_bytes(NULL, 0, NULL, &program), WEIR_INVALID_ARGUMENT, "NULL");
  CHECK_OK(weir_program_load_bytes(bytes, size, NULL, &program));
  memset(bytes, 0, size);

  CHECK_ERROR(weir_session_create(program, NULL, &session), WEIR_FAILED_PRECONDITION,
              "parameters weren't loaded");
  CHECK(session == NULL);
  CHECK_ERROR(weir_program_load_parameters(program, "absent"), WEIR_NOT_FOUND, "'absent'");
  CHECK_ERROR(weir_program_load_parameters(program, NULL), WEIR_INVALID_ARGUMENT, "NULL");
  CHECK_ERROR(weir_program_load_parameters(NULL, "a.safetensors"), WEIR_INVALID_ARGUMENT, "NULL");
  CHECK_OK(weir_program_init_parameters(program, 7));
  CHECK_OK(weir_session_create(program, NULL, &session));
  weir_session_free(session);
  CHECK_ERROR(weir_session_create(NULL, NULL, &session), WEIR_INVALID_ARGUMENT, "NULL");
  CHECK_ERROR(weir_session_create(program, NULL, NULL), WEIR_INVALID_ARGUMENT, "NULL");
  {
    weir_session_options negative = {sizeof negative, -1};
    CHECK_ERROR(weir_session_create(program, &negative, &session), WEIR_INVALID_ARGUMENT, "-1");
  }
  weir_program_free(program);
  free(bytes);
}

static void test_calls(const weir_program* program) {
  int32_t tokens[2 * kBatch] = {0};
  float outputs[kBatch * kVocabulary];
  weir_const_buffer in = {tokens, kBatch * sizeof tokens[0]};
  weir_buffer out = {outputs, sizeof outputs}, small = {outputs, 4}, null = {NULL, sizeof outputs};
  weir_session* session = open_session(program);
  CHECK_ERROR(weir_session_step(session, &in, 2, &out, 1), WEIR_INVALID_ARGUMENT,
              "has 1 inputs; there are buffers for 2");
  CHECK_ERROR(weir_session_step(session, NULL, 1, &out, 1), WEIR_INVALID_ARGUMENT, "is NULL");
  CHECK_ERROR(weir_session_step(session, &in, 1, &out, 2), WEIR_INVALID_ARGUMENT, "1 outputs");
  CHECK_ERROR(weir_session_step(session, &in, 1, &small, 1), WEIR_INVALID_ARGUMENT,
              "output 0 (output: tensor<2x1x5xf32>) of 1 tokens needs 40 bytes");
  CHECK_ERROR(weir_session_step(session, &in, 1, &null, 1), WEIR_INVALID_ARGUMENT, "is NULL");
  CHECK_ERROR(weir_session_step(NULL, &in, 1, &out, 1), WEIR_INVALID_ARGUMENT, "session is NULL");
  CHECK_ERROR(weir_session_reset(NULL), WEIR_INVALID_ARGUMENT, "session is NULL");
  CHECK_ERROR(weir_session_prefill(session, 0, &in, 1, 0, &out, 1), WEIR_INVALID_ARGUMENT,
              "can't be 0");
  CHECK_ERROR(weir_session_prefill(session, 2, &in, 1, 0, &out, 1), WEIR_INVALID_ARGUMENT,
              "input 0 (tokens: tensor<2x1xi32>) of 2 tokens");
  CHECK_ERROR(weir_session_prefill(session, 1, &in, 1, 8, &out, 1), WEIR_INVALID_ARGUMENT, "flag");
  in.bytes = sizeof tokens;
  CHECK_ERROR(weir_session_prefill(session, INT64_MAX, &in, 1, 0, &out, 1), WEIR_INVALID_ARGUMENT,
              "of 9223372036854775807 tokens");
  CHECK_ERROR(weir_session_prefill(session, 2, &in, 1, WEIR_ALL_OUTPUTS, &out, 1),
              WEIR_INVALID_ARGUMENT, "output 0");
  CHECK(weir_session_position(session) == 0);
  weir_session_free(session);

  /* NULL is nothing. */
  weir_session_free(NULL);
  weir_program_free(NULL);
  CHECK(weir_session_position(NULL) == 0 && weir_program_batch(NULL) == 0);
  CHECK(weir_program_isa(NULL) == NULL && weir_program_metadata(NULL, "author") == NULL);
  CHECK(weir_program_metadata(program, NULL) == NULL && weir_program_input_count(NULL) == 0);
  CHECK(weir_program_output_count(NULL) == 0 && weir_program_prefill_size(NULL) == 0);
  CHECK(weir_program_state_bytes(NULL) == 0);
}

/* A thread with a session of its own. */
typedef struct {
  const weir_program* program;
  int stream, wrong;
  float expected[kTokens][kBatch][kVocabulary];
} Work;

static void* work(void* argument) {
  Work* own = argument;
  weir_session* session = open_session(own->program);
  int run;
  own->wrong = weir_last_error()[0] != '\0'; /* errors of other threads aren't this one's */
  for (run = 0; run < 50; ++run) {
    float outputs[kTokens][kBatch][kVocabulary];
    if (weir_session_reset(session) != WEIR_OK) ++own->wrong;
    steps(session, own->stream, 0, kTokens, &outputs[0][0][0]);
    if (memcmp(outputs, own->expected, sizeof outputs) != 0) ++own->wrong;
  }
  weir_session_free(session);
  return NULL;
}

static void test_threads(const weir_program* program) {
  pthread_t threads[4];
  static Work works[4];
  int i;
  CHECK(weir_last_error()[0] != '\0');
  for (i = 0; i < 4; ++i) {
    weir_session* session = open_session(program);
    works[i].program = program;
    works[i].stream = i;
    steps(session, i, 0, kTokens, &works[i].expected[0][0][0]);
    weir_session_free(session);
  }
  for (i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, work, &works[i]) == 0);
  for (i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(works[i].wrong == 0);
  }
}

/*
 * Prefills that take a while, from many threads on one session: each is done whole or refused. The
 * parameters can't change while one runs.
 */
typedef struct {
  weir_program* program;
  weir_session* session;
  int done, busy, other;
} Contest;

enum { kLong = 20000 };

static void* contest(void* argument) {
  Contest* own = argument;
  int32_t* tokens = calloc(kBatch * kLong, sizeof *tokens);
  weir_const_buffer in;
  int run;
  in.data = tokens;
  in.bytes = kBatch * kLong * sizeof *tokens;
  for (run = 0; run < 20; ++run) {
    weir_status status = own->session != NULL
                             ? weir_session_prefill(own->session, kLong, &in, 1, 0, NULL, 0)
                             : weir_program_load_parameters(own->program, "a.safetensors");
    if (status == WEIR_OK)
      ++own->done;
    else if (status == WEIR_BUSY)
      ++own->busy;
    else
      ++own->other;
  }
  free(tokens);
  return NULL;
}

static void test_busy(weir_program* program) {
  weir_session* session = open_session(program);
  pthread_t threads[3];
  Contest contests[3];
  int i, prefills = 0;
  for (i = 0; i < 3; ++i) {
    Contest one = {NULL, NULL, 0, 0, 0};
    one.program = program;
    one.session = i < 2 ? session : NULL;
    contests[i] = one;
  }
  for (i = 0; i < 3; ++i) CHECK(pthread_create(&threads[i], NULL, contest, &contests[i]) == 0);
  for (i = 0; i < 3; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(contests[i].other == 0);
    CHECK(contests[i].done + contests[i].busy == 20);
    if (i < 2) prefills += contests[i].done;
  }
  CHECK(weir_session_position(session) == (int64_t)prefills * kLong);
  weir_session_free(session);
}

/* A session outlives the program's handle. */
static void test_lifetimes(void) {
  weir_program* program = load("toy.weir", "a.safetensors");
  weir_session* session = open_session(program);
  float outputs[1][kBatch][kVocabulary];
  weir_program_free(program);
  steps(session, 0, 0, 1, &outputs[0][0][0]);
  CHECK(weir_session_position(session) == 1);
  weir_session_free(session);
}

int main(void) {
  weir_program* program = load("toy.weir", "a.safetensors");
  CHECK(weir_last_error()[0] == '\0');
  test_description(program);
  test_sessions(program);
  test_states(program);
  test_loading();
  test_calls(program);
  test_threads(program);
  test_busy(program);
  test_lifetimes();
  weir_program_free(program);
  if (failures > 0) fprintf(stderr, "%d checks failed\n", failures);
  return failures > 0;
}
