// RUN: weir-opt %s --split-input-file --verify-diagnostics

func.func @inputs_of_simple_form(%a: tensor<2x3x4xf32>) {
  // expected-error @+2 {{weir.scan without regions takes a and b, of batch, time and features}}
  // expected-error @+1 {{failed to infer returned types}}
  %h, %last = weir.scan(%a) : (tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x4xf32>)
  return
}

// -----

func.func @result_shape(%a: tensor<2x3x4xf32>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{are incompatible with return type(s) of operation}}
  %h, %last = weir.scan(%a, %a) : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x5xf32>)
  return
}

// -----

func.func @chunk(%a: tensor<2x3x4xf32>) {
  // expected-error @+1 {{chunk must be positive}}
  %h:3 = weir.scan(%a, %a) chunk(-1) : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x4xf32>, tensor<?x2x4xf32>)
  return
}

// -----

func.func @two_times(%a: tensor<2x3xf32>) {
  // expected-error @+1 {{needs exactly one iterator of type 'time', but has 2}}
  %h, %last = weir.scan(%a) prologue {
    ^bb0(%x: f32):
      weir.yield %x, %x : f32, f32
  } epilogue {
    ^bb0(%h: f32, %x: f32):
      weir.yield %h : f32
  } {indexing_maps = [affine_map<(b, t) -> (b, t)>, affine_map<(b, t) -> (b, t)>], iterator_types = ["time", "time"]}
    : (tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<3xf32>)
  return
}

// -----

func.func @prologue(%a: tensor<2x3xf32>) {
  %h, %last = weir.scan(%a) prologue {
    ^bb0(%x: f32):
      // expected-error @+1 {{must yield ('f32', 'f32') from region 'prologue'}}
      weir.yield %x : f32
  } epilogue {
    ^bb0(%h: f32, %x: f32):
      weir.yield %h : f32
  } {indexing_maps = [affine_map<(b, t) -> (b, t)>, affine_map<(b, t) -> (b, t)>], iterator_types = ["parallel", "time"]}
    : (tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2xf32>)
  return
}
