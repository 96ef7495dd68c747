// Scans and their gradients against plain loops, and rows of tables.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/scan_case.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class ScanTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, ScanTest, testing::Values(IsaLevel::Avx2, IsaLevel::Avx512));

/// Order of time for a scan, and where documents begin.
struct Walk {
  const ScanCase& s;
  const std::vector<int32_t>& ids;
  int64_t at(int64_t step) const { return s.reverse ? s.time - 1 - step : step; }
  bool starts(int64_t sequence, int64_t step) const {
    if (!s.segments || step == 0) return false;
    return ids[sequence * s.time + at(step)] != ids[sequence * s.time + at(step - 1)];
  }
  /// Whether a chunk begins.
  bool enters(int64_t step) const { return step == 0 || (at(step) + s.reverse) % s.chunk == 0; }
};

std::vector<int32_t> documents(const ScanCase& s) {
  std::vector<int32_t> ids(s.batch * s.time);
  for (int64_t i = 0; i < s.batch; ++i)
    for (int64_t t = 0, id = 0; t < s.time; ++t) ids[i * s.time + t] = id += (t * 7 + i) % 11 == 5;
  return ids;
}

TEST_P(ScanTest, SimpleFormInBothDirections) {
  for (ScanCase s : {ScanCase{1, 1, 1, 1, 4},
                     {2, 13, 5, 1, 4},
                     {3, 67, 40, 1, 16},
                     {1, 300, 100, 1, 64},
                     {5, 33, 16, 1, 33}})
    for (bool reverse : {false, true})
      for (bool segmented : {false, true}) {
        s.reverse = reverse, s.segments = segmented;
        std::string text = s.kernel(R"(
func.func @k(%a: $S, %b: $S, %h0: $L, %ids: tensor<$Bx$Txi32>) -> ($S, $L, $H) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last, %states = weir.scan(%a, %b) from %h0 $G$Rchunk($K) : ($S, $S, $L$I) -> ($S, $L, $H)
  return %h, %last, %states : $S, $L, $H
})");
        auto kernel = LoadedKernel::create(text, GetParam());
        ASSERT_TRUE(kernel);
        int64_t size = s.batch * s.time * s.features;
        auto a = randomValues(size, 1), b = randomValues(size, 2),
             h0 = randomValues(s.batch * s.features, 3);
        auto ids = documents(s);
        Walk w{s, ids};
        std::vector<double> h(size), last(s.batch * s.features),
            states(s.chunks() * s.batch * s.features);
        for (int64_t i = 0; i < s.batch; ++i)
          for (int64_t d = 0; d < s.features; ++d) {
            double state = h0[i * s.features + d];
            for (int64_t step = 0; step < s.time; ++step) {
              int64_t t = w.at(step), at = (i * s.time + t) * s.features + d;
              if (w.enters(step)) states[(t / s.chunk * s.batch + i) * s.features + d] = state;
              state = (w.starts(i, step) ? 0.0 : a[at]) * state + b[at];
              h[at] = state;
            }
            last[i * s.features + d] = state;
          }
        auto y = poisoned(size), again = y, z = poisoned(last.size()), c = poisoned(states.size());
        kernel->run({a.data(), b.data(), h0.data(), ids.data(), y.data(), z.data(), c.data()});
        EXPECT_LT(relativeError(y, h), 1e-6) << s.time << " " << reverse << segmented;
        EXPECT_LT(relativeError(z, last), 1e-6);
        EXPECT_LT(relativeError(c, states), 1e-6);
        for (int threads : {1, 3}) {
          kernel->run({a.data(), b.data(), h0.data(), ids.data(), again.data(), z.data(), c.data()},
                      threads);
          EXPECT_EQ(y, again);
        }
      }
}

