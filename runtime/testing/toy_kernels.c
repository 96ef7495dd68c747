// The kernels of toy_program.h, written by hand as a compiler would emit them: a bigram model (the
// logits of the next token are a row of W) trained by gradient descent with momentum.
#include <math.h>
#include <omp.h>
#include <stdint.h>

typedef struct {
  int64_t batch, length, vocabulary;
} Sizes;

// Buffers: W [v,v] f32, M [v,v] f32, rng [2] i64, sizes [3] i64.
void toy_init(void* const* buffers) {
  float* weight = buffers[0];
  float* momentum = buffers[1];
  int64_t* rng = buffers[2];
  const Sizes* sizes = buffers[3];
  uint64_t state = (uint64_t)rng[0] * 2654435761u + 1;
  for (int64_t i = 0; i < sizes->vocabulary * sizes->vocabulary; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    weight[i] = ((float)(state >> 40) / 16777216.0f - 0.5f) * 0.1f;
    momentum[i] = 0;
  }
  rng[1] = 0;
}

// The softmax of row `token` into `p`; returns -log p[target].
static double softmax_row(const float* weight, int64_t v, int32_t token, int32_t target, float* p,
                          int32_t* best) {
  const float* row = weight + token * v;
  *best = 0;
  for (int64_t j = 1; j < v; ++j) {
    if (row[j] > row[*best]) *best = (int32_t)j;
  }
  float sum = 0;
  for (int64_t j = 0; j < v; ++j) sum += p[j] = expf(row[j] - row[*best]);
  for (int64_t j = 0; j < v; ++j) p[j] /= sum;
  return log(sum) + row[*best] - row[target];
}

// Buffers: tokens, targets, W, sizes, gradient [v,v] (null in eval), loss sum f64, counts [3] i64
// (correct, targets, sequences).
static void accumulate(const int32_t* tokens, const int32_t* targets, const float* weight,
                       const Sizes* sizes, float* gradient, double* loss, int64_t* counts) {
  int64_t v = sizes->vocabulary;
  float p[256];
  *loss = 0;
  counts[0] = counts[1] = counts[2] = 0;
  for (int64_t b = 0; b < sizes->batch; ++b) {
    int64_t correct = 0, count = 0;
    for (int64_t t = 0; t < sizes->length; ++t) {
      int32_t token = tokens[b * sizes->length + t], target = targets[b * sizes->length + t], best;
      if (target < 0) continue;
      *loss += softmax_row(weight, v, token, target, p, &best);
      correct += best == target;
      ++count;
      if (!gradient) continue;
      for (int64_t j = 0; j < v; ++j) gradient[token * v + j] += p[j] - (j == target);
    }
    counts[0] += correct;
    counts[1] += count;
    counts[2] += count > 0 && correct == count;
  }
}

// Buffers: tokens, targets, W, M, rng, sizes, gradient (arena), loss f32, gradient_norm f32,
// learning_rate f32, correct i64, count i64.
void toy_train_step(void* const* buffers) {
  float* weight = buffers[2];
  float* momentum = buffers[3];
  int64_t* rng = buffers[4];
  const Sizes* sizes = buffers[5];
  float* gradient = buffers[6];
  int64_t n = sizes->vocabulary * sizes->vocabulary;
  for (int64_t i = 0; i < n; ++i) gradient[i] = 0;
  double loss;
  int64_t counts[3];
  accumulate(buffers[0], buffers[1], weight, sizes, gradient, &loss, counts);
  float scale = counts[1] ? 1.0f / counts[1] : 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) norm += gradient[i] * scale * gradient[i] * scale;
  float rate = 4.0f / (1.0f + 0.01f * rng[1]);
  for (int64_t i = 0; i < n; ++i) {
    momentum[i] = 0.9f * momentum[i] + gradient[i] * scale;
    weight[i] -= rate * momentum[i];
  }
  ++rng[1];
  *(float*)buffers[7] = (float)(loss * scale);
  *(float*)buffers[8] = sqrtf(norm);
  *(float*)buffers[9] = rate;
  *(int64_t*)buffers[10] = counts[0];
  *(int64_t*)buffers[11] = counts[1];
}

// Buffers: tokens, targets, W, sizes, loss f32 (a sum), correct i64, count i64, sequences_correct
// i64.
void toy_eval(void* const* buffers) {
  double loss;
  int64_t counts[3];
  accumulate(buffers[0], buffers[1], buffers[2], buffers[3], 0, &loss, counts);
  *(float*)buffers[4] = (float)loss;
  *(int64_t*)buffers[5] = counts[0];
  *(int64_t*)buffers[6] = counts[1];
  *(int64_t*)buffers[7] = counts[2];
}

// Buffers: state sum [b,v] f32, state start i64, sizes.
void toy_reset(void* const* buffers) {
  float* sum = buffers[0];
  const Sizes* sizes = buffers[2];
  for (int64_t i = 0; i < sizes->batch * sizes->vocabulary; ++i) sum[i] = 0.25f;
  *(int64_t*)buffers[1] = 0;
}

// sum' = sum / 2 + W[token]; the output is sum' and, in its first element, the last digit of the
// token's place more. Buffers: tokens [b,n], W, state sum [b,v], state start i64, sizes, output
// [b,n,v].
static void read_tokens(void* const* buffers, int64_t n) {
  const int32_t* tokens = buffers[0];
  const float* weight = buffers[1];
  int64_t* start = buffers[3];
  const Sizes* sizes = buffers[4];
  int64_t v = sizes->vocabulary;
  for (int64_t b = 0; b < sizes->batch; ++b) {
    float* sum = (float*)buffers[2] + b * v;
    for (int64_t t = 0; t < n; ++t) {
      float* output = (float*)buffers[5] + (b * n + t) * v;
      const float* row = weight + tokens[b * n + t] * v;
      for (int64_t j = 0; j < v; ++j) output[j] = sum[j] = 0.5f * sum[j] + row[j];
      output[0] += (float)((*start + t) % 10);
    }
  }
  *start += n;
}

void toy_step(void* const* buffers) { read_tokens(buffers, 1); }
void toy_prefill(void* const* buffers) { read_tokens(buffers, ((const Sizes*)buffers[4])->length); }

// Buffers: arena f32, shared scratch f32, output [3] f32, of which the last is left alone.
void toy_unwritten(void* const* buffers) {
  float* output = buffers[2];
  output[0] = *(const float*)buffers[0];
  output[1] = *(const float*)buffers[1];
}

// Buffers: threads i64, thread scratch (8 bytes each). Each thread writes its number into its
// scratch.
void toy_threads(void* const* buffers) {
  int64_t* threads = buffers[0];
  int64_t* scratch = buffers[1];
#pragma omp parallel
  {
    scratch[omp_get_thread_num()] = omp_get_thread_num() + 1;
#pragma omp master
    *threads = omp_get_num_threads();
  }
  for (int64_t i = 0; i < *threads; ++i) {
    if (scratch[i] != i + 1) *threads = -1;
  }
}
