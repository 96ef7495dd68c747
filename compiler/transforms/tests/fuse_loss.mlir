// RUN: weir-opt %s --weir-fuse-loss | FileCheck %s
// RUN: weir-opt %s --weir-fuse-loss="min-bytes=0 operations-per-byte=1e9" | FileCheck %s --check-prefix=ALWAYS
// RUN: weir-opt %s --weir-fuse-loss=min-bytes=1000000000000 | FileCheck %s --check-prefix=NEVER
// RUN: weir-opt %s --weir-fuse-loss --weir-differentiate | FileCheck %s --check-prefix=GRADIENT

// NEVER-NOT: weir.logit_statistics

// 128 MiB of logits: they are gone, from the gradient too.
// CHECK-LABEL: @large
// CHECK-SAME: (%[[X:.*]]: tensor<8x128x8xf32> {{.*}}, %[[W:.*]]: tensor<32768x8xf32> {{.*}}, %[[T:.*]]: tensor<8x128xi32>)
// CHECK: %[[SUM:.*]], %[[PEAK:.*]], %[[PICKED:.*]] = weir.logit_statistics %[[X]], %[[W]], %[[T]] : tensor<8x128x8xf32>, tensor<32768x8xf32>, tensor<8x128xi32> -> tensor<8x128xf32>
// The loss of a target that counts.
// CHECK: linalg.generic {{.*}} ins(%[[T]], %[[SUM]], %[[PICKED]] :
// CHECK: arith.subf
// Whether it is right.
// CHECK: linalg.generic {{.*}} ins(%[[T]], %[[PEAK]], %[[PICKED]] :
// CHECK: return
// GRADIENT-LABEL: @large
// GRADIENT: %[[SUM:[a-z_]+]], %{{.*}}, %[[PICKED:[a-z_]+]] = weir.logit_statistics
// GRADIENT: weir.logit_statistics_vjp {{.*}}, %[[SUM]], %[[PICKED]], {{.*}} -> (tensor<8x128x8xf32>, tensor<32768x8xf32>)
// GRADIENT-NOT: x32768xf32>
// GRADIENT: return
func.func @large(%x: tensor<8x128x8xf32> {weir.param = "x"}, %w: tensor<32768x8xf32> {weir.param = "w"}, %t: tensor<8x128xi32>) -> (tensor<f32> {weir.output = "loss"}, tensor<f32>) {
  %l = weir.head %x params(%w : tensor<32768x8xf32>) : tensor<8x128x8xf32> -> tensor<8x128x32768xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x128x32768xf32>, tensor<8x128xi32> -> tensor<f32>
  return %r#0, %r#2 : tensor<f32>, tensor<f32>
}

// In bf16 the logits are f32.
// CHECK-LABEL: @rounded
// CHECK: weir.logit_statistics {{.*}} : tensor<8x128x8xbf16>, tensor<32768x8xbf16>, tensor<8x128xi32> -> tensor<8x128xf32>
func.func @rounded(%x: tensor<8x128x8xbf16>, %w: tensor<32768x8xbf16>, %t: tensor<8x128xi32>) -> tensor<f32> {
  %l = weir.linear %x params(%w : tensor<32768x8xbf16>) : tensor<8x128x8xbf16> -> tensor<8x128x32768xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x128x32768xf32>, tensor<8x128xi32> -> tensor<f32>
  return %r#0 : tensor<f32>
}

// Logits that stay in the caches are stored.
// CHECK-LABEL: @small
// CHECK: weir.head
// CHECK: weir.cross_entropy
// ALWAYS-LABEL: @small
// ALWAYS-NOT: weir.head
// ALWAYS: weir.logit_statistics
func.func @small(%x: tensor<8x1024x8xf32>, %w: tensor<256x8xf32>, %t: tensor<8x1024xi32>) -> tensor<f32> {
  %l = weir.head %x params(%w : tensor<256x8xf32>) : tensor<8x1024x8xf32> -> tensor<8x1024x256xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x1024x256xf32>, tensor<8x1024xi32> -> tensor<f32>
  return %r#0 : tensor<f32>
}

// So are those whose product is long.
// CHECK-LABEL: @wide
// CHECK: weir.head
// CHECK: weir.cross_entropy
// ALWAYS-LABEL: @wide
// ALWAYS: weir.logit_statistics
func.func @wide(%x: tensor<8x128x8192xf32>, %w: tensor<32768x8192xf32>, %t: tensor<8x128xi32>) -> tensor<f32> {
  %l = weir.head %x params(%w : tensor<32768x8192xf32>) : tensor<8x128x8192xf32> -> tensor<8x128x32768xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x128x32768xf32>, tensor<8x128xi32> -> tensor<f32>
  return %r#0 : tensor<f32>
}

// So are those that something else reads, and those of a head with a bias.
// CHECK-LABEL: @read
// CHECK: weir.head
// CHECK: weir.cross_entropy
// ALWAYS-LABEL: @read
// ALWAYS: weir.cross_entropy
func.func @read(%x: tensor<8x128x8xf32>, %w: tensor<32768x8xf32>, %t: tensor<8x128xi32>) -> (tensor<f32>, tensor<8x128x32768xf32>) {
  %l = weir.head %x params(%w : tensor<32768x8xf32>) : tensor<8x128x8xf32> -> tensor<8x128x32768xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x128x32768xf32>, tensor<8x128xi32> -> tensor<f32>
  return %r#0, %l : tensor<f32>, tensor<8x128x32768xf32>
}

// CHECK-LABEL: @bias
// CHECK: weir.linear
// CHECK: weir.cross_entropy
func.func @bias(%x: tensor<8x128x8xf32>, %w: tensor<32768x8xf32>, %b: tensor<32768xf32>, %t: tensor<8x128xi32>) -> tensor<f32> {
  %l = weir.linear %x params(%w, %b : tensor<32768x8xf32>, tensor<32768xf32>) : tensor<8x128x8xf32> -> tensor<8x128x32768xf32>
  %r:5 = weir.cross_entropy %l, %t : tensor<8x128x32768xf32>, tensor<8x128xi32> -> tensor<f32>
  return %r#0 : tensor<f32>
}