TEST_P(ScanTest, LongSumsDoNotDrift) {
  auto kernel = LoadedKernel::create(R"(
func.func @k(%a: tensor<1x65536x3xf32>, %b: tensor<1x65536x3xf32>) -> (tensor<1x65536x3xf32>) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last = weir.scan(%a, %b) : (tensor<1x65536x3xf32>, tensor<1x65536x3xf32>) -> (tensor<1x65536x3xf32>, tensor<1x3xf32>)
  return %h : tensor<1x65536x3xf32>
})",
                                     GetParam());
  ASSERT_TRUE(kernel);
  std::vector<float> a(3 * 65536, 1.0f), b(3 * 65536, 0.1f), y = poisoned(3 * 65536);
  kernel->run({a.data(), b.data(), y.data()});
  double error = 0;
  for (int64_t t = 0; t < 65536; ++t)
    error = std::max(error, std::abs(y[3 * t + 1] / (double(0.1f) * (t + 1)) - 1));
  EXPECT_LT(error, 1e-7);
}

// A state of two dimensions that outputs keep: small ones stay inside of time, large ones are
// computed in parts.
TEST_P(ScanTest, StatesOfTwoDimensions) {
  const char* text = R"(
func.func @k(%a: tensor<$Tx$Bx$Nx$Dxf32>, %b: tensor<$Bx$Tx$Nx$Dxf32>) -> (tensor<$Bx$Tx$Nx$Dxf32>, tensor<$Bx$Nx$Dxf32>) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last = weir.scan(%a, %b) $Rprologue {
  ^bb0(%x: f32, %y: f32):
    weir.yield %x, %y : f32, f32
  } epilogue {
  ^bb0(%s: f32, %x1: f32, %y1: f32):
    weir.yield %s : f32
  } {indexing_maps = [affine_map<(b, t, n, d) -> (t, b, n, d)>, affine_map<(b, t, n, d) -> (b, t, n, d)>, affine_map<(b, t, n, d) -> (b, t, n, d)>], iterator_types = ["parallel", "time", "parallel", "parallel"]} : (tensor<$Tx$Bx$Nx$Dxf32>, tensor<$Bx$Tx$Nx$Dxf32>) -> (tensor<$Bx$Tx$Nx$Dxf32>, tensor<$Bx$Nx$Dxf32>)
  return %h, %last : tensor<$Bx$Tx$Nx$Dxf32>, tensor<$Bx$Nx$Dxf32>
})";
  for (ScanCase s : {ScanCase{2, 9, 40, 3}, {2, 5, 96, 70}, {1, 4, 21, 5}})
    for (bool reverse : {false, true}) {
      s.reverse = reverse;
      auto kernel = LoadedKernel::create(s.kernel(text), GetParam());
      ASSERT_TRUE(kernel);
      int64_t row = s.states * s.features, size = s.batch * s.time * row;
      auto a = randomValues(size, 1), b = randomValues(size, 2);
      std::vector<double> h(size), state(s.batch * row, 0.0);
      for (int64_t step = 0; step < s.time; ++step)
        for (int64_t i = 0; i < s.batch; ++i)
          for (int64_t p = 0; p < row; ++p) {
            int64_t t = reverse ? s.time - 1 - step : step, at = (i * s.time + t) * row + p;
            state[i * row + p] = a[(t * s.batch + i) * row + p] * state[i * row + p] + b[at];
            h[at] = state[i * row + p];
          }
      auto y = poisoned(size), last = poisoned(s.batch * row);
      kernel->run({a.data(), b.data(), y.data(), last.data()});
      EXPECT_LT(relativeError(y, h), 1e-6);
      EXPECT_LT(relativeError(last, state), 1e-6);
    }
}

