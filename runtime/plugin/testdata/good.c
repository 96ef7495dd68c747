/* A plugin with one of everything, in C99 and with the public header alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plugin/weir_plugin.h"

static const WeirLayer decay = {sizeof(WeirLayer), "decay",
                                "// In a comment: weir.layer @not_this\n"
                                "weir.layer @decay(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {\n"
                                "  %d = weir.dim %x, feature\n"
                                "  %k = weir.linear %x, \"gate\" [%d] bias : tensor<?x?x?xf32>\n"
                                "  %a = weir.sigmoid %k : tensor<?x?x?xf32>\n"
                                "  %h, %last = weir.scan %a, %x : tensor<?x?x?xf32>\n"
                                "  weir.return %h : tensor<?x?x?xf32>\n"
                                "}\n",
                                "h_t = sigmoid(W x_t + b) h_{t-1} + x_t"};

/* y = 2 x, and its gradient: dx = 2 dy. */
static int32_t twice(const WeirKernelCall* call) {
  const WeirTensor* in = call->inputs[call->input_count - 1];
  const WeirTensor* out;
  int64_t count = 1, i;
  int32_t d;
  if (call->output_count != 1 || in->type != WEIR_F32) {
    if (call->error_size > 0) {
      strncpy(call->error, "twice: f32 in, one tensor out", call->error_size - 1);
      call->error[call->error_size - 1] = '\0';
    }
    return 1;
  }
  out = call->outputs[0];
  for (d = 0; d < in->rank; ++d) count *= in->shape[d];
  for (i = 0; i < count; ++i) ((float*)out->data)[i] = 2.0f * ((const float*)in->data)[i];
  return 0;
}
static const WeirKernel twice_kernel = {sizeof(WeirKernel), "twice", twice, "twice_vjp", NULL};
static const WeirKernel twice_vjp = {sizeof(WeirKernel), "twice_vjp", twice, NULL, NULL};

/* A task: count upwards from a random start, modulo the vocabulary; predict the next token. */
typedef struct Counting {
  int64_t length, vocabulary;
} Counting;

static int32_t create(const char* options, void** user, char* error, size_t error_size) {
  long long length = 8;
  Counting* task;
  if (options[0] != '\0' && sscanf(options, "length = %lld", &length) != 1) {
    snprintf(error, error_size, "unknown option in '%s'; known: length", options);
    return 1;
  }
  if (length < 1) {
    snprintf(error, error_size, "length must be at least 1, not %lld", length);
    return 1;
  }
  task = (Counting*)malloc(sizeof(Counting));
  if (task == NULL) return 1;
  task->length = length;
  task->vocabulary = 11;
  *user = task;
  return 0;
}
static int64_t vocabulary(void* user) { return ((const Counting*)user)->vocabulary; }
static int64_t length(void* user) { return ((const Counting*)user)->length; }
static int32_t fill(void* user, uint64_t seed, uint64_t index, int32_t* tokens, int32_t* targets) {
  const Counting* task = (const Counting*)user;
  const uint64_t modulus = (uint64_t)task->vocabulary;
  uint64_t start = (seed + index * 0x9E3779B97F4A7C15ull) ^ (seed << 7);
  int64_t t;
  start ^= start >> 29;
  for (t = 0; t < task->length; ++t) {
    tokens[t] = (int32_t)((start % modulus + (uint64_t)t) % modulus);
    targets[t] = t == 0 ? -1 : (int32_t)((start % modulus + (uint64_t)t + 1) % modulus);
  }
  return 0;
}
static const WeirTask counting = {sizeof(WeirTask),
                                  "counting",
                                  "Count upwards.",
                                  "length = 8",
                                  create,
                                  vocabulary,
                                  length,
                                  fill,
                                  free,
                                  NULL};

/* The same, packed: a sequence holds documents of 1 to 4 tokens, each of which counts from a start
 * of its own. */
static int32_t fill_packed(void* user, uint64_t seed, uint64_t index, int32_t* tokens,
                           int32_t* targets, int32_t* segments) {
  const Counting* task = (const Counting*)user;
  const uint64_t modulus = (uint64_t)task->vocabulary;
  uint64_t numbers = (seed + 1) * 0x9E3779B97F4A7C15ull ^ (index + 1) * 0xD1B54A32D192ED03ull;
  int64_t begin = 0, t;
  int32_t document = 0;
  while (begin < task->length) {
    int64_t end = begin + 1 + (int64_t)(numbers >> 20) % 4;
    if (end > task->length) end = task->length;
    for (t = begin; t < end; ++t) {
      const uint64_t number = numbers % modulus + (uint64_t)(t - begin);
      tokens[t] = (int32_t)(number % modulus);
      targets[t] = t + 1 == end ? -1 : (int32_t)((number + 1) % modulus);
      segments[t] = document;
    }
    begin = end;
    ++document;
    numbers = numbers * 6364136223846793005ull + 1442695040888963407ull;
  }
  return 0;
}
static const WeirTask packed_counting = {sizeof(WeirTask),
                                         "packed_counting",
                                         "Count upwards, in several documents.",
                                         "length = 8",
                                         create,
                                         vocabulary,
                                         length,
                                         fill,
                                         free,
                                         fill_packed};

static const WeirLayer* const layers[] = {&decay};
static const WeirKernel* const kernels[] = {&twice_kernel, &twice_vjp};
static const WeirTask* const tasks[] = {&counting, &packed_counting};
static const WeirPlugin plugin = {sizeof(WeirPlugin),
                                  WEIR_PLUGIN_VERSION,
                                  "good",
                                  "1.2",
                                  "One of everything.",
                                  layers,
                                  1,
                                  kernels,
                                  2,
                                  tasks,
                                  2};

WEIR_PLUGIN_EXPORT const WeirPlugin* weir_plugin_query(uint32_t host_max_version) {
  return host_max_version >= WEIR_PLUGIN_VERSION ? &plugin : NULL;
}
