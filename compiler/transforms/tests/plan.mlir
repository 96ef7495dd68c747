// RUN: weir-opt %s --weir-plan --split-input-file | FileCheck %s
// RUN: not weir-opt %p/inputs/plan_invalid.mlir --weir-plan --split-input-file 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: argument 0 is neither an input (weir.input) nor a variable (weir.variable)
// BAD: 'x' has the type 'tensor<?xf32>', but programs hold static tensors
// BAD: 'arith.negf' op can't be planned
// BAD: has no entry point

#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @k(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = math.exp %in : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
func.func private @k2(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x8xf32>
    attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<4x8xf32>
  %z = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<4x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.addf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  return %z : tensor<4x8xf32>
}

// Calls are inlined; what is dead makes room; the last launch writes to the output.
// CHECK-LABEL: @chain
// CHECK-SAME: weir.arena_bytes = 256 : i64, weir.arena_lower_bound = 256 : i64
// CHECK: weir.launch @k(%{{.*}}) {buffers = ["input 0", "arena + 0"]}
// CHECK: weir.launch @k(%{{.*}}) {buffers = ["arena + 0", "arena + 128"]}
// CHECK: weir.launch @k(%{{.*}}) {buffers = ["arena + 128", "arena + 0"]}
// CHECK: weir.launch @k(%{{.*}}) {buffers = ["arena + 0", "output 0"]}
func.func @chain(%x: tensor<4x8xf32> {weir.input = "x"}) -> (tensor<4x8xf32> {weir.output = "y"})
    attributes {weir.entry} {
  %0 = call @two(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = call @two(%0) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}
func.func @two(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = weir.launch @k(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = weir.launch @k(%0) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// Producers write their part of a concatenation, with its strides; an input is copied there.
// CHECK-LABEL: @concat
// CHECK: weir.launch @[[$STRIDED:.*]](%{{.*}}) {buffers = ["input 0", "output 0 + 32"]}
// CHECK: weir.launch @[[COPY:.*]](%{{.*}}) {buffers = ["input 0", "output 0"]}
// CHECK-NOT: weir.launch
// CHECK: return
func.func @concat(%x: tensor<4x8xf32> {weir.input = "x"}) -> (tensor<4x16xf32> {weir.output = "y"})
    attributes {weir.entry} {
  %0 = weir.launch @k(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = tensor.concat dim(1) %x, %0 : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}

// A slice is an offset and strides; joining rows that don't touch takes a copy.
// CHECK-LABEL: @slice
// CHECK: weir.launch @[[$SLICED:.*]](%{{.*}}) {buffers = ["input 0 + 32", "output 0"]}
// CHECK: weir.launch @{{.*}}copy{{.*}}(%{{.*}}) {buffers = ["input 0 + 32", "arena + 0"]}
// CHECK: weir.launch @{{.*}}copy{{.*}}(%{{.*}}) {buffers = ["arena + 0", "output 1"]}
func.func @slice(%x: tensor<4x16xf32> {weir.input = "x"})
    -> (tensor<4x8xf32> {weir.output = "y"}, tensor<32xf32> {weir.output = "z"}) attributes {weir.entry} {
  %s = tensor.extract_slice %x[0, 8] [4, 8] [1, 1] : tensor<4x16xf32> to tensor<4x8xf32>
  %0 = weir.launch @k(%s) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = tensor.collapse_shape %s [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
  return %0, %c : tensor<4x8xf32>, tensor<32xf32>
}

// A variable that nothing reads later is updated in place, and the kernel is told so.
// CHECK-LABEL: @update
// CHECK: weir.launch @[[$TIED:.*]](%{{.*}}) {buffers = ["variable 0", "input 0", "variable 0"]}
// CHECK-NOT: weir.launch
// CHECK: return
func.func @update(%p: tensor<4x8xf32> {weir.variable = "p"}, %g: tensor<4x8xf32> {weir.input = "g"})
    -> (tensor<4x8xf32> {weir.variable = "p"}) attributes {weir.entry} {
  %0 = weir.launch @k2(%p, %g) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// The old value is still read after the new one is there: a copy at the end.
// CHECK-LABEL: @late
// CHECK: weir.launch @k2(%{{.*}}) {buffers = ["variable 0", "input 0", "arena + 0"]}
// CHECK: weir.launch @k2(%{{.*}}) {buffers = ["arena + 0", "variable 0", "output 0"]}
// CHECK: weir.launch @k_copy(%{{.*}}) {buffers = ["arena + 0", "variable 0"]}
func.func @late(%p: tensor<4x8xf32> {weir.variable = "p"}, %g: tensor<4x8xf32> {weir.input = "g"})
    -> (tensor<4x8xf32> {weir.variable = "p"}, tensor<4x8xf32> {weir.output = "y"}) attributes {weir.entry} {
  %0 = weir.launch @k2(%p, %g) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = weir.launch @k2(%0, %p) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0, %1 : tensor<4x8xf32>, tensor<4x8xf32>
}

// Two variables that change places go through the arena.
// CHECK-LABEL: @swap
// CHECK-DAG: weir.launch @k_copy(%{{.*}}) {buffers = ["variable 1", "arena + [[A:.*]]"]}
// CHECK-DAG: weir.launch @k_copy(%{{.*}}) {buffers = ["variable 0", "arena + [[B:.*]]"]}
// CHECK: weir.launch @k_copy(%{{.*}}) {buffers = ["arena + {{.*}}", "variable 0"]}
// CHECK: weir.launch @k_copy(%{{.*}}) {buffers = ["arena + {{.*}}", "variable 1"]}
func.func @swap(%p: tensor<4x8xf32> {weir.variable = "p"}, %q: tensor<4x8xf32> {weir.variable = "q"})
    -> (tensor<4x8xf32> {weir.variable = "p"}, tensor<4x8xf32> {weir.variable = "q"}) attributes {weir.entry} {
  return %q, %p : tensor<4x8xf32>, tensor<4x8xf32>
}

// CHECK: func.func private @[[$STRIDED]]
// CHECK-SAME: -> (tensor<4x8xf32> {weir.strides = array<i64: 16, 1>})
// CHECK: func.func private @[[$SLICED]]
// CHECK-SAME: tensor<4x8xf32> {weir.strides = array<i64: 16, 1>}) -> tensor<4x8xf32>
// CHECK: func.func private @[[$TIED]]
// CHECK-SAME: -> (tensor<4x8xf32> {weir.tied = 0 : i64})

// -----

// A part that is written before the zeros around it waits until they are there: fills move up.
#id2 = affine_map<(d0, d1) -> (d0, d1)>
func.func private @zeros() -> tensor<4x16xf32> attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %c = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16xf32>
  %y = linalg.fill ins(%c : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}
func.func private @k(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#id2, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = math.exp %in : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
// CHECK-LABEL: @insert
// CHECK: weir.launch @zeros() {buffers = ["output 0"]}
// CHECK: weir.launch @{{.*}}(%{{.*}}) {buffers = ["input 0", "output 0 + 16"]}
// CHECK-NOT: weir.launch
// CHECK: return
func.func @insert(%x: tensor<4x8xf32> {weir.input = "x"}) -> (tensor<4x16xf32> {weir.output = "y"})
    attributes {weir.entry} {
  %0 = weir.launch @k(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %z = weir.launch @zeros() : () -> tensor<4x16xf32>
  %1 = tensor.insert_slice %0 into %z[0, 4] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}

// -----

// Large results are written past the caches, but not in place, nor where they begin at no multiple
// of 64 bytes.
#row = affine_map<(d0) -> (d0)>
func.func private @add(%x: tensor<1048576xf32>, %y: tensor<1048576xf32>) -> tensor<1048576xf32>
    attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %e = tensor.empty() : tensor<1048576xf32>
  %z = linalg.generic {indexing_maps = [#row, #row, #row], iterator_types = ["parallel"]}
      ins(%x, %y : tensor<1048576xf32>, tensor<1048576xf32>) outs(%e : tensor<1048576xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.addf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<1048576xf32>
  return %z : tensor<1048576xf32>
}
// CHECK-LABEL: @large
// CHECK: weir.launch @add(%{{.*}}) {buffers = ["input 0", "input 0", "output 1 + 12"]}
// CHECK: weir.launch @[[PLACE:.*]](%{{.*}}) {buffers = ["input 0", "variable 0", "variable 0"]}
// CHECK: weir.launch @[[LARGE:.*]](%{{.*}}) {buffers = ["input 0", "input 0", "output 0"]}
// CHECK: func.func private @[[PLACE]]({{.*}}) -> (tensor<1048576xf32> {weir.tied = 1 : i64})
// CHECK: func.func private @[[LARGE]]({{.*}}) -> (tensor<1048576xf32> {weir.streamed})
func.func @large(%x: tensor<1048576xf32> {weir.input = "x"}, %s: tensor<3xf32> {weir.input = "s"},
                 %v: tensor<1048576xf32> {weir.variable = "v"})
    -> (tensor<1048576xf32> {weir.output = "y"}, tensor<1048579xf32> {weir.output = "z"},
        tensor<1048576xf32> {weir.variable = "v"}) attributes {weir.entry} {
  %0 = weir.launch @add(%x, %x) : (tensor<1048576xf32>, tensor<1048576xf32>) -> tensor<1048576xf32>
  %1 = weir.launch @add(%x, %x) : (tensor<1048576xf32>, tensor<1048576xf32>) -> tensor<1048576xf32>
  %2 = tensor.concat dim(0) %s, %1 : (tensor<3xf32>, tensor<1048576xf32>) -> tensor<1048579xf32>
  %3 = weir.launch @add(%x, %v) : (tensor<1048576xf32>, tensor<1048576xf32>) -> tensor<1048576xf32>
  return %0, %2, %3 : tensor<1048576xf32>, tensor<1048579xf32>, tensor<1048576xf32>
}

// -----

// Rows of large intermediate tensors begin at lines of the caches; those of outputs, and where rows
// are joined, don't.
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @k(%x: tensor<1024x1365xf32>) -> tensor<1024x1365xf32>
    attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<1024x1365xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<1024x1365xf32>) outs(%e : tensor<1024x1365xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = math.exp %in : f32
    linalg.yield %m : f32
  } -> tensor<1024x1365xf32>
  return %y : tensor<1024x1365xf32>
}
// CHECK-LABEL: @rows
// CHECK-SAME: weir.arena_bytes = 5636096
// CHECK: weir.launch @[[FIRST:.*]](%{{.*}}) {buffers = ["input 0", "arena + 0"]}
// CHECK: weir.launch @[[SECOND:.*]](%{{.*}}) {buffers = ["arena + 0", "output 0"]}
// CHECK: weir.launch @[[DENSE:.*]](%{{.*}}) {buffers = ["input 0", "arena + 0"]}
// CHECK: func.func private @[[FIRST]](%{{[a-z0-9]*}}: tensor<1024x1365xf32>)
// CHECK-SAME: -> (tensor<1024x1365xf32> {weir.streamed, weir.strides = array<i64: 1376, 1>})
// CHECK: func.func private @[[SECOND]](%{{[a-z0-9]*}}: tensor<1024x1365xf32> {weir.strides = array<i64: 1376, 1>})
// CHECK-SAME: -> (tensor<1024x1365xf32> {weir.streamed})
// CHECK: func.func private @[[DENSE]](%{{[a-z0-9]*}}: tensor<1024x1365xf32>)
// CHECK-SAME: -> (tensor<1024x1365xf32> {weir.streamed})
func.func @rows(%x: tensor<1024x1365xf32> {weir.input = "x"})
    -> (tensor<1024x1365xf32> {weir.output = "y"}, tensor<512x2730xf32> {weir.output = "z"}) attributes {weir.entry} {
  %0 = weir.launch @k(%x) : (tensor<1024x1365xf32>) -> tensor<1024x1365xf32>
  %1 = weir.launch @k(%0) : (tensor<1024x1365xf32>) -> tensor<1024x1365xf32>
  %2 = weir.launch @k(%x) : (tensor<1024x1365xf32>) -> tensor<1024x1365xf32>
  %all = tensor.collapse_shape %2 [[0, 1]] : tensor<1024x1365xf32> into tensor<1397760xf32>
  %two = tensor.expand_shape %all [[0, 1]] output_shape [512, 2730] : tensor<1397760xf32> into tensor<512x2730xf32>
  %3 = weir.launch @l(%two) : (tensor<512x2730xf32>) -> tensor<512x2730xf32>
  return %1, %3 : tensor<1024x1365xf32>, tensor<512x2730xf32>
}
func.func private @l(%x: tensor<512x2730xf32>) -> tensor<512x2730xf32>
    attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<512x2730xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<512x2730xf32>) outs(%e : tensor<512x2730xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = math.sin %in : f32
    linalg.yield %m : f32
  } -> tensor<512x2730xf32>
  return %y : tensor<512x2730xf32>
}