// A gate and its complement in one region, as the minimal GRU has them, over the whole range of
// f32's exponential.
TEST_P(ScanTest, GateAndComplement) {
  const char* text = R"(
func.func @k(%g: $S, %p: $S) -> $S attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last = weir.scan(%g, %p) prologue {
  ^bb0(%x: f32, %q: f32):
    %n = arith.negf %x : f32
    %z = weir.sigmoid %x : f32
    %a = weir.sigmoid %n : f32
    %b = arith.mulf %z, %q : f32
    weir.yield %a, %b : f32, f32
  } epilogue {
  ^bb0(%s: f32, %x1: f32, %q1: f32):
    weir.yield %s : f32
  } {indexing_maps = [$M, $M, $M], iterator_types = ["parallel", "time", "parallel"]} : ($S, $S) -> ($S, $L)
  return %h : $S
})";
  int64_t length = 401;
  auto kernel = LoadedKernel::create(ScanCase{1, length}.kernel(text), GetParam());
  ASSERT_TRUE(kernel);
  std::vector<float> gate(length), input(length, 1.0f), out = poisoned(length);
  double state = 0, error = 0;
  for (int64_t t = 0; t < length; ++t) gate[t] = (t % 2 ? -1 : 1) * 0.5f * t;
  kernel->run({gate.data(), input.data(), out.data()});
  for (int64_t t = 0; t < length; ++t) {
    double g = gate[t];
    state = state / (1 + std::exp(g)) + 1 / (1 + std::exp(-g));
    error = std::max(error, std::abs(out[t] - state));
  }
  EXPECT_LT(error, 1e-6);
}

const char* kStateSpaceMaps = R"(
    {indexing_maps = [affine_map<(b, t, d, n) -> (b, t, d)>, affine_map<(b, t, d, n) -> (b, t, d)>, affine_map<(b, t, d, n) -> (b, t, n)>, affine_map<(b, t, d, n) -> (b, t, n)>, affine_map<(b, t, d, n) -> (d, n)>, affine_map<(b, t, d, n) -> (b, t, d)>],
     iterator_types = ["parallel", "time", "parallel", "parallel"]})";
const char* kPrologue = R"(
  ^bb0(%dt_0: f32, %x_0: f32, %bb_0: f32, %c_0: f32, %aa_0: f32):
    %e_0 = arith.mulf %dt_0, %aa_0 : f32
    %a_0 = math.exp %e_0 : f32
    %u_0 = arith.mulf %dt_0, %x_0 : f32
    %v_0 = arith.mulf %u_0, %bb_0 : f32
    weir.yield %a_0, %v_0 : f32, f32
  })";

struct StateSpace {
  ScanCase s;
  std::vector<float> dt, x, b, c, a, dy, h0, dlast;
  std::vector<int32_t> ids;

  explicit StateSpace(ScanCase s) : s(s) {
    int64_t wide = s.batch * s.time * s.features, narrow = s.batch * s.time * s.states;
    dt = randomValues(wide, 1), x = randomValues(wide, 2), b = randomValues(narrow, 3),
    c = randomValues(narrow, 4);
    a = randomValues(s.features * s.states, 5), dy = randomValues(wide, 6);
    h0 = randomValues(s.batch * s.features * s.states, 7),
    dlast = randomValues(s.batch * s.features * s.states, 8);
    for (float& v : dt) v = std::abs(v);
    for (float& v : a) v = -std::abs(v);
    ids = documents(s);
  }
};

TEST_P(ScanTest, StateSpaceModelAndItsGradient) {
  for (ScanCase s :
       {ScanCase{1, 1, 1, 1, 4}, {2, 13, 5, 3, 4}, {3, 67, 40, 4, 16}, {1, 130, 96, 2, 64}})
    for (bool reverse : {false, true})
      for (bool segmented : {false, true}) {
        s.reverse = reverse, s.segments = segmented;
        StateSpace data(s);
        std::string args =
            "%dt: $S, %x: $S, %b: tensor<$Bx$Tx$Nxf32>, %c: tensor<$Bx$Tx$Nxf32>, "
            "%a: tensor<$Dx$Nxf32>, %h0: tensor<$Bx$Dx$Nxf32>, %ids: tensor<$Bx$Txi32>";
        std::string types =
            "$S, $S, tensor<$Bx$Tx$Nxf32>, tensor<$Bx$Tx$Nxf32>, tensor<$Dx$Nxf32>, "
            "tensor<$Bx$Dx$Nxf32>";
        std::string results = "$S, tensor<$Bx$Dx$Nxf32>, tensor<$Cx$Bx$Dx$Nxf32>";
        std::string forward = "func.func @k(" + args + ") -> (" + results +
                              ") attributes {weir.kernel, weir.row_rank = 0 : i64} {\n%y:3 = "
                              "weir.scan(%dt, %x, %b, %c, %a) from %h0 "
                              "$G$Rchunk($K) prologue {" +
                              std::string(kPrologue) + R"( epilogue {
  ^bb0(%h: f32, %dt1: f32, %x1: f32, %bb: f32, %cc: f32, %aa: f32):
    %o = arith.mulf %h, %cc : f32
    weir.yield %o : f32
  })" + kStateSpaceMaps + " : (" +
                              types + "$I) -> (" + results +
                              ")\nreturn %y#0, %y#1, %y#2 : " + results + "\n}";
        auto kernel = LoadedKernel::create(s.kernel(forward), GetParam());
        ASSERT_TRUE(kernel);
        Walk w{s, data.ids};
        int64_t D = s.features, N = s.states, T = s.time;
        int64_t wide = s.batch * T * D, state = s.batch * D * N;
        std::vector<double> y(wide), last(state), gdt(wide), gx(wide), gb(s.batch * T * N),
            gc(s.batch * T * N), ga(D * N), gh(state);
        for (int64_t i = 0; i < s.batch; ++i)
          for (int64_t d = 0; d < D; ++d)
            for (int64_t n = 0; n < N; ++n) {
              std::vector<double> before(T), after(T), decay(T);
              double h = data.h0[(i * D + d) * N + n], A = data.a[d * N + n];
              for (int64_t step = 0; step < T; ++step) {
                int64_t t = w.at(step), p = (i * T + t) * D + d, q = (i * T + t) * N + n;
                decay[t] = w.starts(i, step) ? 0.0 : std::exp(double(data.dt[p]) * A);
                before[t] = h;
                h = decay[t] * h + double(data.dt[p]) * data.x[p] * data.b[q];
                after[t] = h;
                y[p] += h * data.c[q];
              }
              last[(i * D + d) * N + n] = h;
              double lambda = data.dlast[(i * D + d) * N + n];
              for (int64_t step = T - 1; step >= 0; --step) {
                int64_t t = w.at(step), p = (i * T + t) * D + d, q = (i * T + t) * N + n;
                double dy = data.dy[p], dt = data.dt[p], x = data.x[p], B = data.b[q];
                lambda += dy * data.c[q];
                gc[q] += dy * after[t];
                double da = w.starts(i, step) ? 0.0 : lambda * before[t];
                gdt[p] += da * std::exp(dt * A) * A + lambda * x * B;
                gx[p] += lambda * dt * B;
                gb[q] += lambda * dt * x;
                ga[d * N + n] += da * std::exp(dt * A) * dt;
                lambda *= decay[t];
              }
              gh[(i * D + d) * N + n] = lambda;
            }
        auto fy = poisoned(wide), flast = poisoned(state), fstates = poisoned(s.chunks() * state);
        kernel->run({data.dt.data(), data.x.data(), data.b.data(), data.c.data(), data.a.data(),
                     data.h0.data(), data.ids.data(), fy.data(), flast.data(), fstates.data()});
        EXPECT_LT(relativeError(fy, y), 2e-6) << T << " " << reverse << segmented;
        EXPECT_LT(relativeError(flast, last), 2e-6);

        std::string backward =
            "func.func @k(" + args +
            ", %st: tensor<$Cx$Bx$Dx$Nxf32>, %dy: $S, %dl: tensor<$Bx$Dx$Nxf32>) -> (" + types +
            ") attributes {weir.kernel, weir.row_rank = 0 : i64} {\n%g:6 = weir.scan_vjp(%dt, %x, "
            "%b, %c, %a) from %h0 $Gstates(%st) cotangents(%dy) final(%dl) $Rchunk($K) prologue {" +
            std::string(kPrologue) + R"( adjoint_epilogue {
  ^bb0(%h: f32, %dt1: f32, %x1: f32, %bb: f32, %cc: f32, %aa: f32, %dyy: f32):
    %zero = arith.constant 0.0 : f32
    %dh = arith.mulf %dyy, %cc : f32
    %dc = arith.mulf %dyy, %h : f32
    weir.yield %dh, %zero, %zero, %zero, %dc, %zero : f32, f32, f32, f32, f32, f32
  } adjoint_prologue {
  ^bb0(%dt1: f32, %x1: f32, %bb: f32, %cc: f32, %aa: f32, %da: f32, %db: f32):
    %zero = arith.constant 0.0 : f32
    %e1 = arith.mulf %dt1, %aa : f32
    %a1 = math.exp %e1 : f32
    %dae = arith.mulf %da, %a1 : f32
    %p1 = arith.mulf %dae, %aa : f32
    %xb = arith.mulf %x1, %bb : f32
    %p2 = arith.mulf %db, %xb : f32
    %ddt = arith.addf %p1, %p2 : f32
    %dbdt = arith.mulf %db, %dt1 : f32
    %dx = arith.mulf %dbdt, %bb : f32
    %dbb = arith.mulf %dbdt, %x1 : f32
    %daa = arith.mulf %dae, %dt1 : f32
    weir.yield %ddt, %dx, %dbb, %zero, %daa : f32, f32, f32, f32, f32
  })" + kStateSpaceMaps +
            " : (" + types + "$I, tensor<$Cx$Bx$Dx$Nxf32>, $S, tensor<$Bx$Dx$Nxf32>) -> (" + types +
            ")\nreturn %g#0, %g#1, %g#2, %g#3, %g#4, %g#5 : " + types + "\n}";
        auto vjp = LoadedKernel::create(s.kernel(backward), GetParam());
        ASSERT_TRUE(vjp);
        std::vector<std::vector<float>> out, again;
        for (int threads : {2, 1, 3}) {
          std::vector<std::vector<float>> g = {poisoned(wide),      poisoned(wide),
                                               poisoned(gb.size()), poisoned(gc.size()),
                                               poisoned(ga.size()), poisoned(state)};
          vjp->run(
              {data.dt.data(), data.x.data(), data.b.data(), data.c.data(), data.a.data(),
               data.h0.data(), data.ids.data(), fstates.data(), data.dy.data(), data.dlast.data(),
               g[0].data(), g[1].data(), g[2].data(), g[3].data(), g[4].data(), g[5].data()},
              threads);
          if (out.empty()) out = g;
          EXPECT_EQ(out, g);
        }
        EXPECT_LT(relativeError(out[0], gdt), 5e-6) << T << " " << reverse << segmented;
        EXPECT_LT(relativeError(out[1], gx), 5e-6);
        EXPECT_LT(relativeError(out[2], gb), 5e-6);
        EXPECT_LT(relativeError(out[3], gc), 5e-6);
        EXPECT_LT(relativeError(out[4], ga), 5e-6);
        EXPECT_LT(relativeError(out[5], gh), 5e-6);
      }
}

// Gates that both sweeps of the gradient need, as the minimal GRU has them; an input that only the
// way back reads.
const char* kGatedGradient = R"(
func.func @k(%gate: $S, %in: $S, %out: $S, %ids: tensor<$Bx$Txi32>, %st: $H, %dy: $S) -> ($S, $S, $S) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %g:3 = weir.scan_vjp(%gate, %in, %out) $Gstates(%st) cotangents(%dy) $Rchunk($K) prologue {
  ^bb0(%k: f32, %x: f32, %w: f32):
    %z = weir.sigmoid %k : f32
    %n = arith.negf %k : f32
    %a = weir.sigmoid %n : f32
    %c = math.tanh %x : f32
    %b = arith.mulf %z, %c : f32
    weir.yield %a, %b : f32, f32
  } adjoint_epilogue {
  ^bb0(%h: f32, %k: f32, %x: f32, %w: f32, %d: f32):
    %zero = arith.constant 0.0 : f32
    %dh = arith.mulf %d, %w : f32
    %dw = arith.mulf %d, %h : f32
    weir.yield %dh, %zero, %zero, %dw : f32, f32, f32, f32
  } adjoint_prologue {
  ^bb0(%k: f32, %x: f32, %w: f32, %da: f32, %db: f32):
    %zero = arith.constant 0.0 : f32
    %one = arith.constant 1.0 : f32
    %z = weir.sigmoid %k : f32
    %n = arith.negf %k : f32
    %a = weir.sigmoid %n : f32
    %az = arith.mulf %a, %z : f32
    %c = math.tanh %x : f32
    %dz = arith.mulf %db, %c : f32
    %s = arith.subf %dz, %da : f32
    %dk = arith.mulf %s, %az : f32
    %c2 = arith.mulf %c, %c : f32
    %slope = arith.subf %one, %c2 : f32
    %dc = arith.mulf %db, %z : f32
    %dx = arith.mulf %dc, %slope : f32
    weir.yield %dk, %dx, %zero : f32, f32, f32
  } {indexing_maps = [$M, $M, $M, $M], iterator_types = ["parallel", "time", "parallel"]}
    : ($S, $S, $S$I, $H, $S) -> ($S, $S, $S)
  return %g#0, %g#1, %g#2 : $S, $S, $S
})";

// The last shape has states too large to keep values of its chunks.
TEST_P(ScanTest, GradientOfGates) {
  for (ScanCase s : {ScanCase{1, 1, 1, 1, 4},
                     {2, 13, 5, 1, 4},
                     {3, 67, 47, 1, 16},
                     {1, 129, 160, 1, 32},
                     {4, 37, 2111, 1, 32}})
    for (bool reverse : {false, true})
      for (bool segmented : {false, true}) {
        s.reverse = reverse, s.segments = segmented;
        auto kernel = LoadedKernel::create(s.kernel(kGatedGradient), GetParam());
        ASSERT_TRUE(kernel);
        int64_t D = s.features, T = s.time, size = s.batch * T * D, state = s.batch * D;
        auto gate = randomValues(size, 1, 4.0), in = randomValues(size, 2, 2.0),
             out = randomValues(size, 3), dy = randomValues(size, 4);
        auto ids = documents(s);
        Walk w{s, ids};
        std::vector<float> states(s.chunks() * state);
        std::vector<double> dk(size), dx(size), dw(size);
        for (int64_t i = 0; i < s.batch; ++i)
          for (int64_t d = 0; d < D; ++d) {
            std::vector<double> before(T), after(T);
            auto z = [&](int64_t at) { return 1 / (1 + std::exp(-double(gate[at]))); };
            double h = 0, lambda = 0, carried = 0;
            for (int64_t step = 0; step < T; ++step) {
              int64_t t = w.at(step), at = (i * T + t) * D + d;
              if (w.enters(step))
                states[(t / s.chunk * s.batch + i) * D + d] = static_cast<float>(h);
              before[t] = w.starts(i, step) ? 0.0 : h;
              h = (1 - z(at)) * before[t] + z(at) * std::tanh(double(in[at]));
              after[t] = h;
            }
            for (int64_t step = T - 1; step >= 0; --step) {
              int64_t t = w.at(step), at = (i * T + t) * D + d;
              double c = std::tanh(double(in[at])), slope = z(at) * (1 - z(at));
              lambda = carried + double(dy[at]) * out[at];
              dw[at] = dy[at] * after[t];
              dk[at] = lambda * (c - before[t]) * slope;
              dx[at] = lambda * z(at) * (1 - c * c);
              carried = w.starts(i, step) ? 0.0 : (1 - z(at)) * lambda;
            }
          }
        std::vector<std::vector<float>> first;
        for (int threads : {1, 3}) {
          std::vector<std::vector<float>> g(3, poisoned(size));
          kernel->run({gate.data(), in.data(), out.data(), ids.data(), states.data(), dy.data(),
                       g[0].data(), g[1].data(), g[2].data()},
                      threads);
          if (first.empty()) first = g;
          EXPECT_EQ(first, g);
        }
        EXPECT_LT(relativeError(first[0], dk), 2e-6) << T << " " << D << reverse << segmented;
        EXPECT_LT(relativeError(first[1], dx), 2e-6);
        EXPECT_LT(relativeError(first[2], dw), 2e-6);
      }
}

// What is dear is evaluated in the sweep forward only: one reciprocal for the gate and its
// complement, one division for the hyperbolic tangent.
TEST_P(ScanTest, GatesAreEvaluatedOnce) {
  auto count = [&](const ScanCase& s) {
    std::string code = assemblyOf(s.kernel(kGatedGradient), GetParam());
    int divisions = 0;
    for (const char* name : {"\tvrcp", "\tvdivp"})
      for (size_t at = 0; (at = code.find(name, at)) != std::string::npos; ++at) ++divisions;
    return divisions;
  };
  EXPECT_EQ(count({1, 64, 64, 1, 32}), 2);
  // Beyond the caches they are evaluated again.
  EXPECT_GT(count({4, 64, 4096, 1, 32}), 2);
}

TEST_P(ScanTest, RowsOfTables) {
  const char* gather = R"(
func.func @k(%t: tensor<$Nx$Dxf32>, %i: tensor<$Bx$Txi32>) -> $S attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %r = weir.gather_rows %t, %i : tensor<$Nx$Dxf32>, tensor<$Bx$Txi32> -> $S
  return %r : $S
})";
  const char* scatter = R"(
func.func @k(%u: $S, %i: tensor<$Bx$Txi32>) -> tensor<$Nx$Dxf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %r = weir.scatter_rows %u, %i : $S, tensor<$Bx$Txi32> -> tensor<$Nx$Dxf32>
  return %r : tensor<$Nx$Dxf32>
})";
  for (ScanCase s : {ScanCase{1, 1, 1, 1}, {3, 17, 33, 7}, {16, 80, 64, 65}}) {
    int64_t V = s.states, D = s.features, n = s.batch * s.time;
    auto g = LoadedKernel::create(s.kernel(gather), GetParam()),
         c = LoadedKernel::create(s.kernel(scatter), GetParam());
    ASSERT_TRUE(g && c);
    auto table = randomValues(V * D, 1), updates = randomValues(n * D, 2);
    std::vector<int32_t> ids(n);
    for (int64_t i = 0; i < n; ++i) ids[i] = (i * 37 + 11) % (V + 2) - 1;
    std::vector<float> rows(n * D), sums(V * D, 0.0f);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t d = 0; d < D; ++d) {
        int64_t row = std::clamp<int64_t>(ids[i], 0, V - 1);
        rows[i * D + d] = table[row * D + d];
        sums[row * D + d] += updates[i * D + d];
      }
    for (int threads : {1, 2, 3}) {
      auto y = poisoned(n * D), z = poisoned(V * D);
      g->run({table.data(), ids.data(), y.data()}, threads);
      c->run({updates.data(), ids.data(), z.data()}, threads);
      EXPECT_EQ(y, rows);
      EXPECT_EQ(z, sums);
    }
  }
}

}  // namespace
}  // namespace weir
